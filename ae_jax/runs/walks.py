"""Walks through a run's latent space: interpolations, traversals, and codes under other labels."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.data import conditions
from ae_jax.errors import ConfigError, UnknownNameError, nearest
from ae_jax.evaluation import _paths
from ae_jax.types import Array

__all__ = ["around", "between", "interpolations", "linear", "relabelled", "spherical", "traversals"]

STEPS = 8
EXTENT = 2.5


def linear(start: Array, end: Array, steps: int = STEPS) -> Array:
    """(1 − t) a + t b for `steps` values of t from 0 to 1, both included.

    Args:
      start: a, `[*latent]`.
      end: b, `[*latent]`.
      steps: points on the line.

    Returns:
      `[steps, *latent]`.

    Example:
      >>> import ae_jax as ae, jax.numpy as jnp
      >>> ae.walks.linear(jnp.array([0.0, 2.0]), jnp.array([4.0, 2.0]), 3).tolist()
      [[0.0, 2.0], [2.0, 2.0], [4.0, 2.0]]
    """
    return _paths.linear(start, end, _times(start, steps))


def spherical(start: Array, end: Array, steps: int = STEPS) -> Array:
    """sin((1 − t)Ω) / sin Ω · a + sin(tΩ) / sin Ω · b, Ω being the angle between a and b.

    Between codes of equal length all points have that length, as draws of a standard normal in many
    dimensions nearly do, where the middle of a straight line is too near 0 (White 2016, "Sampling
    generative networks"). Vectors of one direction or of opposite ones, or 0, are joined by
    `linear`: there is no angle, or no one plane, to turn through.

    Args:
      start: a, `[*latent]`, whose entries are taken as one vector.
      end: b, `[*latent]`.
      steps: points on the arc.

    Returns:
      `[steps, *latent]`.

    Example:
      >>> import ae_jax as ae, jax.numpy as jnp
      >>> middle = ae.walks.spherical(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]), 3)[1]
      >>> middle.round(4).tolist()
      [0.7071, 0.7071]
    """
    return _paths.spherical(jnp.asarray(start), jnp.asarray(end), _times(start, steps))


def _times(code: Array, steps: int) -> Array:
    return jnp.linspace(0, 1, steps).reshape(steps, *[1] * jnp.ndim(code))


PATHS: dict[str, Callable[..., Array]] = {"linear": linear, "spherical": spherical}


def interpolations(
    run: Any,
    starts: Any,
    ends: Any,
    steps: int = STEPS,
    extras: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {}),
    path: str = "linear",
) -> np.ndarray:
    """What lies between the codes of pairs of examples, decoded.

    Args:
      run: an `ae.Run`.
      starts: `[n, *event]`, in the data's units, as `run.encode` takes them: of a masked array,
        what is masked is missing.
      ends: `[n, *event]`, the same.
      steps: points a walk, both ends included.
      extras: of the starts and of the ends; a walk is decoded under those of its start.
      path: "linear" or "spherical".

    Returns:
      float32 `[n * steps, *event]`, walk after walk.

    Raises:
      UnknownNameError: a path of another name.
    """
    first, last = run.encode(starts, extras=extras[0]), run.encode(ends, extras=extras[1])
    return between(run, first, last, steps, extras[0], path)


def between(
    run: Any,
    first: Any,
    last: Any,
    steps: int = STEPS,
    extras: Mapping[str, Any] | None = None,
    path: str = "linear",
) -> np.ndarray:
    """What lies between pairs of codes, decoded; of a run without encoder, those of its prior, say.

    Args:
      run: an `ae.Run`.
      first: codes `[n, *latent]`.
      last: codes `[n, *latent]`.
      steps: points a walk, both ends included.
      extras: that each walk is decoded under, `[n, …]`.
      path: "linear" or "spherical".

    Returns:
      float32 `[n * steps, *event]`, walk after walk.

    Raises:
      UnknownNameError: a path of another name.

    Example:
      >>> import ae_jax as ae
      >>> run = ae.fit(ae.recipes.vae(2), "digits", steps=2, progress=False)
      >>> z = run.sample_codes(4, seed=0)
      >>> ae.walks.between(run, z[:2], z[2:], steps=3).shape
      (6, 8, 8, 1)
    """
    if path not in PATHS:
        raise UnknownNameError(f"path cannot be {path!r}{nearest(path, PATHS)}")
    n = min(len(first), len(last))
    along = {k: np.repeat(np.asarray(v)[:n], steps, axis=0) for k, v in (extras or {}).items()}
    walks = jax.vmap(lambda a, b: PATHS[path](a, b, steps))(first[:n], last[:n])
    return run.decode(np.asarray(walks).reshape(n * steps, *first.shape[1:]), extras=along)


def traversals(
    run: Any,
    x: Any,
    extent: float = EXTENT,
    steps: int = STEPS,
    extras: Mapping[str, Any] | None = None,
    loc: Any = 0.0,
    scale: Any = 1.0,
) -> np.ndarray:
    """The code of one example with each of its entries in turn moved through its range.

    Args:
      run: an `ae.Run`.
      x: one example `[*event]`, in the data's units; of a masked array, what is masked is missing.
      extent: entries go from loc - extent · scale to loc + extent · scale.
      steps: points an entry.
      extras: of that example.
      loc: the middle of each entry's range, `[*latent]`, or of all. For codes without a prior the
        mean of many examples' codes.
      scale: the same, of a unit of extent: their deviation.

    Returns:
      float32 `[entries * steps, *event]`, at most 16 entries.
    """
    alone = {name: np.asarray(value)[None] for name, value in (extras or {}).items()}
    code = run.encode(np.asanyarray(x)[None], extras=alone)[0]
    return around(run, code, extent, steps, extras, loc, scale)


def around(
    run: Any,
    code: Any,
    extent: float = EXTENT,
    steps: int = STEPS,
    extras: Mapping[str, Any] | None = None,
    loc: Any = 0.0,
    scale: Any = 1.0,
) -> np.ndarray:
    """A code with each of its entries in turn moved through its range, decoded; see `traversals`.

    Args:
      run: an `ae.Run`.
      code: `[*latent]`.
      extent: see `traversals`.
      steps: points an entry.
      extras: that the code is decoded under.
      loc: see `traversals`.
      scale: see `traversals`.

    Returns:
      float32 `[entries * steps, *event]`, at most 16 entries.

    Example:
      >>> import ae_jax as ae
      >>> run = ae.fit(ae.recipes.vae(2), "digits", steps=2, progress=False)
      >>> ae.walks.around(run, run.sample_codes(1)[0], steps=3).shape
      (6, 8, 8, 1)
    """
    alone = {name: np.asarray(value)[None] for name, value in (extras or {}).items()}
    code = np.asarray(code)
    middle, unit = (np.broadcast_to(v, code.shape).reshape(-1) for v in (loc, scale))
    flat = code.reshape(-1)
    entries = min(flat.size, 16)
    moved = np.tile(flat, (entries, steps, 1))
    for j in range(entries):
        moved[j, :, j] = middle[j] + unit[j] * np.linspace(-extent, extent, steps)
    along = {name: np.repeat(value, entries * steps, axis=0) for name, value in alone.items()}
    return run.decode(moved.reshape(entries * steps, *code.shape), extras=along)


def relabelled(
    run: Any,
    x: Any,
    label: str = "label",
    values: Sequence[int] | None = None,
    extras: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """The codes of examples decoded under other labels: what is kept, and what the label changes.

    Args:
      run: an `ae.Run` whose decoder is told a label.
      x: `[n, *event]`, in the data's units.
      label: the entry of extras.
      values: its values; None: every class.
      extras: of the examples, the label among them where the encoder is told it.

    Returns:
      float32 `[n * values, *event]`, example after example.

    Raises:
      ConfigError: the decoder is told no such label.
    """
    told = {c.name: c for c in conditions.of_model(run.model) if c.part == "decoder"}
    if label not in told:
        raise ConfigError(
            f"this run's decoder is told no '{label}'{nearest(label, told)} A network is, with "
            f"condition='{label}' and num_classes"
        )
    if values is None:
        classes = told[label].num_classes
        if classes is None:
            raise ConfigError(f"'{label}' is no label but numbers: give the values to decode under")
        values = range(classes)
    codes, extras = run.encode(x, extras=extras), dict(extras or {})
    along = {name: np.repeat(np.asarray(v), len(values), axis=0) for name, v in extras.items()}
    along[label] = np.tile(np.asarray(values), len(codes))
    return run.decode(np.repeat(codes, len(values), axis=0), extras=along)
