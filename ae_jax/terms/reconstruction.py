"""How far the reconstruction is from the clean x."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.checks import require_positive
from ae_jax.errors import PartError
from ae_jax.losses.structural import require_scales
from ae_jax.terms._registered import density, likelihood_means, part, registered
from ae_jax.types import Array, Context, Outputs


@registered()
def reconstruction(outputs: Outputs, context: Context) -> Array:
    """-log p(x | z), nats, averaged over latent samples.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.

    Returns:
      `[b]`, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.reconstruction()
      Objective(1.0 · reconstruction)
    """
    del context
    return -jnp.mean(density(outputs, "reconstruction"), axis=1)


@registered()
def masked_reconstruction(outputs: Outputs, context: Context) -> Array:
    """-log p(x | z) of the entries that the corruption hid alone, nats, averaged over samples.

    The loss of masked autoencoders (He et al. 2022, "Masked autoencoders are scalable vision
    learners") and masked language models (Devlin et al. 2019). Summed like every other term: He et
    al.'s mean over hidden pixels is this at unit variance, less its constant, times 2 / their
    number. The corruption is one that tells its `mask`, such as `ae.corruptions.patch_masking`.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.

    Returns:
      `[b]`, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.masked_reconstruction()
      Objective(1.0 · masked_reconstruction)
    """
    if "mask" not in outputs.info:
        raise PartError(
            "the term 'masked_reconstruction' needs a corruption that says what it hides, e.g. "
            f"ae.corruptions.patch_masking; this one tells {sorted(outputs.info) or 'nothing'}"
        )
    density(outputs, "masked_reconstruction")
    params, _ = part(context, "likelihood")

    def one(x, observed, mask, ys):
        hidden = mask if observed is None else mask & observed
        log_prob = lambda y: context.model.likelihood.log_prob(params, y, x, hidden)
        return -jnp.mean(jax.vmap(log_prob)(ys))

    batch = context.batch
    return jax.vmap(one)(batch.x, batch.observed, outputs.info["mask"], outputs.parameters)


def _between(loss: Callable[..., Array], outputs: Outputs, context: Context) -> Array:
    """A loss between x and x̂, averaged over latent samples: `[b]`."""
    means = likelihood_means(outputs, context)
    one = lambda x, observed, ys: jnp.mean(jax.vmap(lambda y: loss(x, y, observed))(ys))
    return jax.vmap(one)(context.batch.x, context.batch.observed, means)


@registered(units="squared data units")
def squared_error(outputs: Outputs, context: Context) -> Array:
    """Σ (x - x̂)² over the event, with x̂ the likelihood's mean, averaged over latent samples.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.

    Returns:
      `[b]`, squared data units.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.squared_error()
      Objective(1.0 · squared_error)
    """
    return _between(losses.squared_error, outputs, context)


@registered(units="data units")
def absolute_error(outputs: Outputs, context: Context) -> Array:
    """Σ |x - x̂| over the event.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.

    Returns:
      `[b]`, data units.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.absolute_error()
      Objective(1.0 · absolute_error)
    """
    return _between(losses.absolute_error, outputs, context)


@registered(units="squared data units", check=lambda delta: require_positive(delta=delta))
def huber(outputs: Outputs, context: Context, delta: float = 1.0) -> Array:
    """Σ Huber(x - x̂) over the event: quadratic up to delta, linear beyond (Huber 1964).

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      delta: distance from which on the loss is linear.

    Returns:
      `[b]`, squared data units.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.huber(delta=0.5)
      Objective(1.0 · huber)
    """
    return _between(functools.partial(losses.huber, delta=delta), outputs, context)


@registered(units="1")
def cosine(outputs: Outputs, context: Context) -> Array:
    """1 - cos(x, x̂) of the flattened event.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.

    Returns:
      `[b]`, in [0, 2].

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.cosine()
      Objective(1.0 · cosine)
    """
    return _between(losses.cosine_distance, outputs, context)


@registered(units="1", check=lambda data_range: require_positive(data_range=data_range))
def ssim(outputs: Outputs, context: Context, data_range: float = 1.0) -> Array:
    """1 - SSIM(x, x̂) of images `[h, w, c]` (Wang et al. 2004).

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      data_range: largest value of x less its smallest.

    Returns:
      `[b]`, in [0, 2].

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.ssim(data_range=2.0)
      Objective(1.0 · ssim)
    """
    return _between(_image_loss(losses.ssim_loss, data_range=data_range), outputs, context)


def _check_scales(data_range: float, weights: tuple[float, ...] | None) -> None:
    require_positive(data_range=data_range)
    if weights is not None:
        require_scales(weights)


@registered(units="1", check=_check_scales)
def ms_ssim(
    outputs: Outputs,
    context: Context,
    data_range: float = 1.0,
    weights: tuple[float, ...] | None = None,
) -> Array:
    """1 - MS-SSIM(x, x̂) of images `[h, w, c]` (Wang, Simoncelli & Bovik 2003).

    `weights`, one a scale, default to the published five, which need sides of at least 176; fewer
    weights suit smaller images.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      data_range: largest value of x less its smallest.
      weights: weight of each scale; None: the published five.

    Returns:
      `[b]`, in [0, 2].

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.ms_ssim(weights=(0.5, 0.5))
      Objective(1.0 · ms_ssim)
    """
    options = {} if weights is None else {"weights": weights}
    loss = _image_loss(losses.ms_ssim_loss, data_range=data_range, **options)
    return _between(loss, outputs, context)


def _image_loss(loss: Callable[..., Array], **options) -> Callable[..., Array]:
    return lambda x, y, observed: loss(x, y, observed, **options)
