"""Entropies of bits and codes, against sums over all codes."""

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
