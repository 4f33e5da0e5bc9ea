"""How far the posterior of all examples together is from the prior."""

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.checks import require_not_negative
from ae_jax.distributions import conditioned
from ae_jax.errors import PartError
from ae_jax.losses.discrepancy import BANDWIDTHS, require_kernel
from ae_jax.losses.total_correlation import require_estimator
from ae_jax.terms._gaussians import gaussian, gaussian_prior
from ae_jax.terms._registered import registered
from ae_jax.types import Array, Context, Outputs

PRIOR_DRAW = 2**31 - 1  # beside the numbers of latent samples in an example's latent stream


def _check_kernel(kernel: str, bandwidths: tuple[float, ...] | None) -> None:
    require_kernel(kernel, BANDWIDTHS if bandwidths is None else bandwidths)


@registered(batch_coupled=True, units="1", check=_check_kernel)
def mmd(
    outputs: Outputs,
    context: Context,
    kernel: str = "imq",
    bandwidths: tuple[float, ...] | None = None,
) -> Array:
    """Squared maximum mean discrepancy of the codes from the prior (Tolstikhin et al. 2018).

    The unbiased estimate between one code an example and as many draws from the prior; sums the
    kernel over the bandwidths, see `ae_jax.losses.mmd`.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      kernel: name of the kernel, "imq" or "rbf".
      bandwidths: bandwidths that the kernel is summed over; None: those of `ae_jax.losses.mmd`.

    Returns:
      scalar, without unit.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.reconstruction() + 10.0 * ae.terms.mmd()
      Objective(1.0 · reconstruction + 10.0 · mmd)
    """
    prior = context.model.prior(context.variables)
    if prior is None:
        raise PartError(
            "the term 'mmd' needs a bottleneck with a prior, e.g. "
            "ae.bottlenecks.identity(8, prior='standard_normal')"
        )
    prior_key = lambda key: jax.random.fold_in(key, PRIOR_DRAW)
    draw = lambda key, extras: conditioned(prior, extras).sample(prior_key(key))
    drawn = jax.vmap(draw)(context.keys.latent, dict(context.batch.extras))
    flat = lambda v: v.reshape(v.shape[0], -1)
    z, drawn = context.gather((flat(outputs.z[:, 0]), flat(drawn)))
    valid = context.all_valid()
    scales = BANDWIDTHS if bandwidths is None else bandwidths
    return losses.mmd(z, drawn, kernel=kernel, bandwidths=scales, valid=valid, valid_y=valid)


def _decomposed(outputs: Outputs, context: Context, estimator: str, name: str) -> losses.KLParts:
    mean, log_var = _gathered_moments(outputs, context, name)
    gaussian_prior(context, name)  # raises
    z = outputs.z[:, 0].reshape(outputs.z.shape[0], -1)
    rows = jnp.arange(z.shape[0]) + context.across.number() * z.shape[0]
    log_q = losses.pairwise_gaussian_log_prob(z, mean, log_var)
    return losses.kl_decomposition(
        log_q,
        jnp.asarray(outputs.log_pz)[:, 0],
        num_train=context.num_train,
        estimator=estimator,
        own=rows,
        valid_columns=context.all_valid(),
    )


@registered(check=require_estimator)
def mutual_information(outputs: Outputs, context: Context, estimator: str = "weighted") -> Array:
    """Log q(z | x) - log q(z), nats: the index-code mutual information (Chen et al. 2018).

    Estimated from the n posteriors of the batch, for N training examples: at most log N, and
    log N + log n if "weighted". A value near that is a lower bound on the mutual information.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      estimator: "weighted" or "stratified", the sampling of the minibatch.

    Returns:
      `[b]`, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.mutual_information()
      Objective(1.0 · mutual_information)
    """
    return _decomposed(outputs, context, estimator, "mutual_information").mutual_information


@registered(check=require_estimator)
def total_correlation(outputs: Outputs, context: Context, estimator: str = "weighted") -> Array:
    """Log q(z) - Σ_j log q(z_j), nats: the total correlation of the code (Chen et al. 2018).

    Estimated from the batch with minibatch-weighted ("weighted") or stratified ("stratified")
    sampling; the sum of the three parts is log q(z | x) - log p(z).

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      estimator: "weighted" or "stratified", the sampling of the minibatch.

    Returns:
      `[b]`, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.reconstruction() + 6.0 * ae.terms.total_correlation()
      Objective(1.0 · reconstruction + 6.0 · total_correlation)
    """
    return _decomposed(outputs, context, estimator, "total_correlation").total_correlation


@registered(check=require_estimator)
def dimension_wise_kl(outputs: Outputs, context: Context, estimator: str = "weighted") -> Array:
    """Σ_j log q(z_j) - log p(z), nats: the dimension-wise KL (Chen et al. 2018).

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      estimator: "weighted" or "stratified", the sampling of the minibatch.

    Returns:
      `[b]`, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.dimension_wise_kl(estimator="stratified")
      Objective(1.0 · dimension_wise_kl)
    """
    return _decomposed(outputs, context, estimator, "dimension_wise_kl").dimension_wise_kl


def _check_lambdas(lambda_od: float, lambda_d: float) -> None:
    require_not_negative(lambda_od=lambda_od, lambda_d=lambda_d)


@registered(batch_coupled=True, units="1", check=_check_lambdas)
def dip_i(
    outputs: Outputs, context: Context, lambda_od: float = 10.0, lambda_d: float = 100.0
) -> Array:
    """DIP-VAE-I: λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii - 1)² with C = Cov(μ) (Kumar et al. 2018).

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      lambda_od: λ_od, weight of the covariances.
      lambda_d: λ_d, weight of the variances' distance from 1.

    Returns:
      scalar, without unit.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.dip_i(lambda_od=5.0)
      Objective(1.0 · dip_i)
    """
    mean, _ = _gathered_moments(outputs, context, "dip_i")
    return losses.dip_vae_i(mean, lambda_od=lambda_od, lambda_d=lambda_d, valid=context.all_valid())


@registered(batch_coupled=True, units="1", check=_check_lambdas)
def dip_ii(
    outputs: Outputs, context: Context, lambda_od: float = 10.0, lambda_d: float = 10.0
) -> Array:
    """DIP-VAE-II: as `dip_i` with C = Cov(μ) + diag(E σ²) (Kumar et al. 2018).

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      lambda_od: λ_od, weight of the covariances.
      lambda_d: λ_d, weight of the variances' distance from 1.

    Returns:
      scalar, without unit.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.dip_ii(lambda_od=5.0)
      Objective(1.0 · dip_ii)
    """
    mean, log_var = _gathered_moments(outputs, context, "dip_ii")
    return losses.dip_vae_ii(
        mean, log_var, lambda_od=lambda_od, lambda_d=lambda_d, valid=context.all_valid()
    )


def _gathered_moments(outputs: Outputs, context: Context, name: str) -> tuple[Array, Array]:
    q = gaussian(outputs, name)
    flat = lambda v: v.reshape(v.shape[0], -1)
    return context.gather((flat(q.loc), flat(q.log_var)))
