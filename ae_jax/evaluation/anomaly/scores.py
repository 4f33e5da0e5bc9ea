"""The table of anomaly scores: each is a row of pure functions."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import _registry as registry
from ae_jax.checks import require_positive_ints
from ae_jax.errors import PartError
from ae_jax.evaluation import _proximity
from ae_jax.evaluation._arrays import require_neighbours
from ae_jax.evaluation._surprise import decoded, nats, residuals
from ae_jax.evaluation.likelihood import log_likelihood
from ae_jax.keys import ExampleKeys
from ae_jax.model import Autoencoder
from ae_jax.types import Array, Batch, Node, Spec, Variables

Views = Mapping[str, Any]


class Score(NamedTuple):
    """One way to say how far an example lies from those that a model was trained on.

    Attributes:
      view: `(model, spec, variables, batch, keys) -> {name: [b, …]}`, of a batch, jit-safe.
      reference: `views -> {name: array}`, what is kept of the training examples' views.
      compare: `(reference, views) -> [n]`, float64: the higher, the more anomalous.
      needs_density: whether the model must have a prior and a posterior with a density.
      needs_corruption: whether the model must have been trained on corrupted inputs.
      node: what rebuilds it.
    """

    view: Callable[[Autoencoder, Spec, Variables, Batch, ExampleKeys], dict[str, Array]]
    reference: Callable[[Views], Views]
    compare: Callable[[Views, Views], np.ndarray]
    needs_density: bool = False
    needs_corruption: bool = False
    node: Node | None = None


SCORES = registry.Registry("anomaly score", Score)


def _alone(
    view: Callable[..., Array], needs_density: bool = False, needs_corruption: bool = False
) -> Score:
    """A score that an example has by itself, whatever the training examples were."""
    return Score(
        lambda *given: {"score": view(*given)},
        lambda views: {},
        lambda reference, views: views["score"].astype(np.float64),
        needs_density,
        needs_corruption,
    )


def _of_codes(reference: Callable[..., Views], compare: Callable[..., np.ndarray]) -> Score:
    """A score of codes at the posterior's mean, flat and in float64."""
    wide = lambda views: views["code"].astype(np.float64)
    return Score(
        lambda model, spec, variables, batch, keys: {"code": _codes(model, variables, batch)},
        lambda views: reference(wide(views)),
        lambda kept, views: compare(kept, wide(views)),
    )


@SCORES.register
def nearest(neighbours: int = 5) -> Score:
    """Distance of [code, residual] to the nearest training examples: the default.

    The mean Euclidean distance of v(x) = [s z, x - x̂] to that of the k nearest training examples, z
    the code and x̂ the mean of p(x | z), in the model's units (of counts: their logarithms; of
    categories: whether x is the most probable one), with s² = Σ var(x̂) / Σ var(z), so that codes
    weigh what they explain. Of a linear autoencoder it is the distance between the examples
    themselves (Ramaswamy, Rastogi & Shim 2000); the code sees what is unusual within the reach of
    the decoder, the residual what is beyond it.

    Args:
      neighbours: k. A training example is no neighbour of itself.

    Returns:
      A Score.
    """
    require_positive_ints(neighbours=neighbours)

    def view(model, spec, variables, batch, keys):
        z, y = decoded(model, variables, batch)
        again, residual = residuals(model, spec, variables, batch, y)
        return {"code": _flat(z), "again": _flat(again), "residual": _flat(residual)}

    def vectors(scale, views):
        return np.concatenate([scale * views["code"], views["residual"]], axis=1)

    def reference(views):
        explained, spread = (views[name].var(axis=0).sum() for name in ("again", "code"))
        scale = np.sqrt(explained / spread if spread > 0 else 1.0)
        require_neighbours(neighbours, len(views["code"]) - 1, _proximity.EXAMPLES)
        return {"vectors": vectors(scale, views), "scale": np.asarray(scale)}

    def compare(kept, views):
        asked = vectors(kept["scale"], views)
        return _proximity.mean_distance(kept["vectors"], asked, neighbours)

    return Score(view, reference, compare)


@SCORES.register
def reconstruction() -> Score:
    """Reconstruction error: -log p(x | z) at the posterior's mean, nats, over observed entries.

    Under a Gaussian of unit variance ½ Σ (x - x̂)² and a constant.
    """
    return _alone(lambda model, spec, *given: nats(model, *given))


@SCORES.register
def negative_elbo(samples: int = 16) -> Score:
    """Negative evidence lower bound, -E_q[log p(x | z) + log p(z) - log q(z | x)], nats.

    Args:
      samples: over which the expectation is taken, of the same noise for all examples.

    Returns:
      A Score.
    """
    require_positive_ints(samples=samples)

    def view(model, spec, variables, batch, keys):
        def one(i):
            drawn = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys.latent, i)
            return -log_likelihood(model, variables, batch, drawn, 1)

        return jnp.mean(jax.lax.map(one, jnp.arange(samples)), axis=0)

    return _alone(view, needs_density=True)


@SCORES.register
def importance_weighted(samples: int = 64) -> Score:
    """The importance-weighted bound on -log p(x), nats, from above; see `log_likelihood`.

    Args:
      samples: k.

    Returns:
      A Score.
    """
    require_positive_ints(samples=samples)
    return _alone(
        lambda model, spec, variables, batch, keys: (
            -log_likelihood(model, variables, batch, keys.latent, samples)
        ),
        needs_density=True,
    )


@SCORES.register
def mahalanobis() -> Score:
    """Mahalanobis distance of the code to the training codes, √((z - μ)ᵀ Σ⁻¹ (z - μ)).

    Σ is shrunk as by Ledoit & Wolf (2004), so that it has an inverse whatever the codes.
    """

    def compare(kept, codes):
        centred = codes - kept["mean"]
        return np.sqrt(np.einsum("ij,jk,ik->i", centred, kept["precision"], centred))

    return _of_codes(_moments, compare)


@SCORES.register
def code_density() -> Score:
    """Negative log density of the code, nats, by Gaussian kernels at the training codes.

    Their covariance is h² Σ with Σ as for `mahalanobis` and Scott's h = n^(-1 / (d + 4)).
    """

    def reference(codes):
        kept = _moments(codes)
        require_neighbours(1, len(codes) - 1, _proximity.EXAMPLES)
        root = np.linalg.cholesky(kept["precision"])
        return {"mean": kept["mean"], "root": root, "white": (codes - kept["mean"]) @ root}

    def compare(kept, codes):
        white = (codes - kept["mean"]) @ kept["root"]
        h = _proximity.scott(*kept["white"].shape)
        log_volume = np.log(np.diag(kept["root"])).sum()
        return -_proximity.kernel_density(kept["white"], white, h) - log_volume

    return _of_codes(reference, compare)


@SCORES.register
def nearest_codes(neighbours: int = 5) -> Score:
    """The mean distance of the standardised code to the nearest training codes.

    Args:
      neighbours: k. A training example is no neighbour of itself.

    Returns:
      A Score.
    """
    require_positive_ints(neighbours=neighbours)

    def reference(codes):
        require_neighbours(neighbours, len(codes) - 1, _proximity.EXAMPLES)
        spread = codes.std(axis=0)
        mean, spread = codes.mean(axis=0), np.where(spread > 0, spread, 1.0)
        return {"mean": mean, "spread": spread, "codes": (codes - mean) / spread}

    def compare(kept, codes):
        asked = (codes - kept["mean"]) / kept["spread"]
        return _proximity.mean_distance(kept["codes"], asked, neighbours)

    return _of_codes(reference, compare)


@SCORES.register
def corrupted_passes(passes: int = 8, corruption: Any = None) -> Score:
    """The mean of -log p(x | z) over several passes of corrupted inputs, nats.

    Of networks that are told of a mask, over the entries that it hid: the others were never to be
    learned.

    Args:
      passes: how many, of the same noise for all examples.
      corruption: a part of `ae_jax.corruptions`, its name or node; None: the model's own.

    Returns:
      A Score.
    """
    require_positive_ints(passes=passes)
    given = None if corruption is None else registry.CORRUPTIONS.build(corruption)

    def view(model, spec, variables, batch, keys):
        corrupt = model.corruption if given is None else given

        def one(i):
            drawn = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys.corruption, i)
            seen, info = jax.vmap(lambda *row: corrupt(*row))(drawn, batch.x, batch.observed)
            return nats(model, variables, batch, None, seen, info)

        return jnp.mean(jax.lax.map(one, jnp.arange(passes)), axis=0)

    return _alone(view, needs_corruption=given is None)


def _moments(codes: np.ndarray) -> Views:
    from sklearn.covariance import LedoitWolf

    require_neighbours(1, len(codes) - 1, _proximity.EXAMPLES)
    moments = LedoitWolf().fit(codes)
    if not np.any(moments.covariance_):
        raise PartError(
            "the codes of all training examples are the same, so that no code is unusual; "
            "'reconstruction' is a score that does without"
        )
    return {"mean": moments.location_, "precision": moments.precision_}


def _flat(x: Array) -> Array:
    return x.reshape(len(x), -1).astype(jnp.float32)


def _codes(model: Autoencoder, variables: Variables, batch: Batch) -> Array:
    z = model.encode(variables, batch.x, None, batch.observed, dict(batch.extras))
    return _flat(z)
