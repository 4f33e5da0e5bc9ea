"""What a model makes of examples at their posterior's mean: its decoding, nats and residuals."""

import jax
import jax.numpy as jnp

from ae_jax import generation
from ae_jax.errors import PartError
from ae_jax.keys import ExampleKeys
from ae_jax.masks import MASK
from ae_jax.model import Autoencoder
from ae_jax.types import BATCH_AXIS, Array, Batch, Spec, Told, Tree, Variables


def decoded(
    model: Autoencoder,
    variables: Variables,
    batch: Batch,
    seen: Array | None = None,
    info: Tree = None,
) -> tuple[Array, Array]:
    """The posterior's mean and the decoder's output, which is told what `forward` tells it.

    Args:
      model: the Autoencoder.
      variables: its Variables.
      batch: of clean examples.
      seen: what the encoder sees of them; None: they themselves.
      info: what the corruption tells; None: there is none.

    Raises:
      PartError: the networks are told of a mask in training, and here there is none.
    """
    if info is None:
        _refuse_masks(model, variables, batch)
    extras = dict(batch.extras)
    x = batch.x if seen is None else seen
    posteriors = model.posterior(variables, x, batch.observed, extras, info)
    bottleneck = (tree.get("bottleneck", {}) for tree in variables)
    params, state = bottleneck

    def one(x, observed, extras, info, posterior):
        z = model.bottleneck.latent(params, state, posterior, None)
        told = Told(x, observed, extras, info, active=getattr(posterior, "active", None))
        y, _, _ = model.decode_one(variables, z, told)
        return z, model.given(y, x, observed)

    rows = batch.x, batch.observed, extras, info, posteriors
    return jax.vmap(one, axis_name=BATCH_AXIS)(*rows)


def _masks(model: Autoencoder, variables: Variables, batch: Batch, info: Tree) -> bool:
    return MASK in info and generation.reads_info(model, variables, batch, info)


def _refuse_masks(model: Autoencoder, variables: Variables, batch: Batch) -> None:
    keys = jax.random.split(jax.random.key(0), len(batch.x))
    _, info = jax.vmap(lambda *row: model.corruption(*row))(keys, batch.x, batch.observed)
    if _masks(model, variables, batch, info):
        raise PartError(
            "this model was trained to fill in what a mask hides and its reconstruction of what it "
            "sees means nothing; the nearest score that fits it is 'corrupted_passes'"
        )


def nats(
    model: Autoencoder,
    variables: Variables,
    batch: Batch,
    keys: ExampleKeys | None = None,
    seen: Array | None = None,
    info: Tree = None,
) -> Array:
    """-log p(x | z), `[b]`; see `decoded`."""
    _, y = decoded(model, variables, batch, seen, info)
    params, observed = variables.params.get("likelihood", {}), batch.observed
    if info is not None and _masks(model, variables, batch, info):
        observed = info[MASK] if observed is None else info[MASK] & observed
    return -jax.vmap(lambda *row: model.likelihood.log_prob(params, *row))(y, batch.x, observed)


def residuals(
    model: Autoencoder, spec: Spec, variables: Variables, batch: Batch, y: Array
) -> tuple[Array, Array]:
    """What is seen of x̂, and how far x is from it, 0 where nothing is observed, `[b, *event]`."""
    params, likelihood = variables.params.get("likelihood", {}), model.likelihood
    columns = spec.columns or ()
    category = jnp.asarray([column.kind == "category" for column in columns] or False)
    category = category | (spec.num_classes is not None)

    def one(y, x, observed):
        again, mode = likelihood.mean(params, y), likelihood.mode(params, y)
        shown = model.seen(again, observed)
        difference = model.seen(x, observed) - shown
        residual = jnp.where(category, jnp.round(mode) != jnp.round(x), difference)
        known = residual if observed is None else jnp.where(observed, residual, 0)
        return jnp.where(category, jnp.zeros_like(shown), shown), known

    return jax.vmap(one)(y, batch.x, batch.observed)
