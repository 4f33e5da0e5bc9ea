"""The Laplace likelihood with its three scales, against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ae_jax as ae

RNG = np.random.default_rng(0)
LOCATION, RAW, X = (RNG.normal(size=(3, 4)).astype(np.float32) for _ in range(3))
SHIFT = 0.07
CASES = [
    pytest.param("fixed", LOCATION, {}, 0.5, id="fixed"),
    pytest.param(
        "global", LOCATION, {"shift": jnp.float32(SHIFT)}, 0.5 * np.exp(5 * SHIFT), id="global"
    ),
    pytest.param(
        "predicted",
        np.concatenate([LOCATION, RAW], -1),
        {},
        0.5 * np.exp(0.5 * RAW),
        id="predicted",
    ),
]


@pytest.mark.parametrize(("variance", "y", "params", "b"), CASES)
def test_log_prob_is_scipys(variance, y, params, b):
    likelihood = ae.likelihoods.laplace(variance, scale=0.5)
    assert likelihood.parameter_shape((3, 4)) == y.shape
    expected = stats.laplace(LOCATION, b).logpdf(X).sum()
    np.testing.assert_allclose(likelihood.log_prob(params, y, X, None), expected, rtol=2e-6)


def test_it_starts_at_the_scale():
    for variance in ("fixed", "global", "predicted"):
        likelihood = ae.likelihoods.laplace(variance, scale=3.0)
        y = jnp.zeros(likelihood.parameter_shape((1,)))
        got = likelihood.log_prob(likelihood.init(jax.random.key(0)), y, jnp.zeros(1), None)
        np.testing.assert_allclose(got, -np.log(6), rtol=1e-6)


def test_an_exact_reconstruction_has_no_gradient():
    likelihood = ae.likelihoods.laplace()
    gradient = jax.grad(likelihood.log_prob, 1)({}, jnp.ones(2), jnp.array([1.0, 2.0]), None)
    np.testing.assert_array_equal(gradient, [0, 1])


def test_options_are_checked():
    with pytest.raises(ae.errors.ConfigError, match="did you mean 'predicted'"):
        ae.likelihoods.laplace("predict")
    with pytest.raises(ae.errors.ConfigError, match="scale must be a positive number, got -1"):
        ae.likelihoods.laplace(scale=-1)
