"""Puts our terms where configs find them, and what several of them share."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec

import jax
import jax.numpy as jnp

from ae_jax._registry import TERMS
from ae_jax.errors import PartError, nearest
from ae_jax.term_factories import TermFactory, term
from ae_jax.types import Array, Context, Outputs, Tree

P = ParamSpec("P")
CODE = "code"
"""The layer name that stands for the latent z itself."""


def registered(
    *,
    batch_coupled: bool = False,
    units: str = "nats",
    check: Callable[..., None] | None = None,
) -> Callable[[Callable[Concatenate[Outputs, Context, P], Array]], TermFactory[P]]:
    """`term` with these options, also known to configs by the function's name."""

    def decorate(fn: Callable[Concatenate[Outputs, Context, P], Array]) -> TermFactory[P]:
        factory = term(fn, batch_coupled=batch_coupled, units=units, check=check)
        TERMS.factories[getattr(fn, "__name__", "")] = factory
        return factory

    return decorate


def layer(outputs: Outputs, name: str) -> Array:
    """The values of a hidden layer, or of the code, one row an example: `[b, units]`.

    Args:
      outputs: outputs of the forward pass.
      name: a key of `outputs.activations`, or "code" for z (averaged over latent samples).

    Returns:
      `[b, units]`; a layer of several axes is flattened, of several samples averaged.

    Raises:
      PartError: no layer has this name; those there are, are listed.
    """
    if name == CODE:
        values = jnp.mean(outputs.z, axis=1)
    elif name in outputs.activations:
        values = outputs.activations[name]
        values = jnp.mean(values, axis=1) if name.startswith("decoder/") else values
    else:
        known = [CODE, *outputs.activations]
        raise PartError(f"the model has no layer '{name}'{nearest(name, known)}")
    return values.reshape(values.shape[0], -1)


def likelihood_means(outputs: Outputs, context: Context) -> Array:
    """x̂, the likelihood's mean at every latent sample: `[b, k, *event]`.

    Raises:
      PartError: the model has no encoder, so that what it makes is not of these examples.
    """
    if outputs.posterior is None:
        raise PartError(
            "without an encoder nothing is reconstructed: hold the samples against the data with a "
            "critic, e.g. ae.terms.generator(fake='sample')"
        )
    params = context.variables.params.get("likelihood", {})
    mean = lambda y: context.model.likelihood.mean(params, y)
    return jax.vmap(jax.vmap(mean))(outputs.parameters)


def density(outputs: Outputs, name: str) -> Array:
    """Log p(x | z) of every latent sample, `[b, k]`, nats.

    Raises:
      PartError: the model gives none, having no encoder or a likelihood without a density.
    """
    if outputs.log_px is None:
        raise PartError(
            f"the term '{name}' needs log p(x | z), which a game without an encoder, or with the "
            "likelihood 'implicit', does not have: e.g. ae.likelihoods.gaussian()"
        )
    return outputs.log_px


def part(context: Context, name: str) -> tuple[Tree, Tree]:
    """Params and state of a part, empty where it has none."""
    return context.variables.part(name)
