"""The Gaussian likelihood with its three variances, against SciPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ae_jax as ae
from tests import fast

RNG = np.random.default_rng(0)
SHAPE = (3, 4)
MEAN, RAW, X = (RNG.normal(size=SHAPE).astype(np.float32) for _ in range(3))
SHIFT = 0.07
DRAWS = 50_000

# Each: the variance, the decoder's output, the learned parameters, and the σ it must mean at scale
# 0.5: log σ² = 2 log scale, plus 10 · shift where global, plus the raw output where predicted.
CASES = [
    pytest.param("fixed", MEAN, {}, np.full(SHAPE, 0.5), id="fixed"),
    pytest.param(
        "global", MEAN, {"shift": jnp.float32(SHIFT)}, 0.5 * np.exp(5 * SHIFT), id="global"
    ),
    pytest.param(
        "predicted", np.concatenate([MEAN, RAW], -1), {}, 0.5 * np.exp(0.5 * RAW), id="predicted"
    ),
]


def likelihood_of(variance):
    return ae.likelihoods.gaussian(variance, scale=0.5)


@functools.cache
def value_and_gradient(variance):
    """`(params, y, x, observed)` to log p and its gradient by y."""
    return fast.jit(jax.value_and_grad(likelihood_of(variance).log_prob, argnums=1))


@pytest.mark.parametrize(("variance", "y", "params", "sigma"), CASES)
def test_the_log_probability_is_scipys_constants_included(variance, y, params, sigma):
    expected = stats.norm(MEAN, sigma).logpdf(X).sum()
    got, _ = value_and_gradient(variance)(params, jnp.asarray(y), X, None)
    np.testing.assert_allclose(got, expected, rtol=2e-6)


@pytest.mark.parametrize(("variance", "y", "params", "sigma"), CASES)
def test_unobserved_entries_do_not_count_whatever_they_hold(variance, y, params, sigma):
    observed = np.random.default_rng(1).random(SHAPE) < 0.5
    garbage = np.where(observed, X, np.nan).astype(np.float32)
    expected = stats.norm(MEAN, sigma).logpdf(X)[observed].sum()
    value, gradient = value_and_gradient(variance)(params, jnp.asarray(y), garbage, observed)
    np.testing.assert_allclose(value, expected, rtol=2e-6)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(np.asarray(gradient)[:, :4][~observed], 0)


@pytest.mark.parametrize(("variance", "y", "params", "sigma"), CASES)
def test_mean_mode_and_the_moments_of_samples(variance, y, params, sigma):
    likelihood = likelihood_of(variance)
    np.testing.assert_array_equal(likelihood.mean(params, y), MEAN)
    np.testing.assert_array_equal(likelihood.mode(params, y), MEAN)
    keys = jax.random.split(jax.random.key(0), DRAWS)
    draws = fast.jit(jax.vmap(lambda key: likelihood.sample(params, y, key)))(keys)
    draws = np.asarray(draws, np.float64)
    assert np.abs((draws.mean(0) - MEAN) / sigma * np.sqrt(DRAWS)).max() < 4.5
    assert np.abs((draws.var(0) / sigma**2 - 1) / np.sqrt(2 / DRAWS)).max() < 4.5


@pytest.mark.parametrize(
    ("variance", "event", "expected"),
    [
        ("fixed", (3, 5), (3, 5)),
        ("global", (7,), (7,)),
        ("predicted", (3, 5), (3, 10)),
        ("predicted", (1,), (2,)),
        ("predicted", (3, 37, 53), (3, 37, 106)),
    ],
)
def test_the_decoder_emits_twice_the_last_axis_only_when_it_predicts(variance, event, expected):
    likelihood = ae.likelihoods.gaussian(variance)
    assert likelihood.parameter_shape(event) == expected
    assert likelihood.mean(likelihood.init(jax.random.key(0)), jnp.zeros(expected)).shape == event


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("variance", ["fixed", "global", "predicted"])
def test_every_variance_starts_at_the_scale(variance, scale):
    likelihood = ae.likelihoods.gaussian(variance, scale=scale)
    params = likelihood.init(jax.random.key(0))
    y = jnp.zeros(likelihood.parameter_shape((1,)))
    got = likelihood.log_prob(params, y, jnp.zeros(1), None)
    np.testing.assert_allclose(got, stats.norm(0, scale).logpdf(0), rtol=1e-5)


def test_the_global_variance_is_learned_to_the_error():
    """At its optimum σ² is the mean squared error, where the gradient is zero."""
    likelihood = ae.likelihoods.gaussian("global")
    shift = np.log(np.mean((X - MEAN) ** 2)) / 10
    gradient = fast.jit(jax.grad(likelihood.log_prob))
    at = lambda offset: gradient({"shift": jnp.float32(shift + offset)}, MEAN, X, None)["shift"]
    np.testing.assert_allclose(at(0), 0, atol=1e-3)
    assert at(-0.01) > 1
    assert at(0.01) < -1


@pytest.mark.parametrize("raw", [-1e4, -100.0, 100.0, 1e4])
def test_extreme_predicted_variances_have_finite_value_and_gradient(raw):
    y = jnp.array([0.0, raw])
    value, gradient = value_and_gradient("predicted")({}, y, jnp.ones(1), None)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_an_unknown_variance_gets_the_nearest():
    match = r"variance cannot be 'predict'; did you mean 'predicted'\?"
    with pytest.raises(ae.errors.ConfigError, match=match):
        ae.likelihoods.gaussian("predict")


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), "1", True])
def test_a_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match=f"scale must be a positive number, got {scale!r}"):
        ae.likelihoods.gaussian(scale=scale)


def test_any_finite_data_are_in_range():
    ae.likelihoods.gaussian().validate(np.float32([-1e9, 0, 1e9]))


@pytest.mark.parametrize("shift", [-1e3, -2.0, 0.0, 3.0])
def test_a_global_variance_stays_above_the_least(shift):
    """Log σ² = 2 log least + softplus(c + shift), at the scale where shift is 0."""
    likelihood = ae.likelihoods.gaussian("global", scale=2.0, least=0.5)
    start = np.log(np.expm1(2 * np.log(2.0 / 0.5)))
    sigma = 0.5 * np.exp(0.5 * np.logaddexp(0, start + shift))
    got = likelihood.log_prob({"shift": jnp.float32(shift)}, jnp.zeros(1), jnp.ones(1), None)
    np.testing.assert_allclose(got, stats.norm(0, sigma).logpdf(1), rtol=1e-5)
    assert sigma >= 0.5
    assert shift != 0.0 or sigma == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"variance": "global", "least": 1.0}, "least must be below the scale 1 .* got 1.0"),
        ({"variance": "global", "least": 0}, "least must be a positive number, got 0"),
        ({"variance": "predicted", "least": 2.0}, "least must be below the scale 1 .* got 2.0"),
        ({"least": 0.1}, "least is of the variances .* got least=0.1 for 'fixed'"),
    ],
)
def test_a_least_that_cannot_be_is_refused(options, match):
    for name in ("gaussian", "laplace"):
        with pytest.raises(ae.errors.ConfigError, match=match):
            getattr(ae.likelihoods, name)(**options)


def descended(likelihood, rate):
    """Loss and mean squared error after plain gradient descent on 30 means and σ."""
    x = 0.6 + 0.1 * np.random.default_rng(0).normal(size=(64, 30)).astype(np.float32)

    def loss(parameters):
        return -jnp.mean(jax.vmap(lambda row: likelihood.log_prob(*parameters, row, None))(x))

    def step(_, parameters):
        return jax.tree.map(lambda p, g: p - rate * g, parameters, jax.grad(loss)(parameters))

    start = likelihood.init(jax.random.key(0)), jnp.zeros(30)
    end = fast.jit(lambda start: jax.lax.fori_loop(0, 300, step, start))(start)
    return float(loss(end)), float(np.mean((x - np.asarray(end[1])) ** 2))


def test_plain_sgd_does_not_run_away_with_a_variance_that_has_a_least():
    """At a rate of 0.01: both learn the mean, or neither finds it again."""
    bounded, error = descended(ae.likelihoods.gaussian("global", least=0.5), 0.01)
    # σ = 0.5, an error of 0.1
    assert bounded < 30 * (0.5 * np.log(2 * np.pi * 0.25) + 0.02) + 1.5
    assert error < 0.011
    unbounded, _ = descended(ae.likelihoods.gaussian("global"), 0.01)
    assert not unbounded < 100


@pytest.mark.slow
def test_plain_sgd_does_not_run_away_with_the_variance_of_a_table():
    """At a rate of 0.01 the unbounded one was at a loss of 7e8 after 20 steps."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(256, 4)) @ rng.normal(size=(4, 30)) / 2).astype(np.float32)
    losses = []
    note = lambda point: losses.append(point.metrics["loss"]) if point.split == "train" else None
    sgd = {"name": "sgd", "learning_rate": 1e-2}
    options = {"steps": 150, "log_every": 10, "progress": False, "callbacks": [note]}
    run = ae.fit(ae.recipes.vae(4), x, test=x, optimizer=sgd, **options)
    assert max(losses) == losses[0]
    assert losses[-1] < losses[0] - 5
    assert run.evaluate(x)["mse"] < 0.5
