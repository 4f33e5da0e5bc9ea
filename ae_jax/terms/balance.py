"""A weight that keeps the gradient of one term as long as that of another."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax._registry import COMBINATORS, TERMS
from ae_jax.errors import ConfigError, PartError, nearest
from ae_jax.objective import Objective, Term
from ae_jax.terms._registered import part
from ae_jax.terms.combinators import with_setting
from ae_jax.types import Array, Context, Outputs, Tree

SMALLEST, LARGEST = 1e-4, 1e4
"""What is added to the gradient that is divided by, and the largest weight, as published."""


@dataclasses.dataclass(frozen=True)
class Balanced:
    """A term's function times ‖∇reference‖ / ‖∇term‖, the gradients of the whole batch."""

    inner: Any
    reference: Any
    layer: str | None

    def __call__(self, outputs: Outputs, context: Context) -> Array:
        """The term's value, weighed."""
        lengths = [_length(fn, outputs, context, self.layer) for fn in (self.reference, self.inner)]
        weight = jnp.minimum(lengths[0] / (lengths[1] + SMALLEST), LARGEST)
        return jax.lax.stop_gradient(weight) * self.inner(outputs, context)


def balanced(objective: Objective, to: Objective, layer: str | None = None) -> Objective:
    """The same terms, each with a gradient as long as that of another: VQGAN's adaptive weight.

    λ = min(‖∇L_to‖ / (‖∇L‖ + 10⁻⁴), 10⁴), held fixed (Esser, Rombach & Ommer 2021), with the
    gradients of the means over the global batch: one number, the same on any number of devices.
    Without a layer they are taken at the decoder's output, which costs no further pass. In a
    config: `"generator": {"balanced": ({"name": "reconstruction"}, None)}`.

    Args:
      objective: terms that are not batch-coupled and hang on the decoder.
      to: objective of the one term whose gradient is the measure.
      layer: module of the decoder whose parameters the gradients are taken by, such as "output",
        its last layer, as published; None: the decoder's output.

    Returns:
      An Objective of the same terms.

    Raises:
      PartError: a term is batch-coupled, or `to` is not one term.

    Example:
      >>> import ae_jax as ae
      >>> realism = ae.terms.generator(fake="reconstruction", loss="hinge")
      >>> 0.8 * ae.terms.balanced(realism, to=ae.terms.reconstruction())
      Objective(0.8 · generator)
    """
    if len(to.terms) != 1:
        raise PartError(f"balanced holds terms against one other, got {len(to.terms)} terms")
    (reference,) = to.terms

    def replace(term: Term) -> Term:
        for either in (term, reference):
            if either.batch_coupled:
                raise PartError(f"the term '{either.name}' belongs to the batch, not to examples")
        setting = (None if reference.node is None else reference.node.to_dict(), layer)
        node = None if reference.node is None else with_setting(term.node, "balanced", setting)
        samples = max(term.samples, reference.samples)
        fn = Balanced(term.fn, reference.fn, layer)
        return dataclasses.replace(term, fn=fn, node=node, samples=samples)

    return Objective(tuple(map(replace, objective.terms)))


def _length(fn: Any, outputs: Outputs, context: Context, layer: str | None) -> Array:
    """The norm of the gradient of a term's mean over the global batch."""
    across = context.across
    if layer is None:
        given = jax.lax.stop_gradient(outputs.parameters)
        share = lambda y: context.share(fn(_decoded(outputs, context, y), context))
        rows = jax.grad(share)(given) / across.size  # each device's own, of one mean over all
        return jnp.sqrt(across.sum(jnp.sum(jnp.square(rows))))
    variables = jax.lax.stop_gradient(context.variables)
    decoder = variables.params["decoder"]
    if layer not in decoder:
        raise PartError(f"the decoder has no layer '{layer}'{nearest(layer, decoder)}")

    def share_of(weights: Tree) -> Array:
        params = {**variables.params, "decoder": {**decoder, layer: weights}}
        inner = context._replace(variables=variables._replace(params=params))
        samples = jnp.arange(outputs.z.shape[1])
        again = lambda decode, z: jax.vmap(decode)(z, samples)
        y = inner.decoding(again, outputs, jax.lax.stop_gradient(outputs.z))
        return inner.share(fn(_decoded(outputs, inner, y), inner))

    grads = across.mean(jax.grad(share_of)(decoder[layer]))
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(grads)))


def _decoded(outputs: Outputs, context: Context, y: Array) -> Outputs:
    """The outputs with another output of the decoder, `[b, k, *parameter_shape]`."""
    params, _ = part(context, "likelihood")
    batch, log_prob = context.batch, context.model.likelihood.log_prob
    one = lambda y, x, observed: jax.vmap(lambda y: log_prob(params, y, x, observed))(y)
    log_px = jax.vmap(one)(y, batch.x, batch.observed)
    return outputs._replace(parameters=y, log_px=None if outputs.log_px is None else log_px)


def _balanced_by_config(objective: Objective, setting: Any) -> Objective:
    pair = isinstance(setting, list | tuple) and len(setting) == 2
    if not pair or not isinstance(setting[0], Mapping) or "name" not in setting[0]:
        raise ConfigError(
            f"balanced must be a term's node and a layer or None, e.g. "
            f"({{'name': 'reconstruction'}}, None), got {setting!r}"
        )
    node = dict(setting[0])
    return balanced(objective, TERMS[node.pop("name")](**node), setting[1])


COMBINATORS.factories["balanced"] = _balanced_by_config
