"""Losses of games on pairs, and LeCam's anchors, against SciPy, and the value of a perfect tie."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from ae_jax import losses

RNG = np.random.default_rng(0)
REAL, FAKE = 3 * RNG.normal(size=(2, 3, 2))


def test_relativistic_losses_are_scipys():
    expected = -special.log_expit(REAL - FAKE).sum()
    found = losses.relativistic_discriminator(jnp.float32(REAL), jnp.float32(FAKE))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    expected = -special.log_expit(FAKE - REAL).sum()
    found = losses.relativistic_generator(jnp.float32(REAL), jnp.float32(FAKE))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_lecam_is_its_formula():
    expected = ((REAL + 0.7) ** 2 + (FAKE - 0.3) ** 2).sum()
    found = losses.lecam(jnp.float32(REAL), jnp.float32(FAKE), 0.3, -0.7)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("far", [-1e4, -88.0, 88.0, 1e4])
def test_extreme_verdicts_stay_finite(far):
    for name in ("relativistic_discriminator", "relativistic_generator"):
        value, grad = jax.value_and_grad(getattr(losses, name))(jnp.float32(far), jnp.float32(0))
        assert np.isfinite(value)
        assert np.isfinite(grad)


def test_gradients_are_finite_differences():
    with jax.enable_x64(True):
        for function in (
            losses.relativistic_discriminator,
            losses.relativistic_generator,
            lambda real, fake: losses.lecam(real, fake, 0.3, -0.7),
        ):
            grad = jax.grad(function)(REAL, FAKE)
            step = np.zeros_like(REAL)
            step[1, 0] = 1e-6
            moved = function(REAL + step, FAKE) - function(REAL - step, FAKE)
            np.testing.assert_allclose(grad[1, 0], moved / 2e-6, rtol=1e-7)


def test_the_best_discriminator_of_two_equal_laws_is_worth_minus_log_four():
    """It says ½ everywhere: E log D(x) + E log(1 - D(x')) = -log 4 (Goodfellow et al. 2014)."""
    undecided = jnp.zeros(())
    value = -losses.non_saturating_discriminator(undecided, undecided)
    assert float(value) == pytest.approx(-math.log(4))
    best = jax.grad(lambda logit: losses.non_saturating_discriminator(logit, logit))(undecided)
    assert float(best) == 0.0
