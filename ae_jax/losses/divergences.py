"""Kullback–Leibler divergences of one example's posterior, and the two ways to bound their use.

All are in nats, summed over latent dimensions. The elementwise ones take latents of any shape, a
single number included, so that `jax.vmap` over dimensions gives the divergence per dimension.
"""

import functools
import math
import numbers

import chex
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from ae_jax.checks import require_not_negative, require_rank, require_same_shape
from ae_jax.errors import ConfigError, ShapeError
from ae_jax.losses._absolute import absolute
from ae_jax.losses._bessel import von_mises_fisher_terms
from ae_jax.losses._precision import at_least_float32
from ae_jax.losses._saddle_point import deviance


def kl_standard_normal(mean: chex.Array, log_var: chex.Array) -> jax.Array:
    """KL(N(μ, diag σ²) ‖ N(0, I)) = ½ Σ (μ² + σ² − 1 − log σ²).

    σ² − 1 − log σ² is formed as expm1(log σ²) − log σ², which keeps its precision where posterior
    and prior nearly agree. Kingma & Welling, "Auto-Encoding Variational Bayes", 2014, appendix B.

    Args:
      mean: μ, `[*latent]`.
      log_var: log σ², `[*latent]`; up to 88 in float32, where σ² overflows, and 709 in float64.

    Returns:
      The divergence, a scalar, in nats.

    Raises:
      ValueError: if the shapes differ.

    >>> float(kl_standard_normal(jnp.array([1.0, 2.0]), jnp.zeros(2)))
    2.5
    """
    require_same_shape(mean=mean, log_var=log_var)
    mean, log_var = at_least_float32(mean, log_var)
    return 0.5 * jnp.sum(jnp.square(mean) + (jnp.expm1(log_var) - log_var))


def kl_diagonal_gaussians(
    mean_q: chex.Array, log_var_q: chex.Array, mean_p: chex.Array, log_var_p: chex.Array
) -> jax.Array:
    """KL(N(μ_q, diag σ_q²) ‖ N(μ_p, diag σ_p²)) = ½ Σ (e^Δ − 1 − Δ + (μ_q − μ_p)² / σ_p²).

    Δ = log σ_q² − log σ_p². In float32 the value is representable, and value and gradient are
    finite, while Δ ≤ 88 and |μ_q − μ_p| / σ_p < 1e19.

    Args:
      mean_q: μ_q, `[*latent]`.
      log_var_q: log σ_q², `[*latent]`.
      mean_p: μ_p, `[*latent]`.
      log_var_p: log σ_p², `[*latent]`.

    Returns:
      The divergence, a scalar, in nats.

    Raises:
      ValueError: if the shapes differ.

    >>> float(kl_diagonal_gaussians(jnp.ones(2), jnp.zeros(2), jnp.zeros(2), jnp.zeros(2)))
    1.0
    """
    require_same_shape(mean_q=mean_q, log_var_q=log_var_q, mean_p=mean_p, log_var_p=log_var_p)
    mean_q, log_var_q, mean_p, log_var_p = at_least_float32(mean_q, log_var_q, mean_p, log_var_p)
    delta = log_var_q - log_var_p
    standardised = (mean_q - mean_p) * jnp.exp(-0.5 * log_var_p)
    return 0.5 * jnp.sum(jnp.square(standardised) + (jnp.expm1(delta) - delta))


def kl_gaussians(
    mean_q: chex.Array, scale_q: chex.Array, mean_p: chex.Array, scale_p: chex.Array
) -> jax.Array:
    """KL(N(μ_q, L_q L_qᵀ) ‖ N(μ_p, L_p L_pᵀ)) of full covariances, given their Cholesky factors.

    ½ (tr(Σ_p⁻¹ Σ_q) − d + log|Σ_p| − log|Σ_q| + ‖L_p⁻¹ (μ_q − μ_p)‖²), with the trace as the
    squared norm of L_p⁻¹ L_q. That matrix is triangular, so that trace and determinants are joined
    diagonal entry by diagonal entry, as in `kl_diagonal_gaussians`.

    Args:
      mean_q: μ_q, `[d]`.
      scale_q: L_q, `[d, d]`, with a positive diagonal; only its lower triangle is read.
      mean_p: μ_p, `[d]`.
      scale_p: L_p, `[d, d]`, with a positive diagonal; only its lower triangle is read.

    Returns:
      The divergence, a scalar, in nats.

    Raises:
      ValueError: if the means are not vectors of one length d or the factors not `[d, d]`.

    >>> float(kl_gaussians(jnp.ones(2), jnp.eye(2), jnp.zeros(2), jnp.eye(2)))
    1.0
    """
    require_rank(1, mean_q=mean_q)
    require_same_shape(mean_q=mean_q, mean_p=mean_p)
    for name, scale in {"scale_q": scale_q, "scale_p": scale_p}.items():
        if jnp.shape(scale) != jnp.shape(mean_q) * 2:
            raise ShapeError(
                f"{name} must be [d, d] for means of shape {jnp.shape(mean_q)}, "
                f"got {jnp.shape(scale)}"
            )
    mean_q, scale_q, mean_p, scale_p = at_least_float32(mean_q, scale_q, mean_p, scale_p)
    whitened = solve_triangular(scale_p, jnp.tril(scale_q), lower=True)
    difference = solve_triangular(scale_p, mean_q - mean_p, lower=True)
    delta = 2 * (jnp.log(jnp.diagonal(scale_q)) - jnp.log(jnp.diagonal(scale_p)))
    return 0.5 * (
        jnp.sum(jnp.expm1(delta) - delta)
        + jnp.sum(jnp.square(jnp.tril(whitened, -1)))
        + jnp.sum(jnp.square(difference))
    )


def monte_carlo_kl(log_q: chex.Array, log_p: chex.Array) -> jax.Array:
    """Unbiased estimate of KL(q ‖ p), the mean of log q(z_i) − log p(z_i) over samples z_i ~ q.

    A single estimate may be negative. It serves where one of the two has no closed form.

    Args:
      log_q: log q(z_i), `[k]`, already summed over latent dimensions.
      log_p: log p(z_i), `[k]`.

    Returns:
      The estimate, a scalar, in nats.

    Raises:
      ValueError: if the shapes differ or are not `[k]`.

    >>> float(monte_carlo_kl(jnp.array([-1.0, -2.0]), jnp.array([-2.0, -4.0])))
    1.5
    """
    require_rank(1, log_q=log_q)
    require_same_shape(log_q=log_q, log_p=log_p)
    log_q, log_p = at_least_float32(log_q, log_p)
    return jnp.mean(log_q - log_p)


def kl_von_mises_fisher_uniform(kappa: chex.Numeric, dimension: int) -> jax.Array:
    """KL(vMF(μ, κ) ‖ uniform) on the unit sphere of ℝ^m, whatever the mean direction μ.

    κ A(κ) − log [Γ(m/2) (2/κ)^{m/2−1} I_{m/2−1}(κ)] with A = I_{m/2} / I_{m/2−1}. The gradient is
    the analytic κ A'(κ). In float32 the relative error is below 1e-5 for κ up to 1e5 and m up to
    4096 (1e-4 in the gradient), and below 1e-12 in float64; the value is finite up to κ = 1e18.
    Davidson et al., "Hyperspherical Variational Auto-Encoders", 2018.

    Args:
      kappa: κ ≥ 0, the concentration; of any shape, for a product of spheres.
      dimension: m ≥ 2, of the space around the sphere.

    Returns:
      The divergence, a scalar, in nats, summed over `kappa`.

    Raises:
      ValueError: if `dimension` is not a whole number of at least 2.

    >>> float(kl_von_mises_fisher_uniform(jnp.zeros(()), 3))
    0.0
    """
    if isinstance(dimension, bool) or not isinstance(dimension, numbers.Integral) or dimension < 2:
        raise ConfigError(f"dimension must be a whole number of at least 2, got {dimension!r}")
    (concentration,) = at_least_float32(kappa)
    return jnp.sum(_von_mises_fisher_divergence(concentration, dimension))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _von_mises_fisher_divergence(kappa: jax.Array, dimension: int) -> jax.Array:
    return von_mises_fisher_terms(kappa, dimension).divergence


@_von_mises_fisher_divergence.defjvp
def _von_mises_fisher_divergence_jvp(
    dimension: int, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    terms = von_mises_fisher_terms(primals[0], dimension)
    return terms.divergence, terms.slope * tangents[0]


def kl_categorical_uniform(logits: chex.Array) -> jax.Array:
    """KL(Categorical(softmax(logits)) ‖ uniform) = Σ_c q_c (log q_c + log K), summed over latents.

    Args:
      logits: `[*latent, K]`, unnormalised and finite; the last axis holds the K categories.

    Returns:
      The divergence, a scalar, in nats, in [0, latents · log K].

    Raises:
      ValueError: if `logits` is a scalar.

    >>> round(float(kl_categorical_uniform(jnp.array([[1e4, 0.0]]))), 4)  # log 2
    0.6931
    """
    if jnp.ndim(logits) == 0:
        raise ShapeError("logits must be [*latent, categories], got shape ()")
    (logits,) = at_least_float32(logits)
    # Near uniform, d = log q + log K is l - log mean eˡ, l about its mean; and as the q and the 1/K
    # both sum to one, each summand may be made q (d + e⁻ᵈ - 1), which is never negative.
    centred = logits - jax.lax.stop_gradient(jnp.mean(logits, axis=-1, keepdims=True))
    near = jnp.max(jnp.abs(jax.lax.stop_gradient(centred)), axis=-1, keepdims=True) < 1
    small = jnp.where(near, centred, 0.0)
    close = small - jnp.log1p(jnp.mean(jnp.expm1(small), axis=-1, keepdims=True))
    log_q = jax.nn.log_softmax(logits, axis=-1)
    excess = jnp.where(near, close, log_q + math.log(logits.shape[-1]))
    within = jnp.where(near, excess, 0.0)
    summand = jnp.where(near, deviance(jnp.expm1(-within), -within), excess)
    return jnp.sum(jnp.exp(log_q) * summand)


def free_bits(kl_per_dimension: chex.Array, threshold: float) -> jax.Array:
    """Batch-coupled: Σ_j max(λ, KL_j), with KL_j the divergence of dimension j averaged over batch.

    The average comes first, by the caller: the maximum of the mean lets an example use few nats in
    a dimension that others use, the mean of maxima does not. A dimension below λ costs λ and has no
    gradient. Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow",
    2016, appendix C.8.

    Args:
      kl_per_dimension: KL_j in nats, `[*latent]`, over the valid examples of the whole batch.
      threshold: λ ≥ 0, in nats per dimension.

    Returns:
      The loss, a scalar, in nats.

    Raises:
      ValueError: if `threshold` is negative.

    >>> float(free_bits(jnp.array([0.25, 2.0]), 0.5))
    2.5
    """
    require_not_negative(threshold=threshold)
    (kl_per_dimension,) = at_least_float32(kl_per_dimension)
    return jnp.sum(jnp.maximum(kl_per_dimension, threshold))


def capacity(kl: chex.Numeric, target: chex.Numeric, gamma: float) -> jax.Array:
    """γ · |KL − C|, which draws the divergence of an example to a capacity C from both sides.

    At KL = C the gradient is zero. Burgess et al., "Understanding disentangling in β-VAE", 2018.

    Args:
      kl: the divergence, a scalar, in nats.
      target: C, in nats; may be annealed, so a traced scalar is accepted.
      gamma: γ ≥ 0.

    Returns:
      The loss, a scalar, in nats.

    Raises:
      ValueError: if `gamma` is negative or `kl` or `target` is not a scalar.

    >>> float(capacity(jnp.asarray(3.0), 5.0, gamma=10.0))
    20.0
    """
    require_not_negative(gamma=gamma)
    require_rank(0, kl=kl, target=target)
    kl, target = at_least_float32(kl, target)
    return gamma * absolute(kl - target)
