"""How far the posterior, of one example or of all, is from the prior."""

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.checks import require_not_negative, require_positive_ints
from ae_jax.distributions import DiagonalGaussian, conditioned, kl_divergence
from ae_jax.errors import PartError
from ae_jax.losses.discrepancy import BANDWIDTHS, require_kernel
from ae_jax.losses.total_correlation import require_estimator
from ae_jax.terms._registered import registered
from ae_jax.types import Array, Context, Outputs

PRIOR_DRAW = 2**31 - 1  # beside the numbers of latent samples in an example's latent stream


@registered()
def kl(outputs: Outputs, context: Context) -> Array:
    """KL(q(z | x) ‖ p(z)), nats: in closed form where there is one, else log q(z) - log p(z).

    The Monte Carlo form averages over latent samples (Kingma & Welling 2014). Of a hierarchy it is
    the sum of each level's KL in closed form, given the sampled levels above.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.

    Returns:
      `[b]`, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.reconstruction() + 4.0 * ae.terms.kl()
      Objective(1.0 · reconstruction + 4.0 · kl)
    """
    if outputs.level_kl is not None:
        return jnp.mean(jnp.sum(outputs.level_kl, axis=-1), axis=1)
    prior = context.model.prior(context.variables)
    if prior is not None:
        extras = dict(context.batch.extras)
        pair = lambda q, extras: kl_divergence(q, conditioned(prior, extras))
        closed = jax.vmap(pair)(outputs.posterior, extras)
        if closed is not None:
            return closed
    return _monte_carlo(outputs, "kl")


@registered()
def monte_carlo_kl(outputs: Outputs, context: Context, samples: int = 1) -> Array:
    """Log q(z | x) - log p(z), nats, averaged over `samples` latent samples; may be negative.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      samples: latent samples an example.

    Returns:
      `[b]`, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.monte_carlo_kl(samples=8)
      Objective(1.0 · monte_carlo_kl)
    """
    del context
    return _monte_carlo(outputs, "monte_carlo_kl", samples)


def _monte_carlo(outputs: Outputs, name: str, samples: int | None = None) -> Array:
    if outputs.log_qz is None or outputs.log_pz is None:
        raise PartError(
            f"the term '{name}' needs a bottleneck with a posterior density and a prior, such as "
            "ae.bottlenecks.gaussian"
        )
    return jnp.mean((outputs.log_qz - outputs.log_pz)[:, :samples], axis=1)


@registered(batch_coupled=True, check=lambda threshold: require_not_negative(threshold=threshold))
def free_bits(outputs: Outputs, context: Context, threshold: float) -> Array:
    """Σ_j max(λ, KL_j), with KL_j the batch mean of dimension j (Kingma et al. 2016).

    Takes the place of `kl`; dimensions below the threshold have no gradient. Of a hierarchy j is a
    level, with the KL that `kl` sums.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      threshold: λ, nats that each latent dimension, or each level, may use at no cost.

    Returns:
      scalar, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.free_bits(threshold=0.5)
      Objective(1.0 · free_bits)
    """
    if outputs.level_kl is not None:
        by_level = context.mean(jnp.mean(outputs.level_kl, axis=1))
        return losses.free_bits(by_level, threshold)
    q = _gaussian(outputs, "free_bits")
    p = _gaussian_prior(context, "free_bits")
    dimension = lambda *values: losses.kl_diagonal_gaussians(*values)
    each = jax.vmap(dimension)  # over latent dimensions
    flat = lambda v: v.reshape(v.shape[0], -1)
    prior_loc, prior_log_var = p.loc.reshape(-1), p.log_var.reshape(-1)
    per_dimension = jax.vmap(lambda m, v: each(m, v, prior_loc, prior_log_var))(
        flat(q.loc), flat(q.log_var)
    )
    return losses.free_bits(context.mean(per_dimension), threshold)


def _check_capacity(target: float, steps: int, gamma: float) -> None:
    require_not_negative(target=target, gamma=gamma)
    require_positive_ints(steps=steps)


@registered(batch_coupled=True, check=_check_capacity)
def capacity(
    outputs: Outputs, context: Context, target: float, steps: int = 1, gamma: float = 1.0
) -> Array:
    """γ |KL - C|, KL the batch mean and C rising linearly to `target` nats (Burgess et al. 2018).

    Takes the place of `kl`. C is `target` from step `steps` on.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      target: C from step `steps` on, in nats.
      steps: training steps over which C rises from 0.
      gamma: γ, weight of the distance from C.

    Returns:
      scalar, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.capacity(target=25.0, steps=1_000, gamma=100.0)
      Objective(1.0 · capacity)
    """
    mean_kl = context.mean(kl().terms[0].per_example(outputs, context))
    risen = jnp.minimum(context.step / steps, 1.0)
    return losses.capacity(mean_kl, target * risen, gamma)


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
    own = lambda key: jax.random.fold_in(key, PRIOR_DRAW)
    draw = lambda key, extras: conditioned(prior, extras).sample(own(key))
    drawn = jax.vmap(draw)(context.keys.latent, dict(context.batch.extras))
    flat = lambda v: v.reshape(v.shape[0], -1)
    z, drawn = context.gather((flat(outputs.z[:, 0]), flat(drawn)))
    valid = context.all_valid()
    scales = BANDWIDTHS if bandwidths is None else bandwidths
    return losses.mmd(z, drawn, kernel=kernel, bandwidths=scales, valid=valid, valid_y=valid)


def _decomposed(outputs: Outputs, context: Context, estimator: str, name: str) -> losses.KLParts:
    q, _ = _gaussian(outputs, name), _gaussian_prior(context, name)

    flat = lambda v: v.reshape(v.shape[0], -1)
    z = flat(outputs.z[:, 0])
    mean, log_var = context.gather((flat(q.loc), flat(q.log_var)))
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
    q = _gaussian(outputs, name)
    flat = lambda v: v.reshape(v.shape[0], -1)
    return context.gather((flat(q.loc), flat(q.log_var)))


def _gaussian(outputs: Outputs, name: str) -> DiagonalGaussian:
    if not isinstance(outputs.posterior, DiagonalGaussian):
        raise PartError(
            f"the term '{name}' needs a diagonal-Gaussian posterior (ae.bottlenecks.gaussian), got "
            f"{type(outputs.posterior).__name__}"
        )
    return outputs.posterior


def _gaussian_prior(context: Context, name: str) -> DiagonalGaussian:
    prior = context.model.prior(context.variables)
    if not isinstance(prior, DiagonalGaussian):
        raise PartError(
            f"the term '{name}' needs a prior that factorises over dimensions "
            f"(ae.priors.standard_normal), got {type(prior).__name__}"
        )
    return prior
