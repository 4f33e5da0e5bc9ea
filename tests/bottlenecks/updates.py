"""States of a bottleneck over several steps, on any number of devices, for known features."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ae_jax as ae
from ae_jax import keys as keys_lib
from ae_jax.training.parallel import strategies as parallel
from ae_jax.types import Coder
from tests import fast

AS_IT_IS = Coder(lambda key, x: ({}, {}), lambda params, state, x, **_: (x, {}, state))


def states(
    bottleneck: Any, steps: Any, masks: Any, devices: int = 1, state: Any = None
) -> list[dict[str, np.ndarray]]:
    """The state before and after each step, where the features are the examples themselves.

    Args:
      bottleneck: under test.
      steps: `[steps, b, *feature_shape]`.
      masks: `valid` of each, `[steps, b]`.
      devices: that share the batch.
      state: to start from; None: the bottleneck's own.
    """
    model = ae.autoencoder(AS_IT_IS, AS_IT_IS, bottleneck, ae.likelihoods.gaussian())
    strategy, size = parallel.pmap(jax.devices()[:devices]), len(steps[0])
    share = size // devices

    def per_shard(device, state, x, valid, key):
        rows = lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, device * share, share)
        batch, places = ae.Batch(rows(x), valid=rows(valid)), rows(jnp.arange(size))
        keys = keys_lib.for_examples(key, 0, places)
        variables = ae.Variables({}, {"bottleneck": state})
        _, collected = model.forward(variables, batch, keys, train=True)
        return bottleneck.update(state, strategy.across.sum(collected["bottleneck"]), key)

    run = fast.jit(strategy.compile("states", per_shard))
    if state is None:
        state = bottleneck.init(jax.random.key(0))[1]
    found = [state]
    for i, (x, valid) in enumerate(zip(steps, masks, strict=True)):
        key = jax.random.fold_in(jax.random.key(1), i)
        found.append(run(found[-1], jnp.asarray(x, jnp.float32), jnp.asarray(valid), key))
    return jax.device_get(found)
