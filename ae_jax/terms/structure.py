"""Penalties on the maps themselves: Jacobians, weights, codes."""

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.checks import require_positive_ints
from ae_jax.errors import PartError, nearest
from ae_jax.ops.kernels import without_kernels
from ae_jax.terms._registered import part, registered
from ae_jax.types import Array, Context, Outputs

PROBE_DRAW = 2**31 - 2  # beside the numbers of latent samples in an example's latent stream


def _jacobian_norm(fn, x: Array, key: Array, probes: int | None) -> Array:
    """‖∂fn/∂x‖²_F: exact, or Hutchinson's estimate with so many probes."""
    with without_kernels():  # its own gradient is a second derivative
        if probes is None:
            x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
            return jnp.sum(jnp.square(jax.jacrev(fn)(x)))
        return losses.hutchinson_jacobian_norm(fn, x, key, probes)


def _probe_keys(context: Context) -> Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, PROBE_DRAW))(context.keys.latent)


def _check_probes(probes: int | None) -> None:
    if probes is not None:
        require_positive_ints(probes=probes)


@registered(units="squared code units", check=_check_probes)
def contractive(outputs: Outputs, context: Context, probes: int | None = None) -> Array:
    """‖∂z/∂x‖²_F of the posterior mean, at what the encoder saw (Rifai et al. 2011).

    Exact with one backward pass a code dimension, or with `probes` Hutchinson's unbiased estimate.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      probes: random directions of the estimate; None: the exact norm.

    Returns:
      `[b]`, squared code units per squared data unit.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.reconstruction() + 0.1 * ae.terms.contractive()
      Objective(1.0 · reconstruction + 0.1 · contractive)
    """
    model, batch = context.model, context.batch

    def one(x, observed, extras, info, key):
        def code(x):
            features, _, _ = model.encoder.apply(
                *part(context, "encoder"),
                model.seen(x, observed),
                observed=observed,
                extras=extras,
                info=info,
            )
            return model.bottleneck.posterior(*part(context, "bottleneck"), features).mean

        return _jacobian_norm(code, x, key, probes)

    extras, info = dict(batch.extras), dict(outputs.info)
    return jax.vmap(one)(outputs.corrupted, batch.observed, extras, info, _probe_keys(context))


@registered(units="squared data units", check=_check_probes)
def decoder_gradient(outputs: Outputs, context: Context, probes: int | None = 1) -> Array:
    """‖∂x̂/∂z‖²_F of the likelihood's mean, at the first latent sample (RAE-GP, Ghosh et al. 2020).

    Hutchinson's unbiased estimate, or exact with probes=None. The decoder is taken as in evaluation
    (the Jacobian is that of the map which is used later) and told the target, if it reads one.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      probes: random directions of the estimate; None: the exact norm.

    Returns:
      `[b]`, squared data units per squared code unit.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.decoder_gradient(probes=None)
      Objective(1.0 · decoder_gradient)
    """
    likelihood, _ = part(context, "likelihood")

    def one(decode, z, key):
        reconstructed = lambda z: context.model.likelihood.mean(likelihood, decode(z))
        return _jacobian_norm(reconstructed, z, key, probes)

    return context.decoding(one, outputs, outputs.z[:, 0], _probe_keys(context))


@registered(units="squared code units")
def latent_l2(outputs: Outputs, context: Context) -> Array:
    """½ ‖z‖², averaged over latent samples (RAE, Ghosh et al. 2020).

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.

    Returns:
      `[b]`, squared code units.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.latent_l2()
      Objective(1.0 · latent_l2)
    """
    del context
    return jnp.mean(jax.vmap(jax.vmap(losses.latent_l2))(outputs.z), axis=1)


@registered(batch_coupled=True, units="squared weights")
def weight_l2(
    outputs: Outputs, context: Context, of: str = "decoder", kernels_only: bool = False
) -> Array:
    """Σ w² over the parameters of one part, biases included or not (RAE-L2, Ghosh et al. 2020).

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      of: name of the part, e.g. "decoder".
      kernels_only: whether biases and gains are left out.

    Returns:
      scalar, squared weights.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.reconstruction() + 1e-4 * ae.terms.weight_l2(kernels_only=True)
      Objective(1.0 · reconstruction + 0.0001 · weight_l2)
    """
    del outputs
    return losses.parameter_l2(_params(context, of, "weight_l2"), kernels_only=kernels_only)


@registered(batch_coupled=True, units="weights")
def weight_l1(
    outputs: Outputs, context: Context, of: str = "decoder", kernels_only: bool = False
) -> Array:
    """Σ |w| over the parameters of one part, biases included or not.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      of: name of the part, e.g. "decoder".
      kernels_only: whether biases and gains are left out.

    Returns:
      scalar, weights.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.weight_l1(of="encoder")
      Objective(1.0 · weight_l1)
    """
    del outputs
    return losses.parameter_l1(_params(context, of, "weight_l1"), kernels_only=kernels_only)


@registered(batch_coupled=True, units="1")
def orthogonality(outputs: Outputs, context: Context, of: str = "encoder") -> Array:
    """Σ ‖WᵀW - I‖²_F over the matrices of one part.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      of: name of the part, e.g. "decoder".

    Returns:
      scalar, without unit.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.orthogonality(of="encoder")
      Objective(1.0 · orthogonality)
    """
    del outputs
    leaves = jax.tree.leaves(_params(context, of, "orthogonality"))
    matrices = [leaf for leaf in leaves if leaf.ndim == 2]
    return jnp.asarray(sum(losses.orthogonality(w) for w in matrices))


def _params(context: Context, name: str, term: str):
    params = context.variables.params
    if name not in params:
        raise PartError(f"term '{term}': the model has no part '{name}'{nearest(name, params)}")
    return params[name]
