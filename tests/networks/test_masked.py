"""The masked network: what each output reads, by its Jacobian, and how it starts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.networks import _masked
from tests import fast

RNG = np.random.default_rng(0)


def drawn(params):
    """The same tree with every entry, masked ones too, drawn anew."""
    draw = lambda leaf: jnp.asarray(RNG.normal(size=leaf.shape) + 0.1, jnp.float32)
    return jax.tree.map(draw, params)


@pytest.mark.parametrize("context", [pytest.param(0, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize(
    ("degrees", "hidden"),
    [
        ((0, 1, 2, 3), (9, 7)),
        ((0, 0, 1, 1, 1), (6,)),
        ((0,), (4,)),
        ((0, 1, 2), ()),
        ((1, 0), (3,)),
    ],
)
def test_outputs_read_all_inputs_of_lower_degree_and_no_other(degrees, hidden, context):
    params = drawn(_masked.init(jax.random.key(0), degrees, hidden, 2, context))
    told = jnp.ones(context) if context else None

    def run(x, told):
        return _masked.apply(params, degrees, x, told)

    x = jnp.asarray(RNG.normal(size=len(degrees)), jnp.float32)
    jacobian = fast.jit(jax.jacfwd(run))(x, told)
    lower = np.asarray(degrees)[None] < np.asarray(degrees)[:, None]
    np.testing.assert_array_equal(np.asarray(jacobian != 0).any(axis=1), lower)
    if context:
        reads = np.asarray(jax.jacfwd(run, argnums=1)(x, told) != 0)
        assert reads.all()


def test_it_starts_at_zero_with_units_of_unit_size():
    params = _masked.init(jax.random.key(0), range(50), (400, 400))
    x = jnp.asarray(RNG.normal(size=(500, 50)), jnp.float32)
    np.testing.assert_array_equal(_masked.apply(params, range(50), x[0]), np.zeros((50, 2)))
    units = x @ params["dense_0"]["kernel"]
    assert 0.9 < float(jnp.std(units)) < 1.1


def test_hidden_degrees_are_spread_where_units_are_few():
    first, _ = _masked.masks(range(101), (4,), 1)
    np.testing.assert_array_equal(first.sum(axis=0), [1, 26, 51, 76])
