"""Averages of the parameters beside them, which are then evaluated, saved and used."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from optax import contrib

from ae_jax.types import Tree

Step = Callable[..., Any]


def averaging(step: Step, decay: float) -> Step:
    """The step with a running average of the parameters beside them (Polyak & Juditsky 1992).

    average ← d · average + (1 - d) · params with d = min(decay, (1 + step) / (10 + step)), so that
    the first parameters are soon forgotten. Skipped updates leave it alone.

    Args:
      step: step of `make_step`; its state begins with an average, see `init_state`.
      decay: weight of the old average, below 1; about 1 / (1 - decay) steps are averaged over.

    Returns:
      A step.

    Example:
      >>> import ae_jax as ae, jax, numpy as np, optax
      >>> x = np.zeros((8, 4), np.float32)
      >>> model, objective = ae.recipes.vae(2).build(ae.spec_of(x))
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), x[0])
      >>> players = ae.training.single_player(objective, optax.sgd(0.1), variables)
      >>> init = lambda: ae.training.init_state(model, players, x[0], seed=0, averaged=True)
      >>> step = ae.training.make_step(model, players, num_train=len(x))
      >>> step = ae.training.averaging(step, decay=0.999)
      >>> state, metrics = jax.eval_shape(step, jax.eval_shape(init), ae.Batch(x))
      >>> sorted(state.average)
      ['decoder', 'encoder']
    """

    def averaged(state: Any, *args: Any) -> Any:
        new, metrics = step(state, *args)
        kept = jnp.minimum(decay, (1 + state.step) / (10 + state.step))
        kept = jnp.where(metrics["skipped"] > 0, 1.0, kept)
        move = lambda a, p: (kept * a + (1 - kept) * p).astype(a.dtype)
        average = jax.tree.map(move, state.average, new.variables.params)
        return new._replace(average=average), metrics

    return averaged


def moved(average: Tree, optimizer: Mapping[str, Tree], params: Tree) -> Tree:
    """The average after a step: the point to use of schedule-free optimizers (Defazio et al. 2024).

    They take gradients at y = (1 - β) z + β x, which are the params, and learn x, a running average
    of their iterates z: x = (y - (1 - β) z) / β.

    Args:
      average: before the step.
      optimizer: optax states by player name, after it.
      params: y, after it; those that other optimizers move stay as they are.

    Returns:
      x; the average as it was if no optimizer is schedule-free.
    """
    free = [state for state in map(_schedule_free, optimizer.values()) if state is not None]
    if not free:
        return average
    average = params
    for state in free:
        moving = {name: params[name] for name in state.z}
        point = contrib.schedule_free_eval_params(state, moving)
        average = {**average, **jax.tree.map(lambda x, y: x.astype(y.dtype), point, moving)}
    return average


def keeps_one(optimizer: Mapping[str, Tree]) -> bool:
    """Whether any player's optimizer state is that of a schedule-free optimizer."""
    return any(_schedule_free(tree) is not None for tree in optimizer.values())


def _schedule_free(tree: Tree) -> Any:
    """The state of the schedule-free optimizer within one of optax's, or None."""
    is_one = lambda node: isinstance(node, contrib.ScheduleFreeState)
    return next(filter(is_one, jax.tree.leaves(tree, is_leaf=is_one)), None)
