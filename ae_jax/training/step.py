"""The one pure training step: forward, objective, gradients, update, metrics."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax import keys as keys_lib
from ae_jax.model import Autoencoder
from ae_jax.objective import Objective
from ae_jax.training.state import TrainState
from ae_jax.types import ALONE, Array, Batch, Collectives, Context, Player, Tree, Variables

Step = Callable[..., tuple[TrainState, dict[str, Array]]]


def single_player(
    objective: Objective, optimizer: optax.GradientTransformation, variables: Variables
) -> tuple[Player, ...]:
    """The ordinary game: one player moves every parameter."""
    return (Player(tuple(sorted(variables.params)), objective, optimizer),)


def metric_names(players: Sequence[Player]) -> tuple[str, ...]:
    """The names of the metrics that a step of these players returns."""
    names = []
    for player in players:
        prefix = "" if len(players) == 1 else f"{player.name}/"
        terms = [term.name for term in player.objective.terms]
        names += [prefix + name for name in ("loss", *terms, "grad_norm")]
    return (*names, "skipped")


def make_step(model: Autoencoder, players: Sequence[Player], num_train: int) -> Step:
    """The step of one device's share of a batch; pure, to be jitted by the caller.

    Args:
      model: the Autoencoder.
      players: run in order, each with a fresh forward pass on the current parameters.
      num_train: the size of the training set, for terms that need it.

    Returns:
      `step(state, batch, places=None, across=ALONE) -> (state, metrics)`. `places` are the
      examples' places in the global batch, integers `[b]` (None: `0 … b-1`), `across` the
      reductions over devices. Metrics are scalars averaged over the global batch: each unweighted
      term, "loss", "grad_norm" and "skipped" (1 where loss or gradients were not finite: parameters
      and optimizer are then left as they were).
    """

    def step(
        state: TrainState,
        batch: Batch,
        places: Array | None = None,
        across: Collectives = ALONE,
    ) -> tuple[TrainState, dict[str, Array]]:
        if places is None:
            places = jnp.arange(batch.x.shape[0], dtype=jnp.uint32)
        keys = keys_lib.for_examples(state.root, state.step, places)
        variables, optimizer = state.variables, dict(state.optimizer)
        metrics, finite, sums = {}, jnp.array(True), {}
        for turn, player in enumerate(players):
            own_keys = keys if turn == 0 else _next_turn(keys, turn)
            context = Context(model, variables, batch, own_keys, state.step, num_train, across)
            grads, (values, collected) = _gradients(player, context)
            moved, opt_state, norm = _update(player, grads, variables, optimizer[player.name])
            good = jnp.isfinite(values["loss"]) & jnp.isfinite(norm)
            due = good if player.every == 1 else good & (state.step % player.every == 0)
            params = {**variables.params, **_keep(due, moved, variables.params)}
            new_state = {**variables.state, **collected["state"]}
            variables = Variables(params, _keep(good, new_state, variables.state))
            optimizer[player.name] = _keep(due, opt_state, optimizer[player.name])
            finite &= good
            sums = collected["bottleneck"] if turn == 0 else sums
            prefix = "" if len(players) == 1 else f"{player.name}/"
            metrics |= {prefix + k: v for k, v in {**values, "grad_norm": norm}.items()}
        variables = _update_bottleneck(model, state, variables, across.sum(sums), finite)
        skipped = 1 - finite.astype(jnp.int32)
        state = state._replace(
            variables=variables,
            optimizer=optimizer,
            step=state.step + 1,
            skipped=state.skipped + skipped,
            skipped_in_a_row=(state.skipped_in_a_row + 1) * skipped,
        )
        return state, metrics | {"skipped": skipped.astype(jnp.float32)}

    return step


def _gradients(player: Player, context: Context) -> tuple[Tree, Any]:
    """Global gradients of the player's parameters, with metrics and what forward collected."""
    variables, model = context.variables, context.model

    def loss(own):
        params = {**variables.params, **own}
        inner = context.across.whole(variables._replace(params=params))
        samples = player.objective.samples
        outputs, collected = model.forward(
            inner, context.batch, context.keys, samples=samples, train=True
        )
        value, metrics = player.objective(outputs, context._replace(variables=inner))
        return value, (metrics, collected)

    own = {name: variables.params[name] for name in player.params}
    grads, (metrics, collected) = jax.grad(loss, has_aux=True)(own)
    grads, metrics = context.across.mean((grads, metrics))
    return grads, (metrics, collected)


def _update(player: Player, grads: Tree, variables: Variables, opt_state: Tree) -> tuple:
    own = {name: variables.params[name] for name in player.params}
    updates, opt_state = player.optimizer.update(grads, opt_state, own)
    return optax.apply_updates(own, updates), opt_state, optax.tree.norm(grads)


def _update_bottleneck(
    model: Autoencoder, state: TrainState, variables: Variables, sums: Tree, finite: Array
) -> Variables:
    if "bottleneck" not in variables.state:
        return variables
    key = jax.random.fold_in(keys_lib.stream(state.root, "state"), state.step)
    old = variables.state["bottleneck"]
    new = _keep(finite, model.bottleneck.update(old, sums, key), old)
    return variables._replace(state={**variables.state, "bottleneck": new})


def _keep(condition: Array, new: Tree, old: Tree) -> Tree:
    old = {key: old[key] for key in new} if isinstance(new, dict) else old
    return jax.tree.map(lambda n, o: jnp.where(condition, n, o), new, old)


def _next_turn(keys: keys_lib.ExampleKeys, turn: int) -> keys_lib.ExampleKeys:
    fold = jax.vmap(jax.random.fold_in, in_axes=(0, None))
    return keys_lib.ExampleKeys(*(fold(key, turn) for key in keys))
