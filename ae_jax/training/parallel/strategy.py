"""What a parallel strategy is: where arrays lie, and how a per-shard function becomes a program."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ae_jax import compiler
from ae_jax.types import Collectives, Shape, Tree

Device = Any  # jax.Device
# A device loop as one graph on a GPU: else its host launches every kernel, and waits for each turn.
GRAPHS = {
    "xla_gpu_enable_command_buffer": (
        "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,CONDITIONAL,WHILE,DYNAMIC_SLICE_FUSION"
    ),
    "xla_gpu_graph_min_graph_size": 1,
}
COMPILER_OPTIONS: dict[str, dict[str, Any]] = {"gpu": GRAPHS}
"""What programs are compiled with, by platform; `XLA_FLAGS` that say otherwise are left alone."""


class Program:
    """A per-shard function over all devices, compiled once for each set of shapes and places.

    `program(*args)` runs it, or becomes part of whatever traces it. `program.lower(*args)`, of
    arrays or of `Strategy.shapes`, is that of `jax.jit`: `.compile()` follows, for devices that
    need not exist. What computes in half precision anywhere rounds where its text says.
    """

    def __init__(
        self,
        build: Callable[[int], Any],
        first: Callable[[bool], tuple[Any, ...]] | None = None,
        options: Mapping[str, Any] | None = None,
    ):
        """Holds how to make it.

        Args:
          build: number of arguments to jitted or pmapped function.
          first: `abstract -> ` arguments of its own that go before the caller's.
          options: options of the compiler, for whole programs alone: with them what `jax.jit` makes
            cannot be traced, and `jax.pmap` takes none.
        """
        self._mapped = functools.cache(build)
        self._first = functools.cache(first or (lambda abstract: ()))
        self._options, self._compiled, self._plain = dict(options or {}), {}, False

    def __call__(self, *args: Any) -> Any:
        """Runs it."""
        mapped, args = self._mapped(len(args)), (*self._first(False), *args)
        if self._plain or any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(args)):
            return mapped(*args)
        key = _shapes_and_places(args)
        if key not in self._compiled:
            lowered = _Lowered(mapped.lower(*args), self._options)
            if not lowered.options:  # then what is jitted or pmapped starts sooner
                self._plain = True
                return mapped(*args)
            self._compiled[key] = lowered.compile()
        return self._compiled[key](*args)

    def lower(self, *args: Any) -> Any:
        """`jax.stages.Lowered`, for these shapes and shardings; a call runs what it compiles to."""
        mapped, args = self._mapped(len(args)), (*self._first(True), *args)
        keep = functools.partial(self._compiled.__setitem__, _shapes_and_places(args))
        return _Lowered(mapped.lower(*args), self._options, keep)


def _shapes_and_places(args: Any) -> tuple[Any, ...]:
    leaves, tree = jax.tree.flatten(args)
    kind = lambda x: (np.shape(x), getattr(x, "dtype", type(x)), getattr(x, "sharding", None))
    return tree, *map(kind, leaves)


class _Lowered:
    """`jax.stages.Lowered`, compiled with a program's options."""

    def __init__(
        self, lowered: Any, options: Mapping[str, Any], keep: Callable[[Any], None] | None = None
    ):
        self._lowered, self._keep = lowered, keep
        self.options = {**options, **compiler.rounding(lowered.as_text())}

    def compile(self, compiler_options: Mapping[str, Any] | None = None) -> Any:
        """`jax.stages.Compiled`."""
        compiled = self._lowered.compile({**self.options, **(compiler_options or {})})
        if self._keep and self.options and not compiler_options:
            self._keep(compiled)
        return compiled

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lowered, name)


def compiler_options(devices: Sequence[Device]) -> dict[str, Any]:
    """What programs for these devices are compiled with, beyond XLA's defaults."""
    options = COMPILER_OPTIONS.get(devices[0].platform, {})
    return compiler.not_asked(options) | compiler.options(devices[0].platform)


class Strategy(NamedTuple):
    """How a per-shard function runs on several devices.

    Attributes:
      name: name in `parallel.STRATEGIES`.
      mesh: the devices and the names of their axes.
      across: what a per-shard function reduces over devices with; the identity on one device and in
        global view.
      shares: how many parts a batch is split into: as many as devices, or 1 in global view.
      of_state: shape to the spec of a leaf of the state (parameters, optimizer state, averages).
      compile: `(name, per_shard, donate, split) -> Program`; per_shard is `(number, *args) ->
        tree`, and of the arguments numbered in `split`, leaves `[devices, …]`, it takes its own
        row, or in global view, leaves `[devices, steps, share, …]`, all rows side by side:
        `[steps, devices · share, …]`. What it returns is laid out as state is.
      splits_state: whether each device may hold a part of the state alone, which is then gathered
        where it is used, in global view.
      exchanges: kinds of collectives that its programs are made of, as XLA calls them.
    """

    name: str
    mesh: Mesh
    across: Collectives
    shares: int
    of_state: Callable[[Shape], PartitionSpec]
    compile: Callable[..., Program]
    splits_state: bool = False
    exchanges: tuple[str, ...] = ("all-reduce", "all-gather", "reduce-scatter")

    @property
    def shards(self) -> int:
        """The number of parts that the state is split into; 1: each device has the whole of it."""
        return self.mesh.shape["fsdp"] if self.splits_state else 1

    @property
    def devices(self) -> list[Device]:
        """Those that take part, in the order of their rows."""
        return list(self.mesh.devices.flat)

    @property
    def by_row(self) -> NamedSharding:
        """A row of the leading axis to each device."""
        return NamedSharding(self.mesh, PartitionSpec(self.mesh.axis_names))

    @property
    def on_all(self) -> NamedSharding:
        """The whole of it on each device."""
        return NamedSharding(self.mesh, PartitionSpec())

    def state_shardings(self, tree: Tree) -> Tree:
        """The sharding of each leaf of a state, arrays or shapes."""
        return jax.tree.map(lambda x: NamedSharding(self.mesh, self.of_state(np.shape(x))), tree)

    def place(self, tree: Tree) -> Tree:
        """Host tree to the devices, the same on each."""
        return put(tree, jax.tree.map(lambda _: self.on_all, tree))

    def place_state(self, tree: Tree) -> Tree:
        """State to the devices, whole or in parts as the strategy has it."""
        return put(tree, self.state_shardings(tree))

    def split(self, tree: Tree) -> Tree:
        """Host tree of `[devices of this process, …]` to the devices, a row to each."""
        assemble = functools.partial(jax.make_array_from_process_local_data, self.by_row)
        return jax.tree.map(assemble, tree)

    def shapes(self, tree: Tree, how: str = "same") -> Tree:
        """What `place`, `place_state` or `split` would give, as ShapeDtypeStructs.

        Args:
          tree: tree of arrays or shapes, global ones: for "rows", `[all devices, …]`.
          how: "same", "state" or "rows".

        Returns:
          A tree to lower a `Program` with.
        """
        whole = lambda sharding: jax.tree.map(lambda _: sharding, tree)
        shardings = {
            "same": lambda: whole(self.on_all),
            "state": lambda: self.state_shardings(tree),
            "rows": lambda: whole(self.by_row),
        }[how]()
        struct = lambda x, sharding: jax.ShapeDtypeStruct(np.shape(x), x.dtype, sharding=sharding)
        return jax.tree.map(struct, tree, shardings)


def put(tree: Tree, shardings: Tree) -> Tree:
    """Host values onto devices, those of other processes included.

    Args:
      tree: NumPy, or arrays of this process alone; in every process the same. `jax.device_put`
        would send all of it around to prove that, and takes no typed keys.
      shardings: sharding of each leaf.

    Returns:
      The tree as global arrays.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, shardings)

    def one(leaf, sharding):
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(one(jax.random.key_data(leaf), sharding))
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, host.__getitem__)

    with jax.transfer_guard_host_to_device("allow"):  # as explicit as `device_put`
        return jax.tree.map(one, tree, shardings)
