"""Products of dense layers in the forms that XLA:CPU computes fastest, and sums that XLA:GPU does.

Elsewhere they are the plain ones: `jax.lax.platform_dependent` chooses when a program is lowered.
Three tricks recur:

- `optimization_barrier` holds a transposition where it is written, which XLA would move to where
  it costs most;
- `first == first` is True and yet depends on the data, so that under `vmap` a constant becomes one
  for each example, which XLA cannot fold away;
- a gradient that is the sum over many rows is written as a product with ones, since products are
  parallel and vectorised where sums are not.
"""

import jax
import jax.numpy as jnp
from jax import Array

FEW = 64  # of so many inputs one in use: with more, a product of matrices is as fast


WIDE = 4_096  # from here on rows of so many numbers lie too far apart to be summed down the columns


def multiply(x: Array, weights: Array, active: Array | None = None) -> Array:
    """The product x W: of many positions as in `product`, of few numbers in use by their rows of W.

    Gradients for numbers that are not in use are 0 where only rows are read.
    """
    if x.ndim > 1 and len(x) > 1:
        return jax.lax.platform_dependent(x, weights, cpu=product, default=jnp.matmul)
    if x.ndim == 1 and active is not None and len(active) * FEW <= len(x):
        return jax.lax.platform_dependent(
            x,
            weights,
            active,
            cpu=lambda x, weights, active: x[active] @ weights[active],
            default=lambda x, weights, active: x @ weights,
        )
    return x @ weights


def product(x: Array, weights: Array) -> Array:
    """The product x W, x `[*positions, c]`, in the form whose gradient XLA:CPU computes fastest.

    For one position making it ready costs more than it gains.
    """
    # Without the barrier XLA writes the weights' gradient transposed: up to five times slower.
    weights = jax.lax.optimization_barrier(weights.T)
    return jax.lax.dot_general(x, weights, (((x.ndim - 1,), (1,)), ((), ())))


@jax.custom_jvp
def add_bias(y: Array, bias: Array) -> Array:
    """The sum y + b, y `[…, c]`; on CPU a wide b's gradient is a product: a sum takes 20 times."""
    return y + bias


@add_bias.defjvp
def _(primals, tangents):
    (y, bias), (y_dot, bias_dot) = primals, tangents
    if y.ndim == 1 and y.size >= WIDE:
        bias_dot = jax.lax.platform_dependent(y, bias_dot, cpu=_spread, default=lambda y, b: b)
    return y + bias, y_dot + bias_dot


@jax.custom_jvp
def add_shared(y: Array, shared: Array) -> Array:
    """The sum y + s of equal shapes, s the same for every example; its gradient is a product.

    For the sum over a batch that it would be XLA:GPU lays the activations of all layers with the
    batch innermost, and turns them around before and after every one.
    """
    return y + shared


@add_shared.defjvp
def _(primals, tangents):
    (y, shared), (y_dot, shared_dot) = primals, tangents
    return y + shared, y_dot + _spread(y, shared_dot)


def _spread(y: Array, shared: Array) -> Array:
    if not y.size:
        return shared
    first = y.ravel()[:1]
    one = jnp.where(first == first, 1, 1).astype(shared.dtype)  # under vmap one for each example
    # As exact as a sum. Half precision is so unasked; asked, XLA:GPU would make a sum of it.
    half, precisions = shared.dtype.itemsize <= 2, jax.lax.Precision
    precision = precisions.DEFAULT if half else precisions.HIGHEST
    return jnp.matmul(one, shared.reshape(1, -1), precision=precision).reshape(shared.shape)
