"""What the likelihoods of counts share: what networks read of them, library sizes, the start."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ae_jax as ae
from ae_jax import config, keys
from ae_jax.data import Arrays, Dataset, preprocessing
from ae_jax.errors import ConfigError, ShapeError
from ae_jax.recipes.defaults import start
from ae_jax.types import Coder
from tests import fast

NAMES = ("poisson", "negative_binomial", "zero_inflated_negative_binomial")
RNG = np.random.default_rng(0)
X = RNG.poisson([[1.0, 30.0, 400.0, 0.2]], (6, 4)).astype(np.float32)
SEEN = RNG.random(X.shape) < 0.7
MEANS = (1.5, 20.0, 300.0, 0.5)
MIXED = ae.likelihoods.mixed([("gaussian", 2), ("poisson", 1), ("negative_binomial", 1)])
part = lambda name: getattr(ae.likelihoods, name)


def told(of):
    """A coder that emits what it is given: x, or the target, in every output."""

    def apply(params, state, x, *, target=None, **options):
        value = x if of == "x" else jnp.zeros(4) if target is None else target
        return value, {}, state

    return Coder(lambda key, x: ({}, {}), apply)


def model_of(likelihood, corruption=None, decoder=None):
    zeros = Coder(
        lambda key, x: ({}, {}),
        lambda params, state, x, **_: (jnp.zeros(likelihood.parameter_shape((4,))), {}, state),
    )
    bottleneck = ae.bottlenecks.identity(4)
    return ae.autoencoder(told("x"), decoder or zeros, bottleneck, likelihood, corruption)


def forward(model, x=X, observed=None):
    own = keys.for_examples(jax.random.key(0), 0, jnp.arange(len(x), dtype=jnp.uint32))
    variables = model.init(jax.random.key(0), x[0])
    batch = ae.Batch(jnp.asarray(x), None if observed is None else jnp.asarray(observed))
    return fast.jit(model.forward)(variables, batch, own)[0], variables


def test_networks_read_log1p_of_counts_in_every_way_through_the_model():
    wanted, name = np.log1p(X.astype(float)), "negative_binomial"
    model = model_of(part(name)())
    outputs, variables = forward(model)
    np.testing.assert_allclose(outputs.z[:, 0], wanted, rtol=1e-6)
    np.testing.assert_allclose(model.encode(variables, X), wanted, rtol=1e-6)
    np.testing.assert_array_equal(outputs.corrupted, X)
    for other in NAMES:
        np.testing.assert_allclose(part(other)().view(X, None), wanted, rtol=1e-6)
    centred = model_of(part(name)(mean=MEANS))
    np.testing.assert_allclose(
        forward(centred, observed=SEEN)[0].z[:, 0],
        np.where(SEEN, wanted - np.log1p(MEANS), 0),
        rtol=1e-5,
        atol=1e-6,
    )
    masked = model_of(part(name)(), ae.corruptions.masking(1.0))
    np.testing.assert_array_equal(forward(masked)[0].z, 0)
    as_they_are = model_of(part(name)(view="identity"))
    np.testing.assert_array_equal(forward(as_they_are)[0].z[:, 0], X)


def test_decoders_that_read_the_target_read_log1p_of_it_and_the_likelihood_counts():
    outputs, _ = forward(model_of(ae.likelihoods.poisson(), decoder=told("target")))
    np.testing.assert_allclose(outputs.parameters[:, 0], np.log1p(X.astype(float)), rtol=1e-6)
    expected = stats.poisson.logpmf(X, 1.0 + X.astype(float)).sum(1)
    np.testing.assert_allclose(outputs.log_px[:, 0], expected, rtol=1e-3)


def test_only_the_counts_of_a_table_are_shown_as_log1p():
    wanted = np.concatenate([X[:, :2], np.log1p(X[:, 2:].astype(float))], axis=1)
    np.testing.assert_allclose(forward(model_of(MIXED))[0].z[:, 0], wanted, rtol=1e-6)
    assert ae.likelihoods.mixed([("gaussian", 3)]).view is None


def test_noise_below_zero_is_shown_as_a_finite_number():
    noisy = model_of(ae.likelihoods.poisson(), ae.corruptions.gaussian(1e3))
    outputs, _ = forward(noisy)
    assert np.min(outputs.corrupted) < -1
    expected = np.sign(outputs.corrupted) * np.log1p(np.abs(outputs.corrupted))
    np.testing.assert_allclose(outputs.z[:, 0], expected, rtol=1e-5)


def test_a_contractive_penalty_goes_through_what_the_network_reads():
    """∂z/∂x of z = log(1 + x) is 1 / (1 + x)."""
    model = model_of(ae.likelihoods.poisson())
    outputs, variables = forward(model)
    batch, own = ae.Batch(jnp.asarray(X)), keys.for_examples(jax.random.key(0), 0, jnp.arange(6))
    context = ae.Context(model, variables, batch, own, jnp.int32(0), 6)
    penalty = ae.terms.contractive().terms[0].per_example(outputs, context)
    np.testing.assert_allclose(penalty, ((1 / (1 + X.astype(float))) ** 2).sum(1), rtol=1e-5)


LOGPMF = {
    "poisson": lambda x, m: stats.poisson.logpmf(x, m),
    "negative_binomial": lambda x, m: stats.nbinom.logpmf(x, 1.0, 1 / (1 + m)),
    "zero_inflated_negative_binomial": lambda x, m: np.log(
        0.5 * (x == 0) + 0.5 * stats.nbinom.pmf(x, 1.0, 1 / (1 + m))
    ),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("missing", [False, True])
def test_an_examples_library_size_multiplies_its_means(name, missing):
    """By a decoder of zeros: α = 1, π = ½ and means that are s times those stated."""
    seen = SEEN if missing else np.ones(X.shape, bool)
    means = np.array(MEANS)
    model = model_of(part(name)(mean=MEANS, library=True))
    outputs, variables = forward(model, X, SEEN if missing else None)
    totals = np.maximum(X.sum(1, where=seen), 1)
    size = totals / (means * seen).sum(1)
    rates = size[:, None] * means
    expected = LOGPMF[name](X, rates).sum(1, where=seen)
    np.testing.assert_allclose(outputs.log_px[:, 0], expected, rtol=1e-4)
    share = 0.5 if name.startswith("zero") else 1.0
    known = X, (jnp.asarray(seen) if missing else None)
    again = model.decode(variables, outputs.z[:, 0], None, *known)
    np.testing.assert_allclose(again, share * rates, rtol=1e-4)
    if not missing:
        np.testing.assert_allclose(np.sum(again, 1), share * totals, rtol=1e-4)
    alone = model.decode(variables, outputs.z[:, 0])  # no example: the library of the means
    np.testing.assert_allclose(alone, np.tile(share * means, (6, 1)), rtol=1e-4)


def test_hidden_counts_are_explained_by_the_library_of_all_that_is_observed():
    """A masked loss does not count its targets alone into their library size."""
    poisson = ae.likelihoods.poisson(mean=2.0, library=True)
    model = model_of(poisson, ae.corruptions.masking(0.5))
    x = np.float32([[1, 5, 0, 2]] * 6)
    outputs, variables = forward(model, x)
    own = keys.for_examples(jax.random.key(0), 0, jnp.arange(6, dtype=jnp.uint32))
    context = ae.Context(model, variables, ae.Batch(jnp.asarray(x)), own, jnp.int32(0), 6)
    loss = ae.terms.masked_reconstruction().terms[0].per_example(outputs, context)
    hidden = np.asarray(outputs.info["mask"])
    expected = -stats.poisson.logpmf(x, 2.0).sum(1, where=hidden)  # s = 8 / 8 for each
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_a_library_in_a_table_is_that_of_its_group():
    genes = ae.likelihoods.poisson(mean=[1.0, 3.0], library=True)
    table = ae.likelihoods.mixed([("gaussian", 1), (genes, 2)])
    y = table.given(jnp.zeros(3), jnp.float32([9.0, 6.0, 2.0]), None)
    np.testing.assert_allclose(y, [0, np.log(2), np.log(2)], rtol=1e-6)


def test_an_example_without_a_count_stays_finite():
    model = model_of(ae.likelihoods.negative_binomial(library=True))
    outputs, _ = forward(model, np.zeros((6, 4), np.float32))
    assert np.isfinite(outputs.log_px).all()


def test_options_out_of_range_are_refused():
    for options, match in (
        ({"mean": 0.0}, "mean must be a positive number, got 0.0"),
        ({"mean": [1.0, -2.0]}, r"mean must be a positive number, got -2\.0"),
        ({"mean": "1"}, "mean must be a positive number, got '1'"),
        ({"view": "log"}, "view cannot be 'log'; did you mean 'log1p'"),
        ({"library": 3000.0}, r"library must be True or False, got 3000\.0"),
    ):
        for name in NAMES:
            with pytest.raises(ConfigError, match=match):
                part(name)(**options)
    with pytest.raises(ShapeError, match=r"means of 2 features, which events of shape \(3,\)"):
        ae.likelihoods.poisson(mean=[1.0, 2.0]).parameter_shape((3,))
    with pytest.raises(ConfigError, match="library=True of the poisson likelihood needs several"):
        forward(model_of(ae.likelihoods.mixed([("gaussian", 3), (LIBRARY, 1)])))


LIBRARY = ae.likelihoods.poisson(library=True)


def started(likelihood, x, observed=None):
    train = Arrays(x, observed=observed)
    return start(likelihood, Dataset(train, Arrays(x[:0])), preprocessing.none()).node.to_dict()


@pytest.mark.parametrize("name", NAMES)
def test_a_likelihood_starts_at_the_means_of_the_training_data(name):
    x = np.array([[1, 0, 5000], [2, 0, 7001]])
    node = started(part(name)(library=True), x)
    assert node == {"name": name, "mean": (1.5, 0.25, 6000.0), "view": "log1p", "library": True}
    assert started(part(name)(mean=3.0), x)["mean"] == 3.0
    seen = np.array([[True, False, True], [True, True, False]])
    assert started(part(name)(), x, seen)["mean"] == (1.5, 0.5, 5000.0)
    assert started(part(name)(), x.reshape(2, 3, 1))["mean"] == pytest.approx(2001, rel=1e-3)
    table = ae.likelihoods.mixed([("gaussian", 2), (name, 1)])
    assert started(table, x)["columns"][1][0]["mean"] == 6000.0


def test_a_decoder_of_zeros_emits_the_means():
    for name in NAMES:
        likelihood = part(name)(mean=MEANS)
        y = jnp.zeros(likelihood.parameter_shape((4,)))
        share = 0.5 if name.startswith("zero") else 1.0
        np.testing.assert_allclose(likelihood.mean({}, y), share * np.array(MEANS), rtol=1e-5)


def cells():
    """Counts of 20 genes in three kinds of cells, and their independent fit's -log p, in nats."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 128)
    rate = rng.gamma(0.3, 1, (3, 20))[kind] * np.exp(rng.normal(6, 0.5, (128, 1)))
    x = rng.poisson(rate).astype(np.float32)
    mean = np.maximum(x.mean(0), 0.5 / len(x))
    size = mean**2 / (np.maximum(x.var(0), 1.01 * mean) - mean)
    return x, -stats.nbinom.logpmf(x, size, size / (size + mean)).sum(1).mean()


def test_the_first_loss_is_of_the_order_of_an_independent_fit():
    """Raw counts of 400 and more in its networks made it 1e6 times that."""
    x, independent = cells()
    recipe = ae.recipes.vae(2, likelihood=part("negative_binomial")()).fill(ae.Spec((20,), "count"))
    likelihood = start(recipe.likelihood, Dataset(Arrays(x), Arrays(x[:0])), preprocessing.none())
    model, _ = recipe._replace(likelihood=likelihood).build(ae.Spec((20,), "count"))
    outputs, _ = forward(model, x)
    loss = -np.mean(outputs.log_px + outputs.log_pz - outputs.log_qz)
    assert loss < 3 * independent


@pytest.mark.slow
def test_counts_of_any_size_train_to_below_their_independent_fit():
    (x, independent), losses = cells(), []
    data = ae.data.from_arrays(x, test=x)._replace(kind="count")
    note = lambda point: losses.append(point.metrics["loss"]) if point.split == "train" else None
    options = {"steps": 150, "batch_size": 64, "progress": False, "log_every": 1}
    rate = {"learning_rate": 5e-3}
    run = ae.fit(ae.recipes.vae(2), data, optimizer=rate, callbacks=[note], **options)
    assert max(losses) < 5 * independent
    assert run.evaluate(x)["neg_elbo"] < 0.95 * independent


def test_a_run_from_before_reads_its_counts_as_it_did():
    old = {"name": "mixed", "columns": [["gaussian", 2], [{"name": "poisson"}, 1]]}
    new = ae.likelihoods.mixed([("gaussian", 2), (ae.likelihoods.poisson(), 1)])
    said = lambda node: config.of_older({"model": {"likelihood": node}})["model"]["likelihood"]
    build = functools.partial(ae.likelihoods.mixed)
    older = build(**{k: v for k, v in said(old).items() if k != "name"})
    assert older.view is None or np.array_equal(older.view(X[0, :3], None), X[0, :3])
    assert older.node.to_dict()["columns"][1][0]["mean"] == 1.0
    plain = config.to_plain(new.node)
    assert said(plain) == plain
    assert said({"name": "bernoulli"}) == {"name": "bernoulli"}
    assert said("custom") == "custom"
