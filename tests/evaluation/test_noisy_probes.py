"""What codes of noisy inputs tell: scikit-learn's numbers, and those of a code that copies."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ae_jax as ae
from ae_jax import evaluation
from ae_jax.data.source import Records
from ae_jax.errors import ConfigError, DataError
from tests.evaluation.test_corrupted import LABEL, X, run  # noqa: F401

NOISES = {"gaussian": [0.2, 1.0]}
NODES = [{"name": "gaussian", "std": std} for std in NOISES["gaussian"]]


def dataset(label=LABEL):
    parts = (slice(200), slice(200, 300))
    return ae.data.Dataset(*(ae.data.Arrays(X[p], extras={"label": label[p]}) for p in parts))


def test_accuracies_are_those_of_scikit_learn_on_the_same_noise(run):  # noqa: F811
    table = evaluation.noisy_probes({"copy": run}, dataset(), noises=NOISES, seed=3)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    flat = lambda x: np.asarray(x).reshape(len(x), -1)
    probe.fit(flat(X[:200]), LABEL[:200])
    held = Records(X[200:])
    seen = [X[200:]] + [evaluation.corrupt(run, held, node, 3) for node in NODES]
    want = [probe.score(flat(x), LABEL[200:]) for x in seen]
    assert want[0] > want[2] + 0.1
    assert table["input"] == dict(zip(("clean", "gaussian 0.2", "gaussian 1"), want, strict=True))
    assert table["copy"] == pytest.approx(table["input"], abs=0.011)  # the code is the input


def test_examples_without_a_label_count_for_nothing(run):  # noqa: F811
    label = np.where(np.arange(300) % 4 == 0, -1, LABEL)
    some = evaluation.noisy_probes({"copy": run}, dataset(label), noises={})
    few = ae.data.Dataset(
        *(
            ae.data.Arrays(X[p][label[p] >= 0], extras={"label": label[p][label[p] >= 0]})
            for p in (slice(200), slice(200, 300))
        )
    )
    assert some == evaluation.noisy_probes({"copy": run}, few, noises={})


def test_what_cannot_be_probed_is_refused(run):  # noqa: F811
    refused = lambda *given, **options: pytest.raises(DataError, **options)
    with refused(match=r"by name, none of them 'input', got \['input'\]"):
        evaluation.noisy_probes({"input": run}, dataset())
    with refused(match=r"got \[\]"):
        evaluation.noisy_probes({}, dataset())
    with refused(match="no label 'lable'; did you mean 'label'"):
        evaluation.noisy_probes({"copy": run}, dataset(), label="lable")
    with refused(match="must hold two classes at least .* hold only 0"):
        evaluation.noisy_probes({"copy": run}, dataset(0 * LABEL), noises={})
    with pytest.raises(ConfigError, match="noises must be levels of .* got 'speckle'"):
        evaluation.noisy_probes({"copy": run}, dataset(), noises={"speckle": [1.0]})
