"""Everything that changes while training, as one pytree."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import keys
from ae_jax.checks import require_positive_ints, require_whole
from ae_jax.errors import ConfigError, nearest
from ae_jax.model import Autoencoder
from ae_jax.training import averages
from ae_jax.types import Array, Player, PRNGKey, Tree, Variables


class TrainState(NamedTuple):
    """One unstacked copy; its field names are the checkpoint's.

    Attributes:
      variables: params and state.
      optimizer: optax states by player name.
      average: a running average of the params, or {}; see `ae_jax.training.averages`.
      root: the typed key that every stream descends from.
      step: int32, optimizer steps taken.
      skipped: int32, updates skipped because loss or gradients were not finite.
      skipped_in_a_row: int32, those since the last good one.

    Example:
      >>> import ae_jax as ae
      >>> ae.training.TrainState._fields[:3]
      ('variables', 'optimizer', 'average')
    """

    variables: Variables
    optimizer: dict[str, Tree]
    average: Tree
    root: PRNGKey
    step: Array
    skipped: Array
    skipped_in_a_row: Array

    @property
    def evaluated(self) -> Variables:
        """What is evaluated and kept for use: with the averaged params, where there are any."""
        return self.variables._replace(params=self.average or self.variables.params)


def init_state(
    model: Autoencoder,
    players: Sequence[Player],
    example: Any,
    seed: int | PRNGKey,
    extras: dict[str, Any] | None = None,
    averaged: bool = False,
) -> TrainState:
    """The state before the first step.

    Args:
      model: Autoencoder to train.
      players: players whose optimizers are initialised.
      example: one preprocessed example, `[*event]`.
      seed: seed of every random stream, a whole number or a typed key.
      extras: extras of the example, for networks that take a condition.
      averaged: whether to keep a running average of the params, which starts at them. Schedule-free
        optimizers have one in any case, see `ae_jax.training.averages`.

    Returns:
      A TrainState.

    Raises:
      ShapeError: two parts' shapes do not meet.
      ConfigError: a player moves parameters that the model does not have, or none moves some, or
        two averages are asked for.

    Example:
      >>> import ae_jax as ae, jax, numpy as np, optax
      >>> x = np.zeros((8, 4), np.float32)
      >>> model, objective = ae.recipes.vae(2).build(ae.spec_of(x))
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), x[0])
      >>> players = ae.training.single_player(objective, optax.sgd(0.1), variables)
      >>> state = jax.eval_shape(lambda: ae.training.init_state(model, players, x[0], seed=0))
      >>> sorted(state.variables.params)
      ['decoder', 'encoder']
    """
    root: Any = seed if isinstance(seed, jax.Array) else keys.root(seed)
    variables = model.init(keys.stream(root, "init"), example, extras)
    check_players(players, variables)
    params_of = lambda player: {name: variables.params[name] for name in player.params}
    optimizer = {player.name: player.optimizer.init(params_of(player)) for player in players}
    own_average = averages.keeps_one(optimizer)
    if averaged and own_average:
        raise ConfigError(
            "a schedule-free optimizer keeps an average of the parameters itself; leave "
            "training.average_decay unset"
        )
    return TrainState(
        variables=variables,
        optimizer=optimizer,
        average=jax.tree.map(jnp.copy, variables.params) if averaged or own_average else {},
        root=root,
        step=jnp.zeros((), jnp.int32),
        skipped=jnp.zeros((), jnp.int32),
        skipped_in_a_row=jnp.zeros((), jnp.int32),
    )


def check_players(players: Sequence[Player], variables: Variables) -> None:
    """Refuses a game that cannot be played.

    Raises:
      ConfigError: a player moves parameters that do not exist or has no turn, two have one name, or
        there are parameters that nobody moves.
    """
    names = [player.name for player in players]
    for player in players:
        require_positive_ints(**{f"players.{player.name}.every": player.every})
        require_whole(**{f"players.{player.name}.start": player.start})
        if names.count(player.name) > 1:
            raise ConfigError(f"two players are called '{player.name}'")
        for name in player.params:
            if name not in variables.params:
                raise ConfigError(
                    f"the player '{player.name}' moves the parameters '{name}', which the model "
                    f"does not have{nearest(name, variables.params)}"
                )
    moved = {name for player in players for name in player.params}
    if idle := sorted(set(variables.params) - moved):
        raise ConfigError(
            f"no player moves the parameters {', '.join(idle)}: add one, e.g. "
            f"players={{'{idle[0]}': {{'params': ['{idle[0]}'], 'objective': …}}}}"
        )
