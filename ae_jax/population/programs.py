"""One program for many members: the bodies of a single run's programs, mapped over members."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import config as config_lib
from ae_jax import keys
from ae_jax.data.intake import take_in
from ae_jax.data.source import in_memory
from ae_jax.population.traced import with_values
from ae_jax.runs.planning import shapes_of
from ae_jax.training import programs as engine
from ae_jax.training.parallel.members import Members, alone
from ae_jax.training.parallel.strategy import Program
from ae_jax.training.plan import Plan
from ae_jax.training.step import metric_names
from ae_jax.types import Array

Values = dict[str, Array]
"""The numbers that vary, by dotted path: `[members]`."""


def stacked_values(paths: Sequence[str], configs: Sequence[Any]) -> Values:
    """The numbers of each path, `[members]`, promoted as Python's numbers are."""
    from ae_jax.population.members import value_at

    rows = {path: [value_at(config, path) for config in configs] for path in paths}
    return {path: weak(row) for path, row in rows.items()}


def weak(numbers: Any) -> Array:
    """An array that takes the type of what it meets, as a Python number does.

    A learning rate or weight written in a config is such a number; a float32 one would make
    float32 of what is computed in half precision.
    """
    numbers = np.asarray(numbers)
    whole = numbers.dtype.kind in "iu"
    cast = int if whole else float
    return jnp.stack([jnp.asarray(cast(number)) for number in numbers.ravel()])


class Bodies(NamedTuple):
    """What one member computes, each a pure function whose first argument is its numbers.

    Attributes:
      init: `(values, root) -> TrainState`.
      train: `(values, state, totals, records, order_seed, position) -> (state, totals)`.
      evaluate: `(values, variables, root, step, records) -> (sums, count)`.
      totals: the metrics that are summed, by name, zero.
    """

    init: Callable[..., Any]
    train: Callable[..., Any]
    evaluate: Callable[..., Any]
    totals: dict[str, np.ndarray]


def bodies(plan: Plan, optimizer: Any = None) -> Bodies:
    """The bodies of the programs of a single run of this plan, with its numbers as arguments.

    Args:
      plan: of the first member.
      optimizer: in place of the config's section.
    """
    training, num_train = plan.config.training, len(plan.dataset.train)
    strategy, shapes = alone(), shapes_of(plan)
    numbered = lambda values: with_values(plan, values, optimizer, shapes)

    def init(values: Mapping[str, Any], root: Any) -> Any:
        return numbered(values).init(root)

    def train(values, state, totals, records, order_seed, position):
        own = numbered(values)
        run = engine.resident_training(
            own.model,
            own.players,
            plan.preprocessing,
            strategy,
            training.batch_size,
            num_train,
            training.accumulation,
            own.config.training.average_decay,
        )
        return run(state, totals, (records, order_seed), position)

    def evaluate(values, variables, root, step, records):
        own = numbered(values)
        size = config_lib.evaluation_batch_size(plan.config)
        parts = own.model, own.objective, plan.preprocessing, strategy
        return engine.resident_evaluation(*parts, size, num_train)(variables, root, step, records)

    totals = {name: np.zeros((), np.float32) for name in metric_names(plan.players)}
    return Bodies(init, train, evaluate, totals)


class Programs(NamedTuple):
    """The compiled programs of a group of members.

    Attributes:
      train: as `Bodies.train`, of stacked arguments after which of the members are live; records
        and position are shared, and so is the order's seed where no member has its own.
      evaluate: as `Bodies.evaluate`, records shared, after which of the members are live.
    """

    train: Program
    evaluate: Program


def programs(found: Bodies, members: Members, own_order: bool) -> Programs:
    """Compiles the bodies for members side by side.

    Args:
      found: of one member.
      members: where they lie.
      own_order: whether members go through the data in orders of their own; else a batch is
        gathered once for all.
    """
    own = (True, True, True, False, own_order, False)
    train = members.compile("population train", found.train, own, donate=(1, 2))
    own = (True, True, True, True, False)
    return Programs(train, members.compile("population evaluate", found.evaluate, own))


def failure(plan: Plan, values: Mapping[str, Any], optimizer: Any, records: Any) -> str | None:
    """Why these fields cannot be arguments of a program; None: they can.

    Args:
      plan: of one member.
      values: one member's numbers.
      optimizer: in place of the config's section.
      records: of the training split, arrays or shapes.
    """
    found, root = bodies(plan, optimizer), jax.random.key(0)
    position = np.zeros(4, np.uint32)
    try:
        state = jax.eval_shape(found.init, values, root)
        seed = np.uint32(0)
        jax.eval_shape(found.train, values, state, found.totals, records, seed, position)
        given = state.evaluated, state.root, state.step
        jax.eval_shape(found.evaluate, values, *given, records)
        fixed = jax.eval_shape(plan.init, root)
    except Exception as error:  # whatever JAX, flax and optax say of a number that has no value yet
        return f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
    form = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
    same = form(state) == form(fixed)
    return None if same else "another form of the state"


def evaluated_names(plan: Plan, values: Mapping[str, Any], optimizer: Any) -> set[str]:
    """The names of the metrics that an evaluation has.

    Args:
      plan: of one member.
      values: of one member, `[1]`.
      optimizer: in place of the config's section.
    """
    found, root = bodies(plan, optimizer), jax.random.key(0)
    records = in_memory(take_in(plan.dataset.train, plan.preprocessing.host)).records
    first = {path: row[0] for path, row in values.items()}
    state = jax.eval_shape(found.init, first, root)
    given = state.evaluated, state.root, state.step, records
    return set(jax.eval_shape(found.evaluate, first, *given)[0])


def configs_with(configs: Sequence[Any], values: Mapping[str, Any]) -> list[Any]:
    """Configs with the numbers that these are now, where a selection has changed them.

    Args:
      configs: of members as they began.
      values: of each, `[members]`.
    """
    began = stacked_values(sorted(values), configs)
    host = {path: (np.asarray(row), np.asarray(began[path])) for path, row in values.items()}

    def one(i: int) -> dict[str, Any]:
        return {path: now[i].item() for path, (now, was) in host.items() if now[i] != was[i]}

    return [
        config_lib.replaced(config, changed) if (changed := one(i)) else config
        for i, config in enumerate(configs)
    ]


def root_of(seed: int) -> Any:
    """The key that a member's streams descend from."""
    return keys.root(seed)
