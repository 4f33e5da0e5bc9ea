"""Device placement and collectives: the only file that knows of either.

A per-shard function takes this device's number first; everything else it takes and returns is the
same on every device, so that state is one unstacked tree whatever the number of devices.
"""

import collections
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ae_jax.errors import ConfigError, UnknownNameError, nearest
from ae_jax.networks.adapters import DEVICE_AXIS
from ae_jax.types import Collectives, Tree

Device = Any  # jax.Device
counts: collections.Counter[str] = collections.Counter()
"""How often the process fetched from the device ("fetch") and traced each compiled function."""


class Strategy(NamedTuple):
    """How a per-shard function runs on several devices.

    Attributes:
      devices: those that take part.
      across: their collectives; the identity on one device.
      place: host tree to the devices, the same on each.
      split: host tree of `[devices of this process, …]` to the devices, a row to each.
      compile: `(name, per_shard, donate, split) -> function`; per_shard is
        `(device, *args) -> tree`, and takes its own row of the arguments numbered in `split`.
    """

    devices: Sequence[Device]
    across: Collectives
    place: Callable[[Tree], Tree]
    split: Callable[[Tree], Tree]
    compile: Callable[..., Callable[..., Any]]


def pmap(devices: Sequence[Device]) -> Strategy:
    """Data parallel under `jax.pmap`: each device its share of the batch, parameters on all."""
    mesh = Mesh(np.asarray(devices), (DEVICE_AXIS,))
    on_all = NamedSharding(mesh, PartitionSpec())
    by_row = NamedSharding(mesh, PartitionSpec(DEVICE_AXIS))
    numbers = jax.device_put(np.arange(len(devices), dtype=np.uint32), by_row)

    def compile(
        name: str,
        per_shard: Callable[..., Any],
        donate: tuple[int, ...] = (),
        split: tuple[int, ...] = (),
    ):
        def traced(device, *args):
            counts[f"trace {name}"] += 1
            return per_shard(device, *args)

        compiled: dict[int, Any] = {}

        def call(*args):
            if len(args) not in compiled:
                compiled[len(args)] = jax.pmap(
                    traced,
                    axis_name=DEVICE_AXIS,
                    in_axes=(0, *(0 if i in split else None for i in range(len(args)))),
                    out_axes=None,  # pyright: ignore[reportArgumentType]
                    devices=devices,
                    donate_argnums=tuple(i + 1 for i in donate),
                )
            return compiled[len(args)](numbers, *args)

        return call

    return Strategy(
        devices,
        collectives(len(devices)),
        place=functools.partial(put, sharding=on_all),
        split=lambda tree: jax.tree.map(
            functools.partial(jax.make_array_from_process_local_data, by_row), tree
        ),
        compile=compile,
    )


STRATEGIES = {"pmap": pmap}


def put(tree: Tree, sharding: Any) -> Tree:
    """Host values onto devices, those of other processes included.

    Args:
      tree: NumPy, or arrays of this process alone; in every process the same. `jax.device_put`
        would send all of it around to prove that, and takes no typed keys.
      sharding: of every leaf.

    Returns:
      The tree as global arrays.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def one(leaf):
        if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
            return jax.random.wrap_key_data(one(jax.random.key_data(leaf)))
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, host.__getitem__)

    with jax.transfer_guard_host_to_device("allow"):  # as explicit as `device_put`
        return jax.tree.map(one, tree)


def collectives(size: int) -> Collectives:
    """The reductions inside a mapped function over `size` devices."""
    if size == 1:  # an all-reduce over one device would still copy every gradient
        return Collectives()
    return Collectives(
        size=size,
        sum=lambda tree: jax.lax.psum(tree, DEVICE_AXIS),
        mean=lambda tree: jax.lax.pmean(tree, DEVICE_AXIS),
        gather=lambda tree: jax.lax.all_gather(tree, DEVICE_AXIS, tiled=True),
        number=lambda: jax.lax.axis_index(DEVICE_AXIS),
    )


def from_config(section: Mapping[str, Any]) -> Strategy:
    """The strategy of a config's `parallel` section.

    Args:
      section: "strategy" by name; "devices", the first so many, None for all.

    Returns:
      A Strategy.

    Raises:
      ConfigError: the name is unknown, or there are fewer devices.
    """
    name, wanted, present = section["strategy"], section["devices"], jax.devices()
    if name not in STRATEGIES:
        raise UnknownNameError(f"no strategy is called {name!r}{nearest(name, STRATEGIES)}")
    wanted = len(present) if wanted is None else wanted
    if wanted > len(present):
        raise ConfigError(f"parallel.devices is {wanted}, but this machine has {len(present)}")
    return STRATEGIES[name](present[:wanted])


def own(devices: Sequence[Device]) -> Sequence[Device]:
    """Those of the devices that this process can use by itself."""
    return [d for d in devices if d.process_index == jax.process_index()] or jax.local_devices()[:1]


def check_batch(batch_size: int, devices: int, field: str = "training.batch_size") -> None:
    """Raises ConfigError, with the nearest sizes that do, unless the devices divide the batch."""
    if batch_size % devices:
        below, above = batch_size // devices * devices, -(-batch_size // devices) * devices
        near = f"{below} or {above}" if below else f"{above}"
        raise ConfigError(
            f"{field} is {batch_size}, which {devices} devices do not divide; nearest: {near}"
        )


def fetch(tree: Tree) -> Tree:
    """The tree's values as NumPy copies: the one way anything leaves the devices while training.

    Copies, since a live view of a CPU buffer would keep it from being donated. Typed keys become
    their raw key data.
    """
    counts["fetch"] += 1

    def copy(x):
        if not isinstance(x, jax.Array):
            return np.array(x)
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x = jax.random.key_data(x)
        return np.array(x.addressable_data(0))

    return jax.tree.map(copy, tree)


def over_examples(
    fn: Callable[..., Tree], devices: Sequence[Device], batch_size: int
) -> Callable[..., Tree]:
    """A batched function made to take any number of examples, spread over devices.

    Args:
      fn: `(shared, *per_example) -> tree of [b, …]`.
      devices: over which each batch is split.
      batch_size: examples a call, rounded up to a multiple of the devices; the last batch is padded
        with copies of its last example, and trimmed.

    Returns:
      `(shared, *per_example) -> tree of NumPy [n, …]`; compiled once for every n.
    """
    size = math.ceil(batch_size / len(devices)) * len(devices)
    mesh = Mesh(np.asarray(devices), (DEVICE_AXIS,))
    split = NamedSharding(mesh, PartitionSpec(DEVICE_AXIS))
    on_all = NamedSharding(mesh, PartitionSpec())
    compiled = jax.jit(fn)

    def call(shared, *per_example):
        shared = jax.device_put(shared, on_all)
        total = len(jax.tree.leaves(per_example)[0])
        pieces = []
        for start in range(0, total, size):
            index = np.minimum(np.arange(start, start + size), total - 1)
            take = functools.partial(np.take, indices=index, axis=0)
            part = jax.device_put(jax.tree.map(take, per_example), split)
            pieces.append(jax.tree.map(np.asarray, compiled(shared, *part)))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:total], *pieces)

    return call
