"""A recipe: a row of parts, some of them left to be chosen from the data, and an objective."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ae_jax import _registry as registry
from ae_jax import config as config_lib
from ae_jax import networks
from ae_jax.config import ConfigLike
from ae_jax.critics import as_critic
from ae_jax.errors import ConfigError, PartError
from ae_jax.model import Autoencoder
from ae_jax.model import autoencoder as build_autoencoder
from ae_jax.objective import Objective
from ae_jax.objective import from_config as objective_from_config
from ae_jax.recipes import players as players_lib
from ae_jax.recipes.defaults import choose, chosen_critic
from ae_jax.types import Bottleneck, Coder, Critic, Likelihood, Network, Player, Spec


class Recipe(NamedTuple):
    """A model and objective whose unset parts (None) are chosen from the data.

    Attributes:
      bottleneck: Bottleneck, which says what z is.
      objective: weighted sum of terms to minimise.
      encoder: Coder or Network, or None.
      decoder: Coder or Network, or None.
      likelihood: Likelihood, or None.
      corruption: corruption of what the encoder sees; None: none.
      critics: further networks by name, see `ae.critic`.
      players: further players of a game, beside the model's own: each an `ae.Player`, whose
        optimizer may be None (the run's), or a mapping of fields of the config's section that it
        changes.

    Example:
      >>> import ae_jax as ae
      >>> recipe = ae.recipes.vae(latent_dim=16)
      >>> recipe.encoder is None, recipe.bottleneck.latent_shape
      (True, (16,))
    """

    bottleneck: Bottleneck
    objective: Objective
    encoder: Coder | Network | None = None
    decoder: Coder | Network | None = None
    likelihood: Likelihood | None = None
    corruption: Any = None
    critics: Mapping[str, Critic] = {}
    players: tuple[Player, ...] = ()

    @classmethod
    def from_nodes(
        cls,
        *,
        bottleneck: Any,
        objective: Any,
        encoder: Any = None,
        decoder: Any = None,
        likelihood: Any = None,
        corruption: Any = None,
        critics: Mapping[str, Any] | None = None,
        players: Sequence[Player] = (),
    ) -> "Recipe":
        """A recipe from config nodes, names or parts.

        Raises:
          UnknownNameError: a name that no registry knows.
          PartError: no bottleneck, or an object of the wrong kind.
        """
        if bottleneck is None:
            raise PartError(
                "a model needs a bottleneck, e.g. {'name': 'gaussian', 'latent_dim': 32}"
            )
        part = lambda kind, node: None if node is None else kind.build(node)
        if not isinstance(objective, Objective):
            objective = objective_from_config(objective)
        return cls(
            registry.BOTTLENECKS.build(bottleneck),
            objective,
            part(registry.NETWORKS, encoder),
            part(registry.NETWORKS, decoder),
            part(registry.LIKELIHOODS, likelihood),
            part(registry.CORRUPTIONS, corruption),
            {name: as_critic(node) for name, node in (critics or {}).items()},
            tuple(players),
        )

    @classmethod
    def from_config(cls, config: ConfigLike, need_objective: bool = True) -> "Recipe":
        """The recipe that a config's sections describe.

        Args:
          config: a Config, or nested mappings.
          need_objective: if False, an objective that cannot be rebuilt becomes the empty one.

        Returns:
          A Recipe.

        Raises:
          ConfigError: a part was a Python object when the config was written.
        """
        config = config_lib.complete(config)
        nodes = {part: getattr(config.model, part) for part in config_lib.PARTS} | {
            "corruption": config.corruption
        }
        critics = dict(config.model.critics)
        named = nodes | {f"critic '{name}'": node for name, node in critics.items()}
        custom = [name for name, node in named.items() if node == config_lib.CUSTOM]
        objective = config.objective
        if objective == config_lib.CUSTOM:
            custom += ["objective"] * need_objective
            objective = Objective()
        if custom:
            raise ConfigError(
                f"this run's {', '.join(custom)} came as Python objects, which config.json cannot "
                "rebuild: pass the same (model, objective), or name them 'package.module:function'"
            )
        rivals = players_lib.from_config(config.players, need_objective)
        return cls.from_nodes(objective=objective, **nodes, critics=critics, players=rivals)

    def fill(self, spec: Spec) -> "Recipe":
        """The recipe with every unset part chosen for data of this spec."""
        chosen = choose(spec, self.bottleneck)
        unset = [name for name in chosen if getattr(self, name) is None]
        critics = {name: chosen_critic(critic, spec) for name, critic in self.critics.items()}
        return self._replace(**{name: chosen[name] for name in unset}, critics=critics)

    def players_section(self) -> dict[str, Any]:
        """The config's section of the further players."""
        return players_lib.to_config(self.players)

    def build(self, spec: Spec) -> tuple[Autoencoder, Objective]:
        """The `(model, objective)` pair for data of this spec.

        Args:
          spec: e.g. `ae.spec_of(x)`.

        Returns:
          An Autoencoder and its Objective.
        """
        full: Any = self.fill(spec)
        model = build_autoencoder(
            full.encoder,
            full.decoder,
            full.bottleneck,
            full.likelihood,
            full.corruption,
            event_shape=spec.event_shape,
            critics=full.critics,
        )
        return model, self.objective


def of_model(model: Autoencoder, objective: Objective, players: Sequence[Player] = ()) -> Recipe:
    """The recipe of a `(model, objective)` pair, or of a game, with nothing unset."""
    return Recipe(
        model.bottleneck,
        objective,
        networks.none() if model.encoder is None else model.encoder,
        model.decoder,
        model.likelihood,
        model.corruption,
        model.critics,
        tuple(players),
    )


def as_recipe(model: Any) -> Recipe:
    """A Recipe from whatever `fit` is given.

    Raises:
      PartError: it is neither a recipe nor a `(model, objective)` pair.
    """
    if isinstance(model, Recipe):
        return model
    if isinstance(model, tuple) and len(model) in (2, 3):
        built, objective, *rest = model
        if isinstance(built, Autoencoder) and isinstance(objective, Objective):
            return of_model(built, objective, *rest)
    raise PartError(
        "expected a recipe (ae.recipes.vae(…)), a pair (model, objective), or of a game "
        "(model, objective, players), got "
        f"{type(model).__name__}: {model!r:.200}"
    )
