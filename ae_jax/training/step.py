"""The one pure training step: forward, objective, gradients, update, metrics."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax import keys as keys_lib
from ae_jax.model import Autoencoder
from ae_jax.objective import Objective
from ae_jax.precision import cast_networks
from ae_jax.training import averages
from ae_jax.training.state import TrainState
from ae_jax.types import ALONE, Array, Batch, Collectives, Context, Player, Tree, Variables

Step = Callable[..., tuple[TrainState, dict[str, Array]]]


def single_player(
    objective: Objective, optimizer: optax.GradientTransformation, variables: Variables
) -> tuple[Player, ...]:
    """The ordinary game: one player moves every parameter.

    Args:
      objective: objective to minimise.
      optimizer: optax GradientTransformation.
      variables: variables of the model, arrays or shapes, whose params are moved.

    Returns:
      A tuple of one Player.

    Example:
      >>> import ae_jax as ae, optax
      >>> variables = ae.Variables({"encoder": {}, "decoder": {}}, {})
      >>> ae.training.single_player(ae.terms.kl(), optax.adam(1e-3), variables)[0].params
      ('decoder', 'encoder')
    """
    return (Player(tuple(sorted(variables.params)), objective, optimizer),)


def metric_names(players: Sequence[Player]) -> tuple[str, ...]:
    """The names of the metrics that a step of these players returns."""
    names = []
    for player in players:
        prefix = "" if len(players) == 1 else f"{player.name}/"
        terms = [term.name for term in player.objective.terms]
        names += [prefix + name for name in ("loss", *terms, "grad_norm")]
    return (*names, "skipped")


def make_step(
    model: Autoencoder, players: Sequence[Player], num_train: int, accumulation: int = 1
) -> Step:
    """The step of one device's share of a batch; pure, to be jitted by the caller.

    Args:
      model: Autoencoder to train.
      players: players in turn, each with a fresh forward pass on the current parameters.
      num_train: size of the training set, for terms that need it.
      accumulation: microbatches that the gradients of a step are the mean of, in the memory of one.
        Batch-coupled terms and batch statistics are those of a microbatch; the bottleneck's state
        moves once a step, by the sums over all.

    Returns:
      `step(state, batch, places=None, across=ALONE) -> (state, metrics)`. `places` are the
      examples' places in the global batch, integers `[b]` (None: `0 … b-1`), `across` the
      reductions over devices. With accumulation, all leaves of the batch are
      `[accumulation, b, …]`, and places too: those of microbatch i begin at i times its global
      size. Metrics are scalars averaged over the global batch: each unweighted
      term, "loss", "grad_norm" and "skipped" (1 where loss or gradients were not finite: parameters
      and optimizer are then left as they were).

    Example:
      >>> import ae_jax as ae, jax, numpy as np, optax
      >>> x = np.zeros((8, 4), np.float32)
      >>> model, objective = ae.recipes.vae(2).build(ae.spec_of(x))
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), x[0])
      >>> players = ae.training.single_player(objective, optax.sgd(0.1), variables)
      >>> state = jax.eval_shape(lambda: ae.training.init_state(model, players, x[0], seed=0))
      >>> step = ae.training.make_step(model, players, num_train=len(x))
      >>> state, metrics = jax.eval_shape(step, state, ae.Batch(x))
      >>> sorted(metrics)
      ['grad_norm', 'kl', 'loss', 'reconstruction', 'skipped']
    """
    gradients = _gradients if accumulation == 1 else _accumulated_gradients
    each = (lambda fn, *axes: fn) if accumulation == 1 else jax.vmap

    def step(
        state: TrainState,
        batch: Batch,
        places: Array | None = None,
        across: Collectives = ALONE,
    ) -> tuple[TrainState, dict[str, Array]]:
        if places is None:
            lead = batch.x.shape[: 1 if accumulation == 1 else 2]
            places = jnp.arange(math.prod(lead), dtype=jnp.uint32).reshape(lead)
        keys = each(lambda rows: keys_lib.for_examples(state.root, state.step, rows))(places)
        variables, optimizer = state.variables, dict(state.optimizer)
        metrics, finite, sums = {}, jnp.array(True), {}
        for turn, player in enumerate(players):
            own_keys = keys if turn == 0 else each(_next_turn, (0, None))(keys, turn)
            context = Context(
                model, variables, batch, own_keys, state.step, num_train, across, train=True
            )
            moved = _turn(player, context, gradients, optimizer[player.name])
            variables, optimizer[player.name], values, collected, good = moved
            finite &= good
            sums = collected if turn == 0 else sums
            prefix = "" if len(players) == 1 else f"{player.name}/"
            metrics |= {prefix + name: value for name, value in values.items()}
        variables = _update_bottleneck(model, state, variables, across.sum(sums), finite)
        if followers := model.followed(variables):
            kept = _keep(finite, followers, variables.state)
            variables = variables._replace(state={**variables.state, **kept})
        skipped = 1 - finite.astype(jnp.int32)
        state = state._replace(
            variables=variables,
            optimizer=optimizer,
            average=averages.moved(state.average, optimizer, variables.params),
            step=state.step + 1,
            skipped=state.skipped + skipped,
            skipped_in_a_row=(state.skipped_in_a_row + 1) * skipped,
        )
        return state, metrics | {"skipped": skipped.astype(jnp.float32)}

    return step


def _turn(
    player: Player, context: Context, gradients: Callable, opt_state: Tree
) -> tuple[Variables, Tree, dict[str, Array], Tree, Array]:
    """A player moves, if it is its turn and loss and gradients are finite.

    Returns:
      Variables, the optimizer's state, metrics, the sums of the bottleneck's statistics, and
      whether loss and gradients were finite.
    """
    variables = context.variables
    grads, values, collected = gradients(player, context)
    norm = jax.lax.platform_dependent(grads, cpu=_norm, default=optax.tree.norm)
    good = jnp.isfinite(values["loss"]) & jnp.isfinite(norm)
    turn_now = _on_turn(player, context.step)
    due = good if turn_now is True else good & turn_now
    params = {name: variables.params[name] for name in player.params}
    told = {
        "value": values["loss"],
        "grad": grads,
        "value_fn": _value(gradients, player, context),
    }
    moved, opt_state = _update_if(due, player, grads, params, opt_state, told)
    new_state = {**variables.state, **collected["state"]}
    variables = Variables({**variables.params, **moved}, _keep(good, new_state, variables.state))
    return variables, opt_state, {**values, "grad_norm": norm}, collected["bottleneck"], good


def _on_turn(player: Player, step: Array) -> Array | bool:
    """Whether a step is one of those in which a player moves."""
    if player.every == 1 and not player.start:
        return True
    return (step >= player.start) & ((step - player.start) % player.every == 0)


def _norm(tree: Tree) -> Array:
    """`optax.tree.norm` by columns: a CPU adds those side by side, all of an array one by one."""
    columns = lambda leaf: jnp.sum(jnp.square(jnp.atleast_1d(leaf)), axis=0)
    kept = jax.lax.optimization_barrier  # XLA would make one sum of the two
    return jnp.sqrt(sum(jnp.sum(kept(columns(leaf))) for leaf in jax.tree.leaves(tree)))


def _gradients(player: Player, context: Context) -> tuple[Tree, Tree, Tree]:
    """Global gradients of the player's parameters, metrics, and what forward collected."""
    grads, metrics, collected = _own_gradients(player, context)
    return *context.across.mean((grads, metrics)), collected


def _own_gradients(player: Player, context: Context) -> tuple[Tree, Tree, Tree]:
    """This device's share of them."""
    variables, model = context.variables, context.model

    def loss(player_params):
        params, whole = {**variables.params, **player_params}, context.across.whole
        inner = whole(variables._replace(params=params))
        cast = cast_networks(params, model.compute_dtype)  # before they are gathered: half as much
        used = inner if cast is params else whole(variables._replace(params=cast))
        samples = player.objective.samples
        outputs, collected = model.forward(
            used, context.batch, context.keys, samples=samples, train=True
        )
        value, metrics = player.objective(outputs, context._replace(variables=inner))
        if model.critics:  # a critic's own player moves its normalisation as well
            z = outputs.z[:, 0]
            states = model.critics_state(used, player.params, context.batch, z)
            collected = {**collected, "state": {**collected["state"], **states}}
        return value, (metrics, collected)

    player_params = {name: variables.params[name] for name in player.params}
    grads, (metrics, collected) = jax.grad(loss, has_aux=True)(player_params)
    return grads, metrics, collected


def _accumulated_gradients(player: Player, context: Context) -> tuple[Tree, Tree, Tree]:
    """As `_gradients`, over microbatches, each weighed by how many of its examples count."""
    across, valid = context.across, context.batch.valid
    number = len(context.batch.x)
    counts = jnp.ones(number) if valid is None else across.sum(jnp.sum(valid, 1, dtype=jnp.float32))

    def of_one(batch, keys):
        return _own_gradients(player, context._replace(batch=batch, keys=keys))

    def add(totals, microbatch):
        batch, keys, weight = microbatch
        grads, metrics, collected = of_one(batch, keys)
        weighed = lambda total, x: total + jnp.where(weight > 0, weight * x, 0).astype(x.dtype)
        average = lambda total, x: total + x / number if jnp.issubdtype(x.dtype, jnp.inexact) else x
        means = jax.tree.map(weighed, totals[0], (grads, metrics))
        sums = jax.tree.map(jnp.add, totals[1]["bottleneck"], collected["bottleneck"])
        states = jax.tree.map(average, totals[1]["state"], collected["state"])
        return (means, {"bottleneck": sums, "state": states}), None

    microbatches = (context.batch, context.keys)
    first = jax.tree.map(lambda leaf: leaf[0], microbatches)
    shapes = jax.eval_shape(of_one, *first)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    weights = counts / jnp.maximum(jnp.sum(counts), 1)
    start = (zeros[:2], zeros[2])
    (means, collected), _ = jax.lax.scan(add, start, (*microbatches, weights))
    return *across.mean(means), collected


def _value(gradients: Callable[..., Any], player: Player, context: Context) -> Callable[..., Array]:
    """The player's loss of this batch, over all devices, as a function of its parameters.

    Its gradient is the global one as well, as line searches take it. Nothing is traced unless the
    optimizer calls it.
    """

    def at(player_params):
        variables = context.variables
        variables = variables._replace(params={**variables.params, **player_params})
        grads, values, _ = gradients(player, context._replace(variables=variables))
        return values["loss"], grads

    value = jax.custom_vjp(lambda player_params: at(player_params)[0])
    value.defvjp(at, lambda grads, ct: (jax.tree.map(lambda g: (ct * g).astype(g.dtype), grads),))
    return value


def _update_if(
    due: Array, player: Player, grads: Tree, params: Tree, opt_state: Tree, told: dict[str, Any]
) -> tuple:
    """The player's parameters and optimizer state after the update if it is due, else before it.

    Optimizers that need more than gradients are `told` the loss: optax's extra arguments.
    """
    optimizer = optax.with_extra_args_support(player.optimizer)

    def update(old):
        params, opt_state = old
        updates, opt_state = optimizer.update(grads, opt_state, params, **told)
        return optax.apply_updates(params, updates), opt_state

    # To select entry by entry, XLA:CPU copies the state; to branch, TPU and GPU stop and wait.
    return jax.lax.platform_dependent(
        (params, opt_state),
        cpu=lambda old: jax.lax.cond(due, update, lambda kept: kept, old),
        default=lambda old: _keep(due, update(old), old),
    )


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
