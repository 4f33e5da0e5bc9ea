"""The states of a population before its first step."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ae_jax import compiler, keys
from ae_jax.population.groups import Group
from ae_jax.population.programs import Values, bodies
from ae_jax.population.traced import with_values
from ae_jax.runs import first_batch
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.state import TrainState


def first_state(
    group: Group, values: Values, optimizer: Any, say: Callable[[str], None]
) -> TrainState:
    """Each member as it would start alone, side by side: `[members, …]`, NumPy with typed keys.

    Args:
      group: of the members.
      values: their numbers, `[members]`.
      optimizer: in place of the config's section.
      say: shows a line to the user.
    """
    init = compiler.jit(bodies(group.plan, optimizer).init)
    start = compiler.jit(
        lambda values, *rest: first_batch.starting(with_values(group.plan, values, optimizer))(
            *rest
        )
    )
    states = []
    for i, config in enumerate(group.configs):
        own = {path: row[i] for path, row in values.items()}
        root = keys.root(config.training.seed)
        state = init(own, root)
        if config.training.init_from is not None:
            state = _warm(group, state, say if i == 0 else lambda text: None)
        else:
            begin = lambda *rest, own=own: start(own, *rest)
            state = first_batch.started(group.plan, state, root, begin)
        states.append(parallel.fetch(state))
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
    return stacked._replace(root=jax.random.wrap_key_data(stacked.root))


def _warm(group: Group, state: TrainState, say: Callable[[str], None]) -> TrainState:
    from ae_jax.training.warm_start import warm_start

    training = group.plan.config.training
    variables, taken = warm_start(state.variables, training.init_from, training.init_parts)
    say(f"starting from the {', '.join(taken)} of {training.init_from}")
    average = jax.tree.map(np.array, variables.params) if state.average else {}
    return state._replace(variables=variables, average=average)
