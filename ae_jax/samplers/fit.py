"""`ae.samplers.fit`: from a run and data to a sampler of its codes, kept with the run."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from ae_jax import keys
from ae_jax.data import matching
from ae_jax.data.inputs import checked_input
from ae_jax.data.source import Arrays, Records, Source, pieces, readable
from ae_jax.errors import ConfigError, DataError, UnknownNameError, nearest
from ae_jax.precision import compiled_in_float32
from ae_jax.runs.integers import codes_of
from ae_jax.samplers import store
from ae_jax.samplers.fitted import Fitted
from ae_jax.samplers.sampler import SAMPLERS, Sampler

CODES = ("means", "samples")


@compiled_in_float32()
def fit(
    run: Any,
    data: Any = None,
    sampler: str | Mapping[str, Any] | Sampler = "gaussian_mixture",
    *,
    name: str | None = None,
    condition: str | None = None,
    codes: str | None = None,
    seed: int = 0,
    **arguments: Any,
) -> Fitted:
    """Fits a density on the codes of a trained run, and keeps it in the run's workdir.

    With it a plain autoencoder generates, and a variational one does so from the codes that its
    decoder has seen in place of the prior. Samplers of integers, "code_transformer" and "unigram",
    are the second stage of a model that quantises.

    Args:
      run: an `ae.Run`.
      data: what to encode: `[n, *event]`, a pair `(x, extras)`, a source, or a Dataset, of which
        the training split is taken; None: that of the run's own data.
      sampler: the name of one, "gaussian_mixture", "kernel_density", "flow", "flow_matching"
        or "second_stage_vae", of integers "code_transformer" or "unigram"; its config node; or a
        Sampler.
      name: under which it is kept, in place of one kept so before; None: the sampler's own.
      condition: the entry of the data's extras, whole numbers, that the density is to depend on.
      codes: "means", or "samples", one of q(z | x) for each example; None: what the sampler is made
        for, samples of a second-stage VAE and means of all others. Integers are those of the means.
      seed: of whatever is random in the fit; a whole number below 2³².
      **arguments: of the sampler, where it is given by name.

    Returns:
      A Fitted, for `run.sample(num, sampler=…)`. It is kept in `WORKDIR/samplers/NAME` and
      `ae.samplers.load(run, NAME)` finds it there; a run without workdir keeps nothing.

    Raises:
      UnknownNameError: no sampler of this name; the nearest is named.
      ConfigError: an unknown argument, a name that is no file's, a condition the data lack, or
        samples asked of integers.
      PartError: a sampler of integers for a model that does not quantise.
      DataError: fewer codes than the sampler needs, codes that are not finite, or missing labels.

    Example:
      >>> import ae_jax as ae, numpy as np
      >>> x = np.random.default_rng(0).random((256, 8)).astype(np.float32)
      >>> run = ae.fit(ae.recipes.autoencoder(2), x, steps=20, batch_size=32, progress=False)
      >>> sampler = ae.samplers.fit(run, x, "gaussian_mixture", components=2)
      >>> run.sample(5, sampler=sampler).shape
      (5, 8)
    """
    part = _sampler(sampler, arguments)
    codes = part.codes if codes is None else codes
    if codes not in CODES:
        raise UnknownNameError(f"codes cannot be {codes!r}{nearest(codes, CODES)}")
    if part.integers and codes != "means":
        raise ConfigError(f"a sampler of integers is fitted on codes='means', got codes={codes!r}")
    name = store.checked_name(part, name)
    if run.workdir is not None:
        store.require_node(part)
    key = keys.stream(keys.root(seed), "sample")
    drawing, fitting = jax.random.split(key)
    if part.integers:
        z, labels, size = *numbered(run, data, condition), codes_of(run).size
    else:
        drawn_with = drawing if codes == "samples" else None
        z, labels, size = *encoded(run, data, condition, drawn_with), None
    classes, places = np.unique(labels, return_inverse=True)
    state = part.fit(z.reshape(len(z), -1), fitting, places, size)
    known = tuple(classes.tolist())
    fitted = Fitted(name, part, state, z.shape[1:], condition, known, len(z), size)
    if run.workdir is not None:
        store.save(run, fitted, codes, seed)
    return fitted


def _sampler(sampler: Any, arguments: Mapping[str, Any]) -> Sampler:
    if isinstance(sampler, str):
        return SAMPLERS.build({"name": sampler, **arguments})
    if arguments:
        raise ConfigError(
            f"arguments ({', '.join(arguments)}) go with a sampler's name, or into its node or call"
        )
    return SAMPLERS.build(sampler)


def encoded(
    run: Any, data: Any, condition: str | None = None, key: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """The codes of data, and the labels that a sampler is to depend on.

    Args:
      run: an `ae.Run`.
      data: see `fit`.
      condition: the entry of extras that holds the labels; None: all are 0.
      key: of samples of q(z | x); None: its means.

    Returns:
      Codes `[n, *latent]` and labels, whole numbers `[n]`.

    Raises:
      ConfigError: there are no such labels.
      DataError: they are no whole numbers, or of some examples missing (-1).
    """

    def code(piece: Records, number: int) -> np.ndarray:
        piece_key = None if key is None else jax.random.fold_in(key, number)
        return run.encode(piece.x, piece_key, observed=piece.observed, extras=piece.extras)

    return _each(code, run, data, condition)


def numbered(run: Any, data: Any, condition: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The integers of data's codes, and the labels that a sampler is to depend on.

    Args:
      run: an `ae.Run` whose model quantises.
      data: see `fit`.
      condition: as of `encoded`.

    Returns:
      Integers `[n, *codes.shape]` and labels, whole numbers `[n]`.

    Raises:
      PartError: the run has no codes that are integers.
    """
    codes_of(run)

    def code(piece: Records, number: int) -> np.ndarray:
        del number
        return run.codes(piece.x, observed=piece.observed, extras=piece.extras)

    return _each(code, run, data, condition)


def _each(
    code: Callable[[Records, int], np.ndarray], run: Any, data: Any, condition: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """The codes and labels of data, piece by piece."""
    source = _source(run, data)
    if condition is not None and condition not in source.spec.extras:
        known = nearest(condition, source.spec.extras).replace("Known:", "The data have:")
        raise ConfigError(
            f"a sampler cannot depend on extras['{condition}'], which the data lack{known} Give "
            f"a pair (x, {{'{condition}': labels}})"
        )
    codes, labels = [], []
    for i, piece in enumerate(pieces(source)):
        piece = readable(piece)
        codes.append(code(piece, i))
        given = np.zeros(len(piece.x), np.int64) if condition is None else piece.extras[condition]
        labels.append(_labels(condition, np.asarray(given)))
    return np.concatenate(codes), np.concatenate(labels)


def _source(run: Any, data: Any) -> Source:
    data = run.dataset() if data is None else data
    data = data.train if hasattr(data, "train") else data
    if hasattr(data, "read"):
        return matching.matched(data, run.spec.columns)
    return Arrays(*checked_input(data, None, None, run.spec.columns, run.data_shape))


def _labels(condition: str | None, labels: np.ndarray) -> np.ndarray:
    if labels.ndim != 1 or not np.array_equal(labels, np.floor(labels)):
        raise DataError(
            f"extras['{condition}'] must be whole numbers [n] for a sampler to depend on it, got "
            f"{labels.dtype} {labels.shape}"
        )
    if (labels < 0).any():
        missing = int((labels < 0).sum())
        raise DataError(
            f"extras['{condition}'] is missing ({labels.min()}) for {missing} of {len(labels)} "
            "examples: fit the sampler on the others"
        )
    return labels.astype(np.int64)
