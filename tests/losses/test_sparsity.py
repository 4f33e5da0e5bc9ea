"""Sparsity penalties against NumPy, and where the gradient of the auxiliary loss goes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.losses import sparsity
from tests.losses.properties import Case
from tests.losses.row_properties import FusedProperties
from tests.reference import sparsity as reference

SHAPE = (3, 4)
RESIDUAL = np.linspace(-2, 2, 12, dtype=np.float32).reshape(SHAPE)


def rates(rng):
    return (rng.uniform(0.01, 0.99, size=7),)


def extreme_rates(rho):
    least = np.array([0.0, 1e-30, 1e-8, 1e-7, 1e-3])
    yield (np.concatenate([least, 1 - least]),)
    yield (rho * (1 + np.array([-0.6, -0.4, -1e-3, 0.0, 1e-3, 0.4, 0.6])),)
    yield (np.full(3, rho),)


def codes(rng):
    return (rng.normal(size=SHAPE),)


def extreme_codes():
    yield (np.zeros(SHAPE),)
    yield (np.array([0.0, 1e-30, -1e-3, 1.0, -1e3, 1e30]),)


class TestProperties(FusedProperties):
    cases = (
        *(
            Case(
                f"sparsity_kl({rho})",
                functools.partial(sparsity.sparsity_kl, rho),
                functools.partial(reference.sparsity_kl, rho=rho),
                rates,
                functools.partial(extreme_rates, rho),
            )
            for rho in (0.0625, 0.5, 0.9375)
        ),
        Case("l1", sparsity.l1, reference.l1, codes, extreme_codes),
        *(
            Case(
                f"l0_surrogate({scale})",
                functools.partial(sparsity.l0_surrogate, scale=scale),
                functools.partial(reference.l0_surrogate, scale=scale),
                codes,
                extreme_codes,
            )
            for scale in (0.5, 4.0)
        ),
        Case(
            "dead_unit_auxiliary",
            functools.partial(sparsity.dead_unit_auxiliary, RESIDUAL),
            lambda revived: reference.dead_unit_auxiliary(RESIDUAL, revived),
            codes,
            lambda: [(np.zeros(SHAPE),), (np.full(SHAPE, 1e15),), (RESIDUAL,)],
        ),
    )


def test_kl_of_the_mean_is_not_the_mean_of_kls():
    """Two shards of one batch: the golden numbers of the sparse autoencoder's classic mistake."""
    shards = np.array([[0.02], [0.18]])
    of_the_mean = sparsity.sparsity_kl(0.1, shards.mean(0))
    mean_of = np.mean([sparsity.sparsity_kl(0.1, shard) for shard in shards])
    assert abs(of_the_mean) < 1e-6
    by_hand = 0.1 * np.log(0.1 / shards) + 0.9 * np.log(0.9 / (1 - shards))
    np.testing.assert_allclose(mean_of, by_hand.mean(), rtol=1e-5)
    assert mean_of > 0.04


def test_kl_near_its_minimum_keeps_its_digits():
    """1e-4 above ρ the divergence is δ² / 2ρ(1 − ρ), all that naive logarithms would lose."""
    rho, shift = 0.5, 1e-4
    rho_hat = np.float32(rho + shift)
    exact = (float(rho_hat) - rho) ** 2 / (2 * rho * (1 - rho))
    grad = jax.grad(sparsity.sparsity_kl, argnums=1)(rho, jnp.asarray(rho_hat))
    np.testing.assert_allclose(sparsity.sparsity_kl(rho, rho_hat), exact, rtol=1e-2)
    np.testing.assert_allclose(grad, (float(rho_hat) - rho) / (rho * (1 - rho)), rtol=1e-3)


@pytest.mark.parametrize(
    ("rho_hat", "sign"), [(0.0, -1), (1e-9, -1), (1.0, 1), (1.5, 1), (-0.5, -1)]
)
def test_gradient_beyond_the_clamp_leads_back(rho_hat, sign):
    value, grad = jax.value_and_grad(sparsity.sparsity_kl, argnums=1)(0.05, jnp.float32(rho_hat))
    assert np.isfinite(value)
    assert 1e6 < sign * grad < 1e9


@pytest.mark.parametrize("rho", [0.0, 1.0, 1.5, -0.1, float("nan")])
def test_rho_outside_its_range_is_refused(rho):
    with pytest.raises(ValueError, match=rf"rho must lie in \(0, 1\), got {rho}"):
        sparsity.sparsity_kl(rho, jnp.ones(2) / 2)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match=f"scale must be a positive number, got {scale}"):
        sparsity.l0_surrogate(jnp.ones(2), scale)


def test_l0_surrogate_counts_units_in_use():
    code = np.array([0.0, 0.0, 3.0, -2.0, 5.0])
    np.testing.assert_allclose(sparsity.l0_surrogate(code, 1e3), 3.0)
    small = sparsity.l0_surrogate(1e-3 * code, 1.0)
    np.testing.assert_allclose(small, sparsity.l1(1e-3 * code), rtol=1e-4)


def test_penalties_have_zero_gradient_at_zero():
    for penalty in (sparsity.l1, functools.partial(sparsity.l0_surrogate, scale=2.0)):
        np.testing.assert_array_equal(jax.grad(penalty)(jnp.zeros(3)), np.zeros(3))


@pytest.mark.parametrize("k", [1, 2, 4, 8])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_top_k_of_dead_equals_sorting(k, dtype):
    rng = np.random.default_rng(k)
    for dead in (rng.random(8) < 0.5, np.zeros(8, bool), np.ones(8, bool)):
        units = rng.integers(-3, 3, size=8).astype(np.float64)  # with ties
        chosen = sparsity.top_k_of_dead(jnp.asarray(units, dtype), dead, k)
        assert chosen.dtype == dtype
        np.testing.assert_array_equal(
            chosen.astype(np.float32), reference.top_k_of_dead(units, dead, k)
        )


def test_top_k_of_dead_keeps_negative_and_infinite_values():
    units, dead = jnp.array([-1.0, -jnp.inf, 5.0, -3.0]), jnp.array([True, True, False, True])
    chosen = jax.jit(sparsity.top_k_of_dead, static_argnames="k")(units, dead, k=2)
    np.testing.assert_array_equal(chosen, [-1.0, 0.0, 0.0, -3.0])


def test_the_auxiliary_gradient_goes_through_the_chosen_dead_units_alone():
    rng = np.random.default_rng(0)
    x, decoder = rng.normal(size=3), rng.normal(size=(6, 3))
    units, dead = rng.normal(size=6), np.array([True, False, True, True, False, True])

    def loss(reconstruction, units, decoder):
        revived = sparsity.top_k_of_dead(units, dead, 2) @ decoder
        return sparsity.dead_unit_auxiliary(x - reconstruction, revived)

    reconstruction = rng.normal(size=3)
    arrays = tuple(map(jnp.asarray, (reconstruction, units, decoder)))
    to_reconstruction, to_units, to_decoder = jax.grad(loss, argnums=(0, 1, 2))(*arrays)
    chosen = reference.top_k_of_dead(units, dead, 2)
    error = chosen @ decoder - (x - reconstruction)
    assert not np.any(to_reconstruction)
    np.testing.assert_allclose(to_units, 2 * (decoder @ error) * (chosen != 0), rtol=1e-4)
    np.testing.assert_allclose(to_decoder, 2 * np.outer(chosen, error), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("k", [0, 5])
def test_k_outside_the_units_is_refused(k):
    with pytest.raises(ValueError, match=f"k must lie in 1 to 4, the units, got {k}"):
        sparsity.top_k_of_dead(jnp.ones(4), jnp.ones(4, bool), k)


def test_a_mask_of_other_units_is_refused():
    with pytest.raises(ValueError, match=r"pre_activations \(4,\), dead \(3,\)"):
        sparsity.top_k_of_dead(jnp.ones(4), jnp.ones(3, bool), 1)
