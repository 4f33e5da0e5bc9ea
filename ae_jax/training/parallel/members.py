"""Where the members of a population lie: stacked, each device with a share of them.

Members exchange nothing: a program of theirs has no collectives, and each computes what it would
alone on one device.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ae_jax.errors import UnknownNameError, nearest
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.parallel.strategy import Device, Program, Strategy, compiler_options, put
from ae_jax.types import ALONE, Array, Tree

AXIS = "member"


def alone() -> Strategy:
    """One device's strategy whose `compile` compiles nothing: for a body that others transform."""

    def compile(
        name: str, per_shard: Callable, donate: tuple[int, ...] = (), split: tuple[int, ...] = ()
    ) -> Any:
        del name, donate, split
        return lambda *args: per_shard(jnp.uint32(0), *args)

    mesh = Mesh(np.asarray(jax.devices()[:1]), (AXIS,))
    return Strategy("alone", mesh, ALONE, 1, lambda shape: PartitionSpec(), compile)


def _side_by_side(function: Callable, stacked: Sequence[bool]) -> Callable:
    mapped = jax.vmap(function, in_axes=tuple(0 if own else None for own in stacked))
    return lambda live, *args: mapped(*args)


def _in_turn(function: Callable, stacked: Sequence[bool]) -> Callable:
    def mapped(live: Any, *args: Any) -> Any:
        own = tuple(arg for arg, mine in zip(args, stacked, strict=True) if mine)

        def one(mine: Any) -> Any:
            left = iter(mine)
            pairs = zip(args, stacked, strict=True)
            return function(*(next(left) if own else arg for arg, own in pairs))

        blank = jax.tree.map(_zeros, jax.eval_shape(one, jax.tree.map(lambda x: x[0], own)))
        return jax.lax.map(
            lambda row: jax.lax.cond(row[0], one, lambda _: blank, row[1]), (live, own)
        )

    return mapped


def _zeros(leaf: jax.ShapeDtypeStruct) -> Array:
    if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jnp.zeros(leaf.shape, leaf.dtype)
    return jax.random.wrap_key_data(_zeros(jax.eval_shape(jax.random.key_data, leaf)))


class Form(NamedTuple):
    """How the members on one device are computed.

    Attributes:
      mapped: `(function, stacked) -> (live, *args) -> ` results `[members, …]`; live is bool
        `[members]`.
      skips: whether a member that is not live costs nothing. Its results mean nothing.
    """

    mapped: Callable[[Callable, Sequence[bool]], Callable]
    skips: bool


FORMS = {"vmap": Form(_side_by_side, False), "map": Form(_in_turn, True)}
"""How the members on one device are computed: side by side in every operation, or in turn."""


def fastest() -> str:
    """The form that measured faster on this machine's kind of devices; see `fit_population`."""
    return "map" if jax.default_backend() == "cpu" else "vmap"


class Members(NamedTuple):
    """The devices of a population and how its members are computed there.

    Attributes:
      mesh: devices on one axis.
      form: a key of `FORMS`.
    """

    mesh: Mesh
    form: str = "vmap"

    @property
    def devices(self) -> int:
        """How many devices there are."""
        return self.mesh.size

    @property
    def skips(self) -> bool:
        """Whether a member that is not live costs nothing."""
        return FORMS[self.form].skips

    def rows(self, count: int, size: int) -> np.ndarray:
        """Where so many members lie in a stack, evenly over the devices: int `[count]`."""
        each = math.ceil(count / self.devices)
        number = np.arange(count)
        return number // each * (size // self.devices) + number % each

    def padded(self, count: int) -> int:
        """The least multiple of the devices that holds so many members."""
        return math.ceil(count / self.devices) * self.devices

    def compile(
        self,
        name: str,
        function: Callable[..., Tree],
        stacked: Sequence[bool],
        donate: tuple[int, ...] = (),
    ) -> Program:
        """A function of one member as a program of many.

        Args:
          name: as profiles and `counts` call it.
          function: of one member's arguments.
          stacked: of each argument, whether every member has its own, `[members, …]`.
          donate: numbers of the arguments whose memory the results may take.

        Returns:
          A Program of as many members as it is given, a multiple of the devices; its first argument
          says which of them are live, bool `[members]`.
        """
        many = FORMS[self.form].mapped(function, stacked)
        mine, same = PartitionSpec(AXIS), PartitionSpec()
        specs = (mine, *(mine if own else same for own in stacked))
        mapped = jax.shard_map(
            parallel.traced(name, many),
            mesh=self.mesh,
            in_specs=specs,
            out_specs=mine,
            check_vma=False,
        )
        build = lambda count: jax.jit(mapped, donate_argnums=tuple(1 + number for number in donate))
        return Program(build, options=compiler_options(list(self.mesh.devices.flat)))

    def place(self, tree: Tree) -> Tree:
        """What all members share, to every device."""
        sharding = NamedSharding(self.mesh, PartitionSpec())
        return put(tree, jax.tree.map(lambda _: sharding, tree))

    def place_members(self, tree: Tree) -> Tree:
        """Leaves `[members, …]`, to each device its share."""
        sharding = NamedSharding(self.mesh, PartitionSpec(AXIS))
        return put(tree, jax.tree.map(lambda _: sharding, tree))


def over(devices: Sequence[Device], form: str = "vmap") -> Members:
    """The members of a population spread over these devices.

    Raises:
      UnknownNameError: there is no such form.
    """
    if form not in FORMS:
        raise UnknownNameError(f"form cannot be {form!r}{nearest(form, FORMS)}")
    return Members(Mesh(np.asarray(list(devices)), (AXIS,)), form)
