"""Entropies of bits and codes, against sums over all codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import losses
from tests.losses.properties import Case
from tests.losses.row_properties import FusedProperties
from tests.reference import quantization as reference

SHAPE = (3, 4)


def logits(rng):
    return (2 * rng.normal(size=SHAPE),)


def probabilities(rng):
    return (rng.dirichlet(np.full(4, 20.0), size=3),)


class TestProperties(FusedProperties):
    cases = (
        Case(
            "bit_entropy",
            losses.bit_entropy,
            reference.bit_entropy,
            logits,
            lambda: [(np.zeros(SHAPE),), (np.full(SHAPE, 30.0),), (np.full(SHAPE, -300.0),)],
        ),
        Case(
            "usage_deficit",
            losses.usage_deficit,
            reference.usage_deficit,
            probabilities,
            lambda: [(np.eye(4)[:3],)],
        ),
    )


def test_code_probabilities_are_products_of_those_of_bits():
    drawn = logits(np.random.default_rng(0))[0]
    _, wanted = reference.soft_assignment(drawn / 4, 1.0, 1.0)
    found = losses.code_probabilities(jnp.asarray(drawn, jnp.float32))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    with pytest.raises(ValueError, match=r"must be \[\*positions, bits\], got shape \(\)"):
        losses.code_probabilities(jnp.zeros(()))


@pytest.mark.parametrize("bits", [3, 11])  # of 11 it is a product of two matrices
def test_mean_code_probabilities_are_the_mean_over_vectors_in_value_and_gradient(bits):
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(5, bits)).astype(np.float32)
    _, wanted = reference.soft_assignment(np.float64(drawn) / 4, 1.0, 1.0)
    np.testing.assert_allclose(
        losses.mean_code_probabilities(drawn), wanted.mean(0), rtol=1e-5, atol=1e-9
    )
    weights = rng.normal(size=2**bits)
    with_all = lambda z: jnp.mean(losses.code_probabilities(z), axis=0)
    pulls = [
        jax.grad(lambda z, fn=fn: jnp.sum(weights * fn(z)))(drawn)
        for fn in (losses.mean_code_probabilities, with_all)
    ]
    assert np.abs(pulls[1]).max() > 1e-3
    np.testing.assert_allclose(*pulls, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match=r"logits must be a matrix|rank"):
        losses.mean_code_probabilities(jnp.zeros(3))
