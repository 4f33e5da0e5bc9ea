"""What evaluation reports of any model, whatever its objective."""

import math

import jax.numpy as jnp

from ae_jax import terms
from ae_jax.types import Array, Context, Outputs


def evaluation_metrics(outputs: Outputs, context: Context) -> dict[str, Array]:
    """Per-example metrics beside the objective's own.

    Args:
      outputs: of `forward`.
      context: of the batch.

    Returns:
      Each `[b]`: "mse", the squared error of the likelihood's mean divided by the number of
      observed entries (in the model's units, after preprocessing); and, where the model has a
      posterior density and a prior, "neg_elbo" = -E log p(x | z) + KL(q ‖ p) in nats, all weights
      being one.
    """
    bound = lambda factory: factory().terms[0].per_example(outputs, context)
    batch = context.batch
    entries = math.prod(batch.x.shape[1:])
    if batch.observed is not None:
        entries = jnp.maximum(jnp.sum(batch.observed, axis=tuple(range(1, batch.x.ndim))), 1)
    metrics = {"mse": bound(terms.squared_error) / entries}
    if outputs.log_qz is not None and outputs.log_pz is not None:
        metrics["neg_elbo"] = bound(terms.reconstruction) + bound(terms.kl)
    return metrics
