"""What the checks run on: a small model, awkward batches, and any number of devices."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import bottlenecks, likelihoods, networks
from ae_jax.errors import PartError
from ae_jax.model import Autoencoder, autoencoder
from ae_jax.training.parallel import strategies as parallel
from ae_jax.types import Batch, Shape, Tree, Variables

NUM_TRAIN = 1000


def small_model(event_shape: Shape) -> Autoencoder:
    """A variational model of one sigmoid layer a network and three latents."""
    network = networks.mlp((8,), activation="sigmoid")
    parts = bottlenecks.gaussian(3), likelihoods.gaussian()
    return autoencoder(network, network, *parts, event_shape=event_shape)


def moved_variables(model: Autoencoder, event_shape: Shape) -> Variables:
    """Untrained, but with no parameter at zero and codes away from a prior's centre."""
    variables = model.init(jax.random.key(0), jnp.zeros(event_shape))
    return variables._replace(params=jax.tree.map(lambda p: p + 0.25, variables.params))


def example_batches(
    jit: Callable,
    model: Autoencoder,
    variables: Variables,
    event_shape: Shape,
    size: int,
    extras: Mapping[str, Any] | None = None,
    missing: bool = True,
) -> tuple[Batch, Batch]:
    """A batch in the likelihood's support, and the same with other values in its padding.

    Padding is spread unevenly: among 16 examples on 8 devices, from none to all of a device's.
    Unobserved entries, a fifth of all if `missing`, hold 0.
    """
    likelihood, rng = model.likelihood, np.random.default_rng(0)
    params = variables.params.get("likelihood", {})
    y = rng.normal(size=(2 * size, *likelihood.parameter_shape(event_shape))).astype(np.float32)
    keys = jax.random.split(jax.random.key(2), 2 * size)

    def draw(params, y, key):
        try:
            return likelihood.sample(params, y, key)
        except PartError:  # a game without a likelihood: its examples are what is emitted
            return likelihood.mean(params, y)

    x, other = jnp.split(jit(jax.vmap(draw, (None, 0, 0)))(params, y, keys), 2)
    observed = jnp.asarray(rng.random(x.shape) < 0.8) if missing else None
    x = x if observed is None else jnp.where(observed, x, 0)
    valid = np.arange(size) < np.ceil(0.6 * size)
    valid[1] = False
    index = jnp.arange(size, dtype=jnp.uint32)
    extras = {name: jnp.asarray(value) for name, value in (extras or {}).items()}
    batch = Batch(x, observed, jnp.asarray(valid), index, extras)
    kept = valid.reshape(-1, *[1] * len(event_shape))
    return batch, batch._replace(x=jnp.where(kept, x, other))


def on_devices(jit: Callable, count: int, per_shard: Callable[..., Tree]) -> Callable[..., Tree]:
    """`(whole, shared) -> tree`: a function of one device's rows of `shared`, on so many devices.

    Args:
      jit: compiles.
      count: number of devices.
      per_shard: `(whole, rows, across) -> tree`, the same on every device.
    """
    strategy = parallel.pmap(jax.devices()[:count])

    def shard(device, whole, shared):
        size = len(jax.tree.leaves(shared)[0]) // count
        rows = lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, device * size, size)
        return per_shard(whole, jax.tree.map(rows, shared), strategy.across)

    return jit(strategy.compile("check", shard))
