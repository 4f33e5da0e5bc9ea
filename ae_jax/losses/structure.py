"""Penalties on the structure of a model: Jacobians, gradients and weights."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from ae_jax.checks import require_positive_ints, require_rank, require_shapes
from ae_jax.errors import ShapeError
from ae_jax.losses._absolute import absolute
from ae_jax.losses._precision import at_least_float32


def contractive_sigmoid(weights: chex.Array, hidden: chex.Array) -> jax.Array:
    """Squared Frobenius norm of the Jacobian of one sigmoid layer, h = sigmoid(xW + b).

        ‖∂h/∂x‖²_F = Σ_j (h_j (1 − h_j))² Σ_i W_ij²

    Args:
      weights: W, `[d_in, d_hidden]`.
      hidden: h, the layer's output for one example, `[d_hidden]`.

    Returns:
      A scalar.

    Raises:
      ShapeError: for wrong shapes.

    References:
      Rifai et al., "Contractive auto-encoders", 2011.

    >>> float(contractive_sigmoid(jnp.ones((3, 1)), jnp.array([0.5])))
    0.1875
    """
    require_shapes(weights=(weights, "d_in d_hidden"), hidden=(hidden, "d_hidden"))
    weights, hidden = at_least_float32(weights, hidden)
    slopes = hidden * (1.0 - hidden)
    return jnp.sum(jnp.square(slopes) * jnp.sum(jnp.square(weights), axis=0))


def hutchinson_jacobian_norm(
    fn: Callable[[jax.Array], jax.Array], x: chex.Array, key: chex.PRNGKey, samples: int = 1
) -> jax.Array:
    """Unbiased estimate of the squared Frobenius norm of the Jacobian of any function.

        ‖J‖²_F = E ‖vᵀJ‖², v uniform on {−1, 1}

    Signs are drawn for the output of `fn`, one reverse pass a sample; they have the lowest variance
    of all independent probes, and none where the rows of J are orthogonal.

    Args:
      fn: a function of one example, array to array, of any shapes.
      x: the example.
      key: key of the probes.
      samples: number of probes averaged, at least 1.

    Returns:
      A scalar.

    Raises:
      ConfigError: if `samples` is not a whole number above zero.

    References:
      Hutchinson, "A stochastic estimator of the trace of the influence matrix", 1989.

    >>> float(hutchinson_jacobian_norm(lambda x: 2.0 * x, jnp.ones(3), jax.random.key(0)))
    12.0
    """
    require_positive_ints(samples=samples)
    (x,) = at_least_float32(x)
    y, pull_back = jax.vjp(fn, x)

    def squared_norm(probe_key: chex.PRNGKey) -> jax.Array:
        (product,) = pull_back(jax.random.rademacher(probe_key, y.shape, y.dtype))
        return jnp.sum(jnp.square(product))

    return jnp.mean(jax.vmap(squared_norm)(jax.random.split(key, samples)))


def gradient_norm_squared(fn: Callable[[jax.Array], jax.Array], x: chex.Array) -> jax.Array:
    """Squared norm of the gradient of a scalar function of one example, ‖∇fn(x)‖².

    Args:
      fn: a function of one example, array to scalar.
      x: the example, any shape.

    Returns:
      A scalar.

    Raises:
      ShapeError: if `fn` does not return a scalar.

    >>> float(gradient_norm_squared(lambda x: jnp.sum(x**2), jnp.array([3.0, 4.0])))
    100.0
    """
    (x,) = at_least_float32(x)
    y, pull_back = jax.vjp(fn, x)
    if jnp.shape(y) != ():
        raise ShapeError(f"fn must return a scalar, shape (), got shape {jnp.shape(y)}")
    (gradient,) = pull_back(jnp.ones((), y.dtype))
    return jnp.sum(jnp.square(gradient))


def gradient_penalty(
    fn: Callable[[jax.Array], jax.Array], x: chex.Array, target: float = 1.0
) -> jax.Array:
    """Squared distance of the gradient's norm from a target, (‖∇fn(x)‖ − target)².

    Where the gradient is 0, the norm is not differentiable and its gradient is taken as 0.

    Args:
      fn: a function of one example, array to scalar, such as a critic.
      x: the example, such as an interpolation between real and generated.
      target: the norm wanted.

    Returns:
      A scalar.

    Raises:
      ShapeError: if `fn` does not return a scalar.

    References:
      Gulrajani et al., "Improved training of Wasserstein GANs", 2017.

    >>> float(gradient_penalty(lambda x: 3.0 * x.sum(), jnp.ones(1)))
    4.0
    """
    squared_norm = gradient_norm_squared(fn, x)
    positive = squared_norm > 0.0
    norm = jnp.where(positive, jnp.sqrt(jnp.where(positive, squared_norm, 1.0)), 0.0)
    return jnp.square(norm - target)


def parameter_l2(params: chex.ArrayTree, *, kernels_only: bool = False) -> jax.Array:
    """Sum of squares of the parameters, Σ w²; integer leaves do not count.

    Args:
      params: a tree of arrays.
      kernels_only: True to leave out leaves of rank below 2: biases, scales, scalars.

    Returns:
      A scalar; 0 for a tree without leaves that count.

    >>> float(parameter_l2({"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}, kernels_only=True))
    6.0
    """
    return _sum_over(params, jnp.square, kernels_only)


def parameter_l1(params: chex.ArrayTree, *, kernels_only: bool = False) -> jax.Array:
    """Sum of absolute values of the parameters, Σ |w|; integer leaves do not count.

    Its gradient at 0 is 0. On the weights of a linear decoder it leaves each unit few pixels: local
    features.

    Args:
      params: a tree of arrays.
      kernels_only: True to leave out leaves of rank below 2: biases, scales, scalars.

    Returns:
      A scalar; 0 for a tree without leaves that count.

    >>> float(parameter_l1({"kernel": -2 * jnp.ones((2, 3)), "bias": jnp.ones(3)}))
    15.0
    """
    return _sum_over(params, absolute, kernels_only)


def _sum_over(
    params: chex.ArrayTree, of: Callable[[jax.Array], jax.Array], kernels_only: bool
) -> jax.Array:
    leaves = [
        leaf
        for leaf in jax.tree.leaves(params)
        if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        and (not kernels_only or jnp.ndim(leaf) >= 2)
    ]
    return sum((jnp.sum(of(leaf)) for leaf in at_least_float32(0.0, *leaves)), jnp.zeros(()))


def orthogonality(weights: chex.Array) -> jax.Array:
    """Distance of the columns of a matrix from an orthonormal set, ‖WᵀW − I‖²_F.

    Args:
      weights: W, `[d_in, d_out]`.

    Returns:
      A scalar, at least d_out − d_in.

    Raises:
      ShapeError: if W is not a matrix.

    >>> float(orthogonality(2.0 * jnp.eye(3)))
    27.0
    """
    require_rank(2, weights=weights)
    (weights,) = at_least_float32(weights)
    gram = jnp.matmul(weights.T, weights, precision="highest")
    return jnp.sum(jnp.square(gram - jnp.eye(gram.shape[0], dtype=gram.dtype)))


def latent_l2(z: chex.Array) -> jax.Array:
    """The latent penalty of the regularised autoencoder, ½ ‖z‖².

    Args:
      z: the code, any shape.

    Returns:
      A scalar.

    References:
      Ghosh et al., "From variational to deterministic autoencoders", 2020.

    >>> float(latent_l2(jnp.array([1.0, 1.0])))
    1.0
    """
    (z,) = at_least_float32(z)
    return 0.5 * jnp.sum(jnp.square(z))
