"""Where an example is badly reconstructed."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.data.batches import to_batch
from ae_jax.data.source import as_numpy
from ae_jax.evaluation._surprise import decoded
from ae_jax.precision import compiled_in_float32

ENTRIES_AT_ONCE = 64


@compiled_in_float32()
def heat_map(
    run: Any, x: Any, *, observed: Any = None, extras: Mapping[str, Any] | None = None
) -> np.ndarray:
    """Where an example is badly reconstructed: -log p of each pixel, column or time step, nats.

    The sum over an example is its score by `reconstruction`, whatever the likelihood, which is
    evaluated once for each entry (the networks are not).

    Args:
      run: a Run.
      x: `[n, *event]`, in the data's units, or whatever else `Run.encode` takes.
      observed: see `Run.encode`; missing entries have 0.
      extras: see `Run.encode`.

    Returns:
      float32 `[n, *event]`, of the preprocessed event's shape.

    Raises:
      PartError: the model fills in what a mask hides, and reconstructs nothing else.
    """
    records = run.records(x, observed=observed, extras=extras)
    log_prob = run.model.likelihood.log_prob

    def maps(variables, records):
        batch = to_batch(records, np.zeros(len(records.x), np.uint32), run.preprocessing)
        _, y = decoded(run.model, variables, batch)
        params = variables.params.get("likelihood", {})
        size = batch.x[0].size

        def entry(i):
            alone = (jnp.arange(size) == i).reshape(batch.x.shape[1:])
            each = jnp.broadcast_to(alone, batch.x.shape)
            seen = each if batch.observed is None else each & batch.observed
            return -jax.vmap(lambda *row: log_prob(params, *row))(y, batch.x, seen)

        by_entry = jax.lax.map(entry, jnp.arange(size), batch_size=min(size, ENTRIES_AT_ONCE))
        return jnp.moveaxis(by_entry, 0, 1).reshape(batch.x.shape)

    return run.over_examples("anomaly heat map", maps)(run.variables, as_numpy(records))
