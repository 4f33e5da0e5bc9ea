"""The decomposition of the averaged KL divergence of the β-TCVAE.

    E KL(q(z|x) ‖ p(z)) = I(x; z) + KL(q(z) ‖ Π q(z_k)) + Σ KL(q(z_k) ‖ p(z_k))

The parts need the aggregate posterior q(z) = (1/N) Σ q(z|x_j) over the N training examples, which
is estimated from the posteriors of one batch.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from ae_jax.checks import require_positive_ints, require_same_shape, require_shapes, require_two
from ae_jax.errors import ShapeError, UnknownNameError, nearest
from ae_jax.losses import _rows
from ae_jax.losses._precision import at_least_float32

# A posterior this many standard deviations away has density zero in any precision; without the
# bound its logarithm overflows, and differences of logarithms are NaN.
_FARTHEST = 1e9


class KLParts(NamedTuple):
    """The three parts of the KL divergence, one value an example, in nats.

    Their sum is the one-sample estimate log q(z|x) − log p(z) of the KL divergence. Only averages
    over examples estimate the quantities named; single values, and estimates too, may be negative.
    """

    mutual_information: jax.Array  # log q(z|x) − log q(z)
    total_correlation: jax.Array  # log q(z) − Σ log q(z_k)
    dimension_wise_kl: jax.Array  # Σ log q(z_k) − log p(z)


def _weighted(own: jax.Array, counted: jax.Array, num_train: jax.Array) -> jax.Array:
    return jnp.where(counted, 1.0 / (num_train * _count(counted, num_train.dtype)), 0.0)


def _stratified(own: jax.Array, counted: jax.Array, num_train: jax.Array) -> jax.Array:
    others = _count(counted, num_train.dtype) - 1.0
    some = jnp.maximum(others, 1.0)
    place = jnp.cumsum(counted, axis=1)
    own_place = jnp.sum(jnp.where(own, place, 0), axis=1, keepdims=True)
    following = jnp.where(own_place == place[:, -1:], 1, own_place + 1)
    last = jnp.maximum(num_train - others, 0.0) / (num_train * some)
    rest = jnp.where(place == following, last, 1.0 / some)
    return jnp.where(own, 1.0 / num_train, jnp.where(counted, rest, 0.0))


def _symmetric(own: jax.Array, counted: jax.Array, num_train: jax.Array) -> jax.Array:
    others = jnp.maximum(_count(counted, num_train.dtype) - 1.0, 1.0)
    rest = jnp.where(counted, (num_train - 1.0) / (num_train * others), 0.0)
    return jnp.where(own, 1.0 / num_train, rest)


def _count(counted: jax.Array, dtype: jnp.dtype) -> jax.Array:
    return jnp.sum(counted, axis=1, keepdims=True, dtype=dtype)


# From (own[b, n], counted[b, n], N) to the weights [b, n] that the columns have in each row's q(z).
ESTIMATORS: dict[str, Callable[[jax.Array, jax.Array, jax.Array], jax.Array]] = {
    "weighted": _weighted,
    "stratified": _stratified,
    "symmetric": _symmetric,
}


def pairwise_gaussian_log_prob(z: chex.Array, mean: chex.Array, log_var: chex.Array) -> jax.Array:
    """Batch-coupled: log N(z_ik; mean_jk, exp(log_var_jk)) for all samples i, posteriors j.

    Distances beyond 1e9 standard deviations count as 1e9, which keeps values and gradients finite
    in float32 for |log_var| ≤ 100.

    Args:
      z: samples, `[b, d]`.
      mean: posterior means, `[n, d]`.
      log_var: logarithms of the posterior variances, `[n, d]`.

    Returns:
      `[b, n, d]`, in nats.

    Raises:
      ShapeError: for wrong shapes.
    """
    require_shapes(z=(z, "b d"), mean=(mean, "n d"), log_var=(log_var, "n d"))
    z, mean, log_var = at_least_float32(z, mean, log_var)
    distance = jnp.clip(
        (z[:, None] - mean[None]) * jnp.exp(-0.5 * log_var[None]), -_FARTHEST, _FARTHEST
    )
    return -0.5 * (jnp.square(distance) + log_var[None] + math.log(2.0 * math.pi))


def require_estimator(estimator: str) -> None:
    """Raises UnknownNameError for an estimator that is none of ours."""
    if estimator not in ESTIMATORS:
        raise UnknownNameError(
            f"no estimator is called '{estimator}'{nearest(estimator, ESTIMATORS)}"
        )


def kl_decomposition(
    log_q: chex.Array,
    log_p: chex.Array,
    *,
    num_train: int,
    estimator: str = "weighted",
    own: chex.Array | None = None,
    valid_columns: chex.Array | None = None,
) -> KLParts:
    """Batch-coupled: mutual information, total correlation and dimension-wise KL, in nats.

    With weights w_ij on the n posteriors of the batch, for the sample z_i and each dimension k,

        log q(z_i)  ≈ log Σ_j w_ij Π_k q(z_ik|x_j)
        log q(z_ik) ≈ log Σ_j w_ij q(z_ik|x_j)

    | estimator  | weights                                                                   |
    |------------|---------------------------------------------------------------------------|
    | weighted   | 1 / (N·n): minibatch-weighted sampling                                    |
    | stratified | with M = n − 1: 1/N for the row's own posterior, 1/M for the others, but  |
    |            | (N − M) / (N·M) for the next valid one (the first after the last)         |
    | symmetric  | 1/N for the own posterior, (N − 1) / (N·M) for each of the others         |

    `stratified` is the published minibatch-stratified sampling. Its choice of one distinguished
    posterior is arbitrary and lets the result depend on the order of the batch; `symmetric` is the
    average over that choice: also unbiased for q(z), of lower variance, independent of the order.
    Published code, and the libraries that copied it, put the stratified weights in the first
    two columns, where the paper has the row's own posterior and another. Logarithms of these
    estimates are biased for any estimator, and `weighted` is biased in q(z) as well: where
    posteriors overlap it is low by a factor N, so that independent dimensions have a total
    correlation near (d − 1)·log N rather than 0.

    In a batch spread over devices the rows are the local samples and the columns the gathered
    posteriors of all devices; `own` says which column belongs to which row.

    Args:
      log_q: log q(z_ik|x_j), `[b, n, d]`, in nats.
      log_p: log p(z_i) of a prior that factorises over dimensions, `[b]`, in nats.
      num_train: N, the number of training examples; at least 1.
      estimator: `"weighted"`, `"stratified"` or `"symmetric"`.
      own: `int[b]`, the column of each row's own posterior; None for row i column i.
      valid_columns: `bool[n]`, False for columns that are padding; None if all count.

    Returns:
      The three parts, `[b]` each, which sum to log q(z_i|x_i) − log p(z_i). Rows whose own column
      is padding are 0. Where more than N columns count, the stratified weight N − M is taken as 0.

    Raises:
      UnknownNameError: for an unknown estimator.
      ConfigError: if `num_train` is not a whole number above zero.
      ShapeError: for wrong shapes, fewer than two posteriors, or `own` missing where b ≠ n.

    References:
      Chen et al., "Isolating sources of disentanglement in variational autoencoders", 2018.
    """
    require_estimator(estimator)
    require_positive_ints(num_train=num_train)
    require_shapes(log_q=(log_q, "b n d"), log_p=(log_p, "b"))
    log_q, log_p = at_least_float32(log_q, log_p)
    b, n, _ = log_q.shape
    require_two("the aggregate posterior", n)

    own_column = _own_columns(own, b, n)
    columns = _rows.counted_rows(valid_columns, n, "valid_columns")
    rows = jnp.any(own_column & columns[None], axis=1)
    # A row always counts its own posterior, so that no sum is empty, padding rows included.
    counted = columns[None] | own_column
    log_q = _rows.blank_padding(log_q, counted & rows[:, None])
    log_p = _rows.blank_padding(log_p, rows)

    size = jnp.asarray(num_train, log_q.dtype)
    weights = ESTIMATORS[estimator](own_column, counted, size)
    log_weights = jnp.where(weights > 0, jnp.log(jnp.where(weights > 0, weights, 1.0)), -jnp.inf)
    joint = jnp.sum(log_q, axis=-1)
    log_q_own = jnp.sum(jnp.where(own_column, joint, 0.0), axis=1)
    log_q_z = jax.nn.logsumexp(log_weights + joint, axis=1)
    log_q_marginals = jnp.sum(jax.nn.logsumexp(log_weights[..., None] + log_q, axis=1), axis=-1)
    parts = KLParts(log_q_own - log_q_z, log_q_z - log_q_marginals, log_q_marginals - log_p)
    return KLParts(*(_rows.blank_padding(part, rows) for part in parts))


def _own_columns(own: chex.Array | None, b: int, n: int) -> jax.Array:
    """The matrix `bool[b, n]` that is True where a column is the row's own."""
    if own is None:
        if b != n:
            raise ShapeError(f"without own, rows and columns must be as many, got {b} and {n}")
        return jnp.eye(n, dtype=bool)
    column = jnp.asarray(own)
    if column.shape != (b,):
        raise ShapeError(f"own must have shape {(b,)}, one column a row, got {column.shape}")
    return column[:, None] == jnp.arange(n, dtype=column.dtype)[None]


def gaussian_kl_decomposition(
    z: chex.Array,
    mean: chex.Array,
    log_var: chex.Array,
    *,
    num_train: int,
    estimator: str = "weighted",
    own: chex.Array | None = None,
    valid_columns: chex.Array | None = None,
) -> KLParts:
    """Batch-coupled: `kl_decomposition` of diagonal Gaussian posteriors, standard normal prior.

    Args:
      z: one sample of each row's posterior, `[b, d]`.
      mean: posterior means, `[n, d]`.
      log_var: logarithms of the posterior variances, `[n, d]`, finite for |log_var| ≤ 100.
      num_train: number of training examples.
      estimator: as in `kl_decomposition`.
      own: `int[b]`, the column of each row's own posterior; None for row i column i.
      valid_columns: `bool[n]`, False for columns that are padding; None if all count.

    Returns:
      The three parts, `[b]` each, in nats.

    Raises:
      UnknownNameError, ConfigError, ShapeError: as `kl_decomposition`.

    >>> z, mean, log_var = jnp.ones((3, 2)), jnp.zeros((3, 2)), jnp.zeros((3, 2))
    >>> parts = gaussian_kl_decomposition(z, mean, log_var, num_train=3)
    >>> bool(jnp.all(jnp.abs(sum(parts)) < 1e-5))  # q(z|x) = p(z)
    True
    """
    require_shapes(z=(z, "b d"), mean=(mean, "n d"), log_var=(log_var, "n d"))
    z, mean, log_var = at_least_float32(z, mean, log_var)
    if own is None:
        require_same_shape(z=z, mean=mean)
    own_column = _own_columns(own, z.shape[0], mean.shape[0])
    columns = _rows.counted_rows(valid_columns, mean.shape[0], "valid_columns")
    z = _rows.blank_padding(z, jnp.any(own_column & columns[None], axis=1))
    mean, log_var = (_rows.blank_padding(array, columns) for array in (mean, log_var))
    log_p = -0.5 * jnp.sum(jnp.square(z) + math.log(2.0 * math.pi), axis=-1)
    return kl_decomposition(
        pairwise_gaussian_log_prob(z, mean, log_var),
        log_p,
        num_train=num_train,
        estimator=estimator,
        own=own,
        valid_columns=valid_columns,
    )
