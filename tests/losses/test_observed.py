"""Parameters of another shape than x's are refused, not broadcast."""

import jax.numpy as jnp
import pytest

from ae_jax import losses
from ae_jax.errors import ShapeError

SAME = {
    "absolute_error": 2,
    "binary_cross_entropy": 2,
    "continuous_bernoulli_nll": 2,
    "gaussian_nll": 3,
    "huber": 2,
    "laplace_nll": 3,
    "negative_binomial_nll": 3,
    "poisson_nll": 2,
    "squared_error": 2,
}
ONE_MORE = {"categorical_nll": 2, "discretized_logistic_mixture_nll": 4}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("other", [(3, 3), (1,), ()])
def test_arrays_of_one_shape(name, other):
    for place in range(SAME[name]):
        arrays = [jnp.ones(3)] * SAME[name]
        arrays[place] = jnp.ones(other)
        with pytest.raises(ShapeError, match="must have the same shape, got") as error:
            getattr(losses, name)(*arrays)
        assert str(other) in str(error.value)
        assert "(3,)" in str(error.value)


@pytest.mark.parametrize("name", ONE_MORE)
@pytest.mark.parametrize("other", [(3,), (3, 1, 4), (1, 4), ()])
def test_arrays_of_one_axis_more(name, other):
    for place in range(1, ONE_MORE[name]):
        arrays = [jnp.ones(3)] + [jnp.ones((3, 4))] * (ONE_MORE[name] - 1)
        arrays[place] = jnp.ones(other)
        with pytest.raises(ShapeError, match="the shape of x and one axis more, got") as error:
            getattr(losses, name)(*arrays)
        assert str(other) in str(error.value)


def test_as_many_of_all_components():
    shapes = (3,), (3, 4), (3, 4), (3, 1)
    with pytest.raises(ShapeError, match=r"same shape, got .*log_scales \(3, 1\)"):
        losses.discretized_logistic_mixture_nll(*map(jnp.ones, shapes))


def test_a_mask_that_is_none():
    with pytest.raises(ValueError, match="observed must be a bool mask, got dtype float32"):
        losses.gaussian_nll(*[jnp.ones(3)] * 3, observed=jnp.ones(3))
