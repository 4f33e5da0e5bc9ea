"""The table of named autoencoders: each is a row of parts and an objective, and nothing more."""

from typing import Any, NamedTuple

from ae_jax import bottlenecks, likelihoods, objective, registry, terms
from ae_jax.choices import choose
from ae_jax.errors import PartError
from ae_jax.model import Autoencoder
from ae_jax.model import autoencoder as build_autoencoder
from ae_jax.objective import Objective
from ae_jax.types import Bottleneck, Coder, Likelihood, Network, Spec

__all__ = ["Recipe", "autoencoder", "vae"]


class Recipe(NamedTuple):
    """A model and objective whose unset parts (None) are chosen from the data.

    Attributes:
      bottleneck: the row's heart.
      objective: what is minimised.
      encoder: a Coder or Network, or None.
      decoder: likewise.
      likelihood: or None.
      corruption: or None for no corruption.
    """

    bottleneck: Bottleneck
    objective: Objective
    encoder: Coder | Network | None = None
    decoder: Coder | Network | None = None
    likelihood: Likelihood | None = None
    corruption: Any = None

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
            objective = _from_config(objective)
        return cls(
            registry.BOTTLENECKS.build(bottleneck),
            objective,
            part(registry.NETWORKS, encoder),
            part(registry.NETWORKS, decoder),
            part(registry.LIKELIHOODS, likelihood),
            part(registry.CORRUPTIONS, corruption),
        )

    def fill(self, spec: Spec) -> "Recipe":
        """The recipe with every unset part chosen for data of this spec."""
        chosen = choose(spec)
        unset = [name for name in chosen if getattr(self, name) is None]
        return self._replace(**{name: chosen[name] for name in unset})

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
        )
        return model, self.objective


_from_config = objective.from_config


def of_model(model: Autoencoder, objective: Objective) -> Recipe:
    """The recipe of a `(model, objective)` pair, with nothing unset."""
    return Recipe(
        model.bottleneck,
        objective,
        model.encoder,
        model.decoder,
        model.likelihood,
        model.corruption,
    )


def autoencoder(latent_dim: int | tuple[int, ...] = 32, **parts: Any) -> Recipe:
    """The plain autoencoder: identity bottleneck, -log p(x | z) alone.

    With the default Gaussian likelihood of unit variance the loss is ½ Σ(x - x̂)² and a constant.

    Args:
      latent_dim: the size or shape of the code.
      **parts: encoder, decoder, likelihood, corruption: parts, names or config nodes.

    Returns:
      A Recipe.
    """
    return Recipe.from_nodes(
        bottleneck=bottlenecks.identity(latent_dim),
        objective=terms.reconstruction(),
        **{"likelihood": likelihoods.gaussian()} | parts,
    )


def vae(latent_dim: int | tuple[int, ...] = 32, *, beta: float = 1.0, **parts: Any) -> Recipe:
    """The variational autoencoder (Kingma & Welling 2014): -log p(x | z) + β KL(q ‖ p).

    Args:
      latent_dim: the size or shape of z.
      beta: the weight of the KL (Higgins et al. 2017); 1 gives the ELBO.
      **parts: encoder, decoder, likelihood, corruption: parts, names or config nodes.

    Returns:
      A Recipe.
    """
    return Recipe.from_nodes(
        bottleneck=bottlenecks.gaussian(latent_dim),
        objective=terms.reconstruction() + beta * terms.kl(),
        **parts,
    )
