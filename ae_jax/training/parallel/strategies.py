"""Strategies: how a step runs on many devices, with its placement and collectives.

A per-shard function takes the number of its share of the batch first; everything else that it takes
and returns is the same for every share, so that state is one unstacked tree whatever the number of
devices. Under `pmap` and `shard_map` each device has a share. Under `fsdp`, in global view, there
is one: the whole batch, which XLA divides, as it does parameters and optimizer state.
"""

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ae_jax.config.sections import Parallel
from ae_jax.errors import ConfigError, UnknownNameError, nearest
from ae_jax.training.parallel.mesh import MESH_AXES, TILE, arranged, mesh_shape, split_dimension
from ae_jax.training.parallel.strategy import Device, Program, Strategy, compiler_options, put
from ae_jax.types import DEVICE_AXIS, Collectives, Shape, Tree

counts: collections.Counter[str] = collections.Counter()
"""How often the process fetched from the device ("fetch") and traced each compiled function."""


def pmap(devices: Sequence[Device], shape: Mapping[str, int | None] | None = None) -> Strategy:
    """Data parallel under `jax.pmap`: each device its share of the batch, parameters on all.

    Over several processes it is `shard_map`, as inside JAX: `jax.pmap` itself takes no compiler
    options there, and typed keys to the host and back at every call.
    """
    mesh = _line(devices, shape, "pmap")
    if jax.process_count() > 1:
        return shard_map(devices)._replace(name="pmap")

    def compile(
        name: str, per_shard: Callable, donate: tuple[int, ...] = (), split: tuple[int, ...] = ()
    ) -> Program:
        def build(count: int) -> Any:
            return jax.pmap(
                traced(name, per_shard),
                axis_name=DEVICE_AXIS,
                in_axes=(0, *(0 if i in split else None for i in range(count))),
                out_axes=None,  # pyright: ignore[reportArgumentType]
                devices=devices,
                donate_argnums=tuple(i + 1 for i in donate),
            )

        def numbers(abstract: bool) -> tuple[Any]:
            number = np.arange(len(devices), dtype=np.uint32)
            if abstract:
                return (strategy.shapes(number, "rows"),)
            with jax.ensure_compile_time_eval():  # kept, though a caller may be tracing
                return (put(number, strategy.by_row),)

        return Program(build, numbers, compiler_options(devices))

    across = collectives(len(devices))
    strategy = Strategy("pmap", mesh, across, len(devices), _whole, compile)
    return strategy


def shard_map(devices: Sequence[Device], shape: Mapping[str, int | None] | None = None) -> Strategy:
    """Data parallel under `jax.shard_map`: as `pmap`, in the form that composes with `jax.jit`."""
    mesh = _line(devices, shape, "shard_map")

    def compile(
        name: str, per_shard: Callable, donate: tuple[int, ...] = (), split: tuple[int, ...] = ()
    ) -> Program:
        def one(*args: Any) -> Any:
            row = lambda i, arg: jax.tree.map(lambda x: x[0], arg) if i in split else arg
            number = jax.lax.axis_index(DEVICE_AXIS).astype(jnp.uint32)
            return per_shard(number, *(row(i, arg) for i, arg in enumerate(args)))

        def build(count: int) -> Any:
            per_device, same = PartitionSpec(DEVICE_AXIS), PartitionSpec()
            specs = tuple(per_device if i in split else same for i in range(count))
            # With check_vma=True gradients of whole parameters would arrive summed over devices.
            mapped = jax.shard_map(
                traced(name, one), mesh=mesh, in_specs=specs, out_specs=same, check_vma=False
            )
            return jax.jit(mapped, donate_argnums=donate)

        return Program(build, options=compiler_options(devices))

    return Strategy("shard_map", mesh, collectives(len(devices)), len(devices), _whole, compile)


def fsdp(
    devices: Sequence[Device],
    shape: Mapping[str, int | None] | None = None,
    tile: tuple[int, int] = TILE,
) -> Strategy:
    """Fully sharded (Rajbhandari et al. 2020): state split over devices, gathered where it is used.

    | what | is split over |
    |---|---|
    | the batch | `data` and `fsdp` |
    | the dimension of a leaf of the state that `split_dimension` finds | `fsdp` |
    | leaves without such a dimension (biases, scales, counters), data | nothing |

    Args:
      devices: any number.
      shape: how many of them "data" and "fsdp" have; either may be left out, and with neither
        "fsdp" has as many as divide the devices, up to 16: beyond that the shards of ordinary
        layers become smaller than a tile.
      tile: the smallest shard, in the last two dimensions.

    Returns:
      A Strategy in global view.

    Raises:
      ConfigError: the mesh does not have as many places as there are devices.
    """
    mesh = Mesh(arranged(devices, mesh_shape(len(devices), shape or {})), MESH_AXES)
    size = mesh.shape["fsdp"]

    def of_state(shape: Shape) -> PartitionSpec:
        dimension = split_dimension(shape, size, tile)
        return PartitionSpec() if dimension is None else _only(dimension, "fsdp")

    laid = lambda x, spec: jax.lax.with_sharding_constraint(x, NamedSharding(mesh, spec))
    by_rule = lambda x: laid(x, of_state(np.shape(x)))

    @jax.custom_vjp
    def gathered(x):
        return laid(x, PartitionSpec())

    # Its own transpose would gather the gradients, too: each device needs those of its part alone.
    gathered.defvjp(lambda x: (gathered(x), None), lambda _, ct: (by_rule(ct),))

    def spread(tree: Tree, axis: int = 0) -> Tree:
        return jax.tree.map(lambda x: laid(x, _only(axis, MESH_AXES)), tree)

    def compile(
        name: str, per_shard: Callable, donate: tuple[int, ...] = (), split: tuple[int, ...] = ()
    ) -> Program:
        def side_by_side(x):
            x = jnp.moveaxis(x, 0, 1)
            return laid(x.reshape(x.shape[0], -1, *x.shape[3:]), _only(1, MESH_AXES))

        def all_at_once(*args: Any) -> Any:
            joined = lambda i, a: jax.tree.map(side_by_side, a) if i in split else a
            args = tuple(joined(i, a) for i, a in enumerate(args))
            return jax.tree.map(by_rule, per_shard(jnp.uint32(0), *args))

        build = lambda count: jax.jit(traced(name, all_at_once), donate_argnums=donate)
        return Program(build, options=compiler_options(devices))

    whole = lambda tree: jax.tree.map(gathered, tree)
    across = Collectives(whole=whole, spread=spread)
    return Strategy("fsdp", mesh, across, 1, of_state, compile, splits_state=True)


STRATEGIES = {"pmap": pmap, "shard_map": shard_map, "fsdp": fsdp}


def traced(name: str, function: Callable) -> Callable:
    """The function under another name, as profiles show it, whose traces `counts` counts."""

    def counted(*args):
        counts[f"trace {name}"] += 1
        return function(*args)

    counted.__name__ = name
    return counted


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


def _line(devices: Sequence[Device], shape: Mapping[str, int | None] | None, name: str) -> Mesh:
    """The mesh of a strategy with one axis."""
    if given := {axis: size for axis, size in (shape or {}).items() if size is not None}:
        raise ConfigError(f"parallel.mesh is {given}, but '{name}' has none: a mesh is for 'fsdp'")
    return Mesh(np.asarray(devices), (DEVICE_AXIS,))


def _whole(shape: Shape) -> PartitionSpec:
    del shape
    return PartitionSpec()


def _only(axis: int, names: str | tuple[str, ...]) -> PartitionSpec:
    """The spec that splits one axis."""
    return PartitionSpec(*[None] * axis, names)


def from_config(section: Parallel, devices: Sequence[Device] | None = None) -> Strategy:
    """The strategy of a config's `parallel` section.

    Args:
      section: the strategy by name, how many devices, the first of them, and the mesh of `fsdp`.
      devices: devices to choose from, abstract ones too; None: those present.

    Returns:
      A Strategy.

    Raises:
      ConfigError: the name is unknown, there are fewer devices, or the mesh does not fit them.
    """
    name, wanted = section.strategy, section.devices
    present = jax.devices() if devices is None else list(devices)
    if name not in STRATEGIES:
        raise UnknownNameError(f"no strategy is called {name!r}{nearest(name, STRATEGIES)}")
    wanted = len(present) if wanted is None else wanted
    if wanted > len(present):
        raise ConfigError(f"parallel.devices is {wanted}, but this machine has {len(present)}")
    return STRATEGIES[name](present[:wanted], vars(section.mesh))


def check_batch(
    batch_size: int, devices: int, field: str = "training.batch_size", accumulation: int = 1
) -> None:
    """Raises ConfigError, with the nearest sizes that do, unless the devices divide the batch.

    Args:
      batch_size: size of the global batch.
      devices: over which it is split.
      field: name of the field of the config.
      accumulation: microbatches it is split into first.
    """
    unit = devices * accumulation
    if batch_size % unit:
        below, above = batch_size // unit * unit, -(-batch_size // unit) * unit
        near = f"{below} or {above}" if below else f"{above}"
        what = (
            f"{devices} devices do"
            if accumulation == 1
            else (f"{devices} devices x training.accumulation={accumulation} do")
        )
        raise ConfigError(f"{field} is {batch_size}, which {what} not divide; nearest: {near}")


def fetch(tree: Tree) -> Tree:
    """The tree's values as NumPy copies: the one way anything leaves the devices while training.

    Copies, since a live view of a CPU buffer would keep it from being donated. Typed keys become
    their raw key data. What is split over several processes is gathered: all of them must ask.
    """
    counts["fetch"] += 1

    def copy(x):
        if not isinstance(x, jax.Array):
            return np.array(x)
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x = jax.random.key_data(x)
        if x.is_fully_replicated:
            return np.array(x.addressable_data(0))
        if x.is_fully_addressable:
            return np.array(x)
        from jax.experimental import multihost_utils

        return np.array(multihost_utils.process_allgather(x, tiled=True))

    return jax.tree.map(copy, tree)
