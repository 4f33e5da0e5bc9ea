"""What a sampler is: a law of codes as pure functions, apart from the run it is fitted on."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax._registry import Registry
from ae_jax.checks import require_positive_ints
from ae_jax.errors import DataError
from ae_jax.types import Array, Node, PRNGKey, Tree

BLOCK = 256  # codes at once: a kernel density holds so many rows of distances


class Sampler(NamedTuple):
    """A density of codes `[d]`, one for each label, fitted when the model has been trained.

    Of a quantised latent it may be one of the integers that stand for it, flattened, the last axis
    fastest: then it is a mass. `draw` and `log_density` are of ONE code; `sample` and `log_prob`
    map them. Labels are places 0 … classes - 1; where nothing is asked to depend on a label, there
    is one class.

    Attributes:
      estimate: `(codes [n, d], labels [n], key) -> state`, a dict of arrays, on the host; float32
        arrays, of which every class has some. One of integers takes `size` too, by name: each lies
        in 0 … size - 1.
      draw: `(state, key, label) -> [d]`, pure.
      log_density: `(state, code, label) -> scalar`, nats, pure; of a second-stage VAE a bound.
      integers: whether codes are integers.
      node: what rebuilds it, or None.
      codes: what it is fitted on unless `ae.samplers.fit` is told: the posteriors' "means", or
        "samples" of them.
    """

    estimate: Callable[..., Tree]
    draw: Callable[[Tree, PRNGKey, Array], Array]
    log_density: Callable[[Tree, Array, Array], Array]
    integers: bool = False
    node: Node | None = None
    codes: str = "means"

    def fit(self, codes: Any, key: PRNGKey, labels: Any = None, size: int | None = None) -> Tree:
        """The state of the density that fits codes best.

        Args:
          codes: `[n, d]`.
          key: a typed key.
          labels: whole numbers `[n]`, 0 … classes - 1, each with some codes; None: one class.
          size: how many integers there are, for a sampler of integers.

        Returns:
          A dict of NumPy arrays, float32 and int32.

        Raises:
          DataError: codes that are not `[n, d]`, not finite, or too few for a class; for a sampler
            of integers, other numbers than 0 … size - 1.

        Example:
          >>> import ae_jax as ae, jax, numpy as np
          >>> codes = np.random.default_rng(0).normal(size=(500, 2))
          >>> mixture = ae.samplers.gaussian_mixture(components=1)
          >>> state = mixture.fit(codes, jax.random.key(0))
          >>> mixture.sample(state, jax.random.key(1), 3).shape
          (3, 2)
          >>> mixture.log_prob(state, codes[:4]).shape
          (4,)
        """
        codes = np.asarray(codes) if self.integers else np.asarray(codes, np.float32)
        if codes.ndim != 2 or 0 in codes.shape:
            raise DataError(f"a sampler is fitted on codes [n, d], got shape {codes.shape}")
        told = {}
        if self.integers:
            require_positive_ints(size=0 if size is None else size)
            codes, told = whole_numbers(codes, size), {"size": size}
        elif not np.isfinite(codes).all():
            row, place = np.argwhere(~np.isfinite(codes))[0]
            raise DataError(f"the codes hold {codes[row, place]} at {row}, {place}")
        labels = np.zeros(len(codes), np.int32) if labels is None else np.asarray(labels, np.int32)
        if labels.shape != codes.shape[:1]:
            raise DataError(f"labels must be [{len(codes)}], one a code, got {labels.shape}")
        present = np.unique(labels)
        if not np.array_equal(present, np.arange(len(present))):
            raise DataError(f"labels must be 0 … classes - 1, all of them used, got {present}")
        return jax.tree.map(_narrow, self.estimate(codes, labels, key, **told))

    def sample(self, state: Tree, key: PRNGKey, n: int, labels: Any = None) -> Array:
        """Draws codes; the first of many are the few that a smaller n gives.

        Args:
          state: of `fit`.
          key: a typed key.
          n: how many.
          labels: whole numbers `[n]`; None: the first class.

        Returns:
          float32 `[n, d]`, int32 of a sampler of integers.
        """
        state, places = jax.tree.map(jnp.asarray, state), jnp.arange(n)
        labels = jnp.zeros(n, jnp.int32) if labels is None else jnp.asarray(labels)
        one = lambda row: self.draw(state, jax.random.fold_in(key, row[0]), row[1])
        return jax.lax.map(one, (places, labels), batch_size=BLOCK)

    def log_prob(self, state: Tree, codes: Any, labels: Any = None) -> Array:
        """The log-density of codes given their labels, in nats.

        Args:
          state: of `fit`.
          codes: `[n, d]`.
          labels: whole numbers `[n]`; None: the first class.

        Returns:
          `[n]`.
        """
        state, codes = jax.tree.map(jnp.asarray, (state, codes))
        labels = jnp.zeros(len(codes), jnp.int32) if labels is None else jnp.asarray(labels)
        one = lambda row: self.log_density(state, *row)
        return jax.lax.map(one, (codes, labels), batch_size=BLOCK)


SAMPLERS = Registry("sampler", Sampler)


def whole_numbers(codes: np.ndarray, size: int | None) -> np.ndarray:
    """Codes as int32.

    Raises:
      DataError: they are no integers, or lie outside 0 … size - 1.
    """
    if not np.issubdtype(codes.dtype, np.integer):
        raise DataError(f"a sampler of integers takes codes of integers, got {codes.dtype}")
    if size is not None and codes.size and (codes.min() < 0 or codes.max() >= size):
        raise DataError(
            f"the codes must lie in 0 to {size - 1}, got {codes.min()} to {codes.max()}"
        )
    return codes.astype(np.int32)


def _narrow(leaf: Any) -> np.ndarray:
    leaf = np.asarray(leaf)
    return leaf.astype(np.float32 if leaf.dtype.kind == "f" else np.int32)


class Standardised(NamedTuple):
    """Codes moved and scaled to mean 0 and deviation 1.

    A coordinate that never varies, of a dead unit say, is divided by `LEAST` of the largest
    deviation: densities then stay finite, and samples keep within that much of its value.

    Attributes:
      codes: float64 `[n, d]`.
      loc: float64 `[d]`, the mean.
      scale: float64 `[d]`.
    """

    codes: np.ndarray
    loc: np.ndarray
    scale: np.ndarray


LEAST = 1e-4


def standardise(codes: np.ndarray) -> Standardised:
    """Codes `[n, d]` in units of their deviation from their mean.

    Example:
      >>> standardise(np.array([[1.0, 5.0], [3.0, 5.0]])).codes.tolist()
      [[-1.0, 0.0], [1.0, 0.0]]
    """
    codes = np.asarray(codes, np.float64)
    loc, deviation = codes.mean(axis=0), codes.std(axis=0)
    largest = deviation.max() or 1.0
    scale = np.maximum(deviation, LEAST * largest)
    return Standardised((codes - loc) / scale, loc, scale)


def by_class(
    fit_one: Callable[[np.ndarray, int], dict[str, np.ndarray]],
    codes: np.ndarray,
    labels: np.ndarray,
    least: int,
    why: str,
    filling: Mapping[str, float] | None = None,
) -> dict[str, np.ndarray]:
    """A density for each class apart, its arrays stacked along a first axis of classes.

    Args:
      fit_one: `(codes of a class, class) -> arrays`.
      codes: `[n, d]`.
      labels: `[n]`, 0 … classes - 1.
      least: how many codes each class must have.
      why: what needs them, for the message.
      filling: by name, with what arrays shorter than other classes' are filled up along their first
        axis; None: all are of one length.

    Raises:
      DataError: a class has fewer.
    """
    counts = np.bincount(labels)
    if (few := int(counts.argmin())) >= 0 and counts[few] < least:
        of = f" of class {few}" if len(counts) > 1 else ""
        raise DataError(f"{why} needs at least {least} codes{of}, got {counts[few]}")
    fitted = [fit_one(codes[labels == label], label) for label in range(len(counts))]
    longest = lambda name: max(len(one[name]) for one in fitted)
    lengths = {name: longest(name) for name in filling or {}}

    def filled(name: str, array: np.ndarray) -> np.ndarray:
        if name not in lengths or len(array) == lengths[name]:
            return array
        missing = (lengths[name] - len(array), *array.shape[1:])
        return np.concatenate([array, np.full(missing, (filling or {})[name])])

    return {name: np.stack([filled(name, one[name]) for one in fitted]) for name in fitted[0]}


@functools.partial(jax.jit, static_argnums=0)
def drawn(sampler: Sampler, state: Tree, key: PRNGKey, places: Array, labels: Array) -> Array:
    """The codes at some places of `sampler.sample`, compiled."""
    one = lambda place, label: sampler.draw(state, jax.random.fold_in(key, place), label)
    return jax.vmap(one)(places, labels)


@functools.partial(jax.jit, static_argnums=0)
def scored(sampler: Sampler, state: Tree, codes: Array, labels: Array) -> Array:
    """The log-densities of `sampler.log_prob`, compiled."""
    return jax.vmap(lambda *row: sampler.log_density(state, *row))(codes, labels)


def in_blocks(compiled: Callable[..., Array], *rows: np.ndarray) -> np.ndarray:
    """A compiled function of rows called on `BLOCK` of them at a time: one program for any number.

    Args:
      compiled: `(*rows) -> [b, …]`.
      *rows: each `[n, …]`; the last block is filled up with copies of the last row.

    Returns:
      `[n, …]`.
    """
    n, pieces = len(rows[0]), []
    for start in range(0, n, BLOCK):
        index = np.minimum(np.arange(start, start + BLOCK), n - 1)
        pieces.append(np.asarray(compiled(*(row[index] for row in rows))))
    return np.concatenate(pieces)[:n]
