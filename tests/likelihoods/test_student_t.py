"""The Student-t likelihood's options and what its tails are for, against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ae_jax as ae

RNG = np.random.default_rng(0)
LOCATION, RAW, DEGREES, X = (RNG.normal(size=(3, 4)).astype(np.float32) for _ in range(4))


def test_mu_sigma_and_nu_stand_side_by_side_on_the_last_axis():
    likelihood = ae.likelihoods.student_t(scale=0.5, least=1e-3)
    y = np.concatenate([LOCATION, RAW, DEGREES], -1)
    assert likelihood.parameter_shape((3, 4)) == y.shape
    sigma = np.sqrt(1e-6 + (0.25 - 1e-6) * np.exp(RAW.astype(float)))
    nu = 3 + np.logaddexp(0, DEGREES.astype(float))
    expected = stats.t(nu, LOCATION, sigma).logpdf(X).sum()
    np.testing.assert_allclose(likelihood.log_prob({}, y, X, None), expected, rtol=2e-6)
    np.testing.assert_array_equal(likelihood.mean({}, y), LOCATION)


@pytest.mark.parametrize("nu", [1.5, 4, 1e6])
def test_fixed_degrees_and_scale(nu):
    likelihood = ae.likelihoods.student_t("fixed", scale=2.0, degrees=nu)
    assert likelihood.parameter_shape((3, 4)) == (3, 4)
    expected = stats.t(nu, LOCATION, 2.0).logpdf(X).sum()
    np.testing.assert_allclose(likelihood.log_prob({}, LOCATION, X, None), expected, rtol=2e-6)


def test_one_learned_scale_and_one_learned_nu():
    likelihood = ae.likelihoods.student_t("global", scale=0.5, degrees="global", least=0.1)
    assert likelihood.parameter_shape((3, 4)) == (3, 4)
    start = likelihood.init(jax.random.key(0))
    assert {name: float(value) for name, value in start.items()} == {"shift": 0, "degrees": 0}

    def reference(shift, degrees):
        sigma = np.sqrt(0.01 + 0.24 * np.exp(shift))
        return stats.t(3 + np.logaddexp(0, degrees), LOCATION, sigma).logpdf(X).sum()

    params = {"shift": jnp.float32(0.3), "degrees": jnp.float32(-0.7)}
    value, slopes = jax.value_and_grad(likelihood.log_prob)(params, LOCATION, X, None)
    assert float(value) == pytest.approx(reference(0.3, -0.7), rel=2e-6)
    by_shift = (reference(0.3 + 1e-4, -0.7) - reference(0.3 - 1e-4, -0.7)) / 2e-4
    by_degrees = (reference(0.3, -0.7 + 1e-4) - reference(0.3, -0.7 - 1e-4)) / 2e-4
    assert float(slopes["shift"]) == pytest.approx(by_shift, rel=1e-4)
    assert float(slopes["degrees"]) == pytest.approx(by_degrees, rel=1e-4)


def test_a_predicted_scale_stays_above_its_least():
    for part, raw_degrees in ((ae.likelihoods.gaussian, []), (ae.likelihoods.student_t, [0.0])):
        y = jnp.array([0.0, -1e4, *raw_degrees])
        got = part("predicted", least=0.5).log_prob({}, y, jnp.ones(1), None)
        fixed = part("fixed", scale=0.5).log_prob({}, jnp.delete(y, 1), jnp.ones(1), None)
        assert float(got) == pytest.approx(float(fixed), rel=1e-5)


def test_options_are_checked():
    refused = lambda match: pytest.raises(ae.errors.ConfigError, match=match)
    with refused("did you mean 'predicted'"):
        ae.likelihoods.student_t("predict")
    with refused("degrees cannot be 'gobal'; did you mean 'global'"):
        ae.likelihoods.student_t(degrees="gobal")
    for bad in (1, 0.5, float("inf"), float("nan"), True, None):
        with refused(f"degrees must be a number above 1, where the mean exists, .*got {bad}"):
            ae.likelihoods.student_t(degrees=bad)
    with refused("least is of the variances 'global' and 'predicted', got least=0.1 for 'fixed'"):
        ae.likelihoods.student_t("fixed", least=0.1)
    with refused("least must be below the scale 1"):
        ae.likelihoods.student_t(least=2.0)
