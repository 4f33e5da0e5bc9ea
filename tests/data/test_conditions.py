"""Labels and conditions: classes in their range, -1 for none, finite, and there."""

import numpy as np
import pytest

import ae_jax as ae
from ae_jax import keys, networks
from ae_jax.data import conditions
from ae_jax.errors import ConfigError, DataError
from tests import fast, small, untrained

CLASSES = 5
X = small.arrays()
LABEL = np.arange(len(X)) % CLASSES


def network(condition="label", num_classes=CLASSES):
    return networks.mlp((4,), condition=condition, num_classes=num_classes)


def recipe(encoder=None, decoder=None):
    encoder, decoder = encoder or network(), decoder or network()
    likelihood = ae.likelihoods.gaussian()
    return ae.recipes.vae(2, encoder=encoder, decoder=decoder, likelihood=likelihood)


def fit(extras, made=None, **options):
    options = {"steps": 2, "batch_size": 16, "progress": False} | options
    return ae.fit(made or recipe(), (X, extras), **options)


@pytest.fixture(scope="module")
def run():
    return untrained.run_of(recipe(), (X, {"label": LABEL}))


BAD_LABELS = [
    (LABEL + 1, "holds 5 at 4; the encoder knows classes 0 … 4 (num_classes=5), or -1 for no"),
    (LABEL - 2, "holds -2 at 0; the encoder knows classes 0 … 4"),
    (np.where(LABEL == 3, 12345, LABEL), "holds 12345 at 3"),
    (np.where(LABEL == 3, np.nan, LABEL), "holds nan at 3"),
    ((LABEL + 254).astype(np.uint8), "holds 254 at 0"),
]


@pytest.mark.parametrize(("label", "message"), BAD_LABELS, ids=range(len(BAD_LABELS)))
@pytest.mark.parametrize("split", ["training", "test"])
def test_labels_outside_the_classes_are_refused_in_fit(label, message, split):
    good = (X, {"label": LABEL.astype(label.dtype)})
    bad = (X, {"label": label})
    train, test = (bad, good) if split == "training" else (good, bad)
    options = {"steps": 2, "batch_size": 16, "progress": False}
    with pytest.raises(DataError) as caught:
        ae.fit(recipe(), train, test=test, **options)
    assert f"extras['label'] of the {split} split {message}" in str(caught.value)


def test_labels_of_a_split_of_arrays_are_checked_where_they_are():
    label = LABEL.copy()
    label[ae.data.split_mask(len(X), 0.1)] = 7
    with pytest.raises(DataError, match="of the test split holds 7 at 0"):
        fit({"label": label})


BETWEEN = {
    "encode": lambda run, x, e: run.encode(x, extras=e),
    "encode a sample": lambda run, x, e: run.encode(x, keys.root(0), extras=e),
    "encode a pair": lambda run, x, e: run.encode((x, e)),
    "decode": lambda run, x, e: run.decode(np.zeros((len(x), 2)), extras=e),
    "reconstruct": lambda run, x, e: run.reconstruct(x, extras=e),
    "sample": lambda run, x, e: run.sample(len(x), extras=e),
    "log_likelihood": lambda run, x, e: run.log_likelihood(x, 1, extras=e),
    "evaluate": lambda run, x, e: run.evaluate((x, e)),
    "evaluate a source": lambda run, x, e: run.evaluate(ae.data.Arrays(x, e)),
    "latent_usage": lambda run, x, e: run.latent_usage((x, e)),
}


@pytest.mark.parametrize("use", BETWEEN)
@pytest.mark.parametrize("label", [5, 12345, -2])
def test_labels_outside_the_classes_are_refused_in_use(use, label, run):
    with pytest.raises(DataError, match=rf"holds {label} at 1; the encoder knows classes 0 … 4"):
        BETWEEN[use](run, X[:2], {"label": np.array([0, label])})


@pytest.mark.parametrize("use", BETWEEN)
def test_words_for_labels_are_refused_in_use_with_what_to_do(use, run):
    with pytest.raises(DataError, match="words such as 'cat'|must be real numbers, got dtype <U3"):
        BETWEEN[use](run, X[:2], {"label": np.array(["cat", "dog"])})


def test_a_label_of_minus_one_is_none():
    module = network().bind((3,))
    params, state = fast.jit(lambda k: module.init(k, X[0], extras={"label": 0}))(keys.root(0))
    told = lambda label: module.apply(params, state, X[0], extras={"label": np.int32(label)})[0]
    kernel = params["dense_0"]["kernel"]
    hidden = lambda extra: np.maximum(X[0] @ kernel[: len(X[0])] + extra, 0)
    out = lambda extra: hidden(extra) @ params["output"]["kernel"]
    np.testing.assert_allclose(told(conditions.NO_LABEL), out(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(told(2), out(kernel[len(X[0]) + 2]), rtol=1e-5, atol=1e-6)


def test_examples_without_a_label_are_learned_from_and_sampled(run):
    untrained.plan(recipe(), (X, {"label": np.where(LABEL == 0, -1, LABEL)}))
    found = run.sample(3, extras={"label": [-1, 4, 0]})
    assert np.isfinite(found).all()


MISSING = [
    ({"lable": LABEL}, "training split lacks; did you mean 'lable'? In the training split: lable"),
    ({}, "the encoder is conditioned on extras['label'], which the training split lacks"),
]


@pytest.mark.parametrize(("extras", "message"), MISSING)
def test_a_condition_that_the_data_lack_is_refused_with_what_is_there(extras, message):
    with pytest.raises(ConfigError) as caught:
        fit(extras)
    assert message in str(caught.value)


def test_a_test_split_without_the_condition_is_refused_with_what_to_do():
    with pytest.raises(ConfigError, match=r"which the test split lacks.*test=\(x, \{…\}\)"):
        fit({"label": LABEL}, test=X)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_conditions_that_are_not_finite_are_refused(value):
    angle = np.ones((len(X), 2), np.float32)
    angle[3, 1] = value
    made = recipe(networks.mlp((4,)), network("angle", None))
    with pytest.raises(DataError, match=rf"'angle'\] .* holds {value} at 3, 1; the decoder knows"):
        fit({"angle": angle}, made)


def test_extras_that_no_network_is_told_may_be_anything_that_is_a_number():
    dataset = ae.data.from_arrays(X, extras={"label": LABEL + 7, "time": np.full(len(X), np.nan)})
    untrained.plan(small.vae(), dataset)


class Streamed:
    """Examples with a label out of range at the end, beyond any sample."""

    spec = ae.data.Arrays(X[:1], {"label": LABEL[:1]}).spec

    def __len__(self):
        return 20_000

    def read(self, index):
        return ae.data.Records(X[index % len(X)], {"label": np.where(index == 19_999, 5, 0)})


def test_conditions_that_are_streamed_are_checked_as_they_are_read():
    wanted = conditions.of_model(recipe().build(ae.Spec((small.WIDTH,), "real"))[0])
    source = conditions.guarded(Streamed(), wanted, "the training split")
    assert source.spec == Streamed.spec
    assert len(source.read(np.arange(10)).x) == 10
    with pytest.raises(DataError, match="of the training split holds 5 at 19999"):
        source.read(np.array([3, 19_999]))


@pytest.mark.parametrize("name", ["mlp", "conv", "gru", "vit", "tabular"])
def test_every_network_that_takes_a_condition_says_so(name):
    arguments = {"conv": {"features": (4,)}, "vit": {"patch": 2}, "tabular": {"columns": [0, 0]}}
    made = networks.__dict__[name](
        **arguments.get(name, {}), condition="label", num_classes=CLASSES
    )
    model = ae.recipes.vae(2, encoder=made, decoder=networks.mlp((4,))).build(
        ae.Spec((4, 4, 1), "real")
    )[0]
    assert conditions.of_model(model) == (conditions.Condition("encoder", "label", CLASSES),)
