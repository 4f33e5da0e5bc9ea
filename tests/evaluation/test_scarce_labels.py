"""Few labels: what is frozen against scikit-learn, what is trained by what it started from."""

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import ae_jax as ae
from ae_jax import evaluation
from ae_jax.errors import ConfigError, DataError, PartError
from ae_jax.evaluation.scarce_labels import _dealt
from tests import untrained

RNG = np.random.default_rng(0)
LABEL = RNG.integers(0, 3, size=300).astype(np.int32)
X = np.float32((9 * RNG.normal(size=(3, 5)))[LABEL] + RNG.normal(size=(300, 5)))
DATA = ae.data.from_arrays(X, extras={"label": LABEL}, test_fraction=0.3)
OPTIONS = {"steps": 80, "repeats": 1}


def run_of(**options):
    network = ae.networks.mlp((16,), **options)
    return untrained.run_of(ae.recipes.autoencoder(3, encoder=network), DATA)


@pytest.fixture(scope="module")
def run():
    return run_of()


def test_of_all_labels_frozen_is_scikit_learns_regression_on_the_codes(run):
    size = len(DATA.train)
    table = evaluation.scarce_labels(run, DATA, sizes=[size], **OPTIONS)
    codes, test = (run.encode(part.x) for part in (DATA.train, DATA.test))
    standard = lambda z: (z - codes.mean(0)) / codes.std(0)
    regression = LogisticRegression(max_iter=1000).fit(standard(codes), DATA.train.extras["label"])
    want = regression.score(standard(test), DATA.test.extras["label"])
    assert table[str(size)]["frozen"] == pytest.approx(want, abs=0.02)
    for name in ("fine_tuned", "scratch"):
        assert table[str(size)][name] > 0.9
        assert table[str(size)][f"{name}_std"] == 0


def test_fine_tuning_starts_from_the_run_and_scratch_does_not(run):
    params = dict(run.variables.params)
    params["encoder"] = jax.tree.map(np.zeros_like, params["encoder"])
    dead = run.holding(ae.Variables(params, run.variables.state))
    table = evaluation.scarce_labels(dead, DATA, sizes=[90], **OPTIONS)["90"]
    most = max(np.mean(DATA.test.extras["label"] == value) for value in range(3))
    assert table["frozen"] <= most  # all codes are one: no layer tells them apart
    assert table["fine_tuned"] <= most  # and no gradient passes units that are 0
    assert table["scratch"] > 0.85


@pytest.mark.slow
def test_sizes_are_those_that_there_are_and_the_same_seed_gives_the_same_table(run):
    options = {"steps": 3, "repeats": 2}
    first, again, other = (
        evaluation.scarce_labels(run, DATA, seed=seed, **options) for seed in (0, 0, 1)
    )
    assert list(first) == ["10", "100"]
    assert set(first["10"]) == {
        f"{name}{end}" for name in ("frozen", "fine_tuned", "scratch") for end in ("", "_std")
    }
    assert first == again
    assert first["10"] != other["10"]


def test_labels_are_dealt_to_the_classes_in_turn():
    labels = np.array([0] * 50 + [1] * 20 + [2] * 4)
    dealt = _dealt(labels, 74, np.random.default_rng(1))
    assert sorted(dealt) == list(range(74))
    for size, counts in ((3, [1, 1, 1]), (12, [4, 4, 4]), (20, [8, 8, 4]), (74, [50, 20, 4])):
        assert np.bincount(labels[dealt[:size]], minlength=3).tolist() == counts
    assert _dealt(labels, 9, np.random.default_rng(2)).tolist() != dealt[:9].tolist()


@pytest.mark.slow
def test_examples_without_a_label_and_classes_never_seen_are_left_out(run):
    some = np.where(np.arange(300) % 2, LABEL, -1)
    train = ae.data.Arrays(X[:200], {"label": some[:200]})
    test = ae.data.Arrays(X[200:], {"label": np.where(some[200:] == 2, 9, some[200:])})
    table = evaluation.scarce_labels(run, ae.data.Dataset(train, test), sizes=[100], **OPTIONS)
    assert table["100"]["frozen"] > 0.9
    with pytest.raises(DataError, match="sizes=101 labels are asked for, and there are 100"):
        evaluation.scarce_labels(run, ae.data.Dataset(train, test), sizes=[10, 101])


def test_what_cannot_be_learned_is_refused(run):
    with pytest.raises(DataError, match="training data have no label 'kind'.* Known: label"):
        evaluation.scarce_labels(run, DATA, label="kind")
    one = ae.data.from_arrays(X, extras={"label": np.ones(300, int)})
    with pytest.raises(DataError, match="two classes at least to tell apart, and hold only 1"):
        evaluation.scarce_labels(run, one)
    with pytest.raises(DataError, match="sizes=1 label holds one class only: give 2 at least"):
        evaluation.scarce_labels(run, DATA, sizes=[1])
    with pytest.raises(ConfigError, match="sizes must be a positive whole number, got 2.5"):
        evaluation.scarce_labels(run, DATA, sizes=[2.5])
    empty = DATA._replace(test=ae.data.Arrays(X[:0], {"label": LABEL[:0]}))
    with pytest.raises(DataError, match="need test examples, and there are none"):
        evaluation.scarce_labels(run, empty)
    told = run_of(condition="label", num_classes=3)
    for judge in (evaluation.scarce_labels, evaluation.reduction):
        with pytest.raises(PartError, match="encoder is told 'label', which cannot judge its code"):
            judge(told, DATA, label="label")
    assert "probe_accuracy" not in evaluation.reduction(told, DATA)["run"]
