"""From examples to codes and back to examples.

Methods of `Run`: a run is their first argument.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ae_jax import evaluation
from ae_jax.errors import ShapeError
from ae_jax.precision import compiled_in_float32
from ae_jax.runs.inputs import fields, places
from ae_jax.types import PRNGKey


@compiled_in_float32()
def encode(
    run: Any,
    x: Any,
    key: PRNGKey | None = None,
    *,
    observed: Any = None,
    extras: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """The code of each example: the posterior mean, or a sample with a key.

    Args:
      run: an `ae.Run`.
      x: `[n, *event]`, in the data's units: an array, a masked one, a pair `(x, extras)`, a
        source, or a table with named columns, which are put into the order of training.
      key: a typed key, e.g. `jax.random.key(0)`.
      observed: bool, of x's shape, False where an entry is missing; None: none is but what x
        itself says.
      extras: conditions (a label of -1 is none), lengths, each `[n, …]`, for a model that
        takes them.

    Returns:
      float32 `[n, *latent]`.

    Raises:
      ShapeError: the examples have another shape than the training data's.
      DataError: they are empty or not finite, columns are missing, or a label is no class.
    """
    records = run.records(x, observed=observed, extras=extras)
    if key is None:
        return run.over_examples("encode", run.functions.encode)(run.variables, records)
    shared = (run.variables, jax.random.key_data(key))
    sample = run.over_examples("encode sample", run.functions.encode_sample)
    return sample(shared, records, places(records.x))


@compiled_in_float32()
def decode(run: Any, z: Any, *, extras: Mapping[str, Any] | None = None) -> np.ndarray:
    """The mean of p(x | z) for each code, in the data's units.

    An autoregressive decoder is read greedily: each position given the most probable tokens (of
    a series: the locations) found before it. Behind the end of a sequence stands padding, 0.

    Args:
      run: an `ae.Run`.
      z: `[n, *latent]`.
      extras: conditions, each `[n, …]`, for a model that takes them.

    Returns:
      float32 `[n, *event]`; float64 where the data are centred on the host.

    Raises:
      ShapeError: the codes have another shape than the bottleneck's.
    """
    z = np.asarray(z, np.float32)
    if z.shape[1:] != run.model.bottleneck.latent_shape:
        raise ShapeError(
            f"codes must be [n, {', '.join(map(str, run.model.bottleneck.latent_shape))}], "
            f"got {z.shape}"
        )
    program = run.over_examples("decode", run.functions.decode, in_units=True)
    return program(run.variables, z, fields(run, extras, len(z)))


@compiled_in_float32()
def reconstruct(
    run: Any,
    x: Any,
    *,
    mask: Any = None,
    observed: Any = None,
    extras: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """`decode(encode(x))`: deterministic, uncorrupted, in the data's units.

    An autoregressive decoder is not told x but reads its own guesses, as in `decode`.

    Args:
      run: an `ae.Run`.
      x: `[n, *event]`, in the data's units.
      mask: bool, True for what is hidden from the model and filled in by it, all else staying
        as it is: of the shape of an example or of its grid of patches, with or without n before
        it; or the seed of masks of the run's own corruption. For models trained so, by
        `ae.recipes.masked_autoencoder`, say. None: nothing is hidden.
      observed: see `encode`; missing entries are filled in.
      extras: see `encode`.

    Returns:
      float32 `[n, *event]`; float64 where the data are centred on the host.

    Raises:
      PartError: a mask for a model whose corruption hides nothing.
      ShapeError: examples, or a mask, of another shape.
      DataError: a mask that is not bool, hides all of an example, or part of a patch.
    """
    records = run.records(x, observed=observed, extras=extras)
    if mask is not None:
        return evaluation.filled(run, records, mask)
    again = run.over_examples("reconstruct", run.functions.reconstruct, in_units=True)
    return again(run.variables, records)


def denoise(
    run: Any, x: Any, *, observed: Any = None, extras: Mapping[str, Any] | None = None
) -> np.ndarray:
    """What the model makes of examples that are noisy already: `reconstruct` by its other name.

    Nothing is corrupted further. A model of `ae.recipes.denoising`, trained on such noise,
    does best; `ae.evaluation.denoise` measures it beside what one would use otherwise.

    Args:
      run: an `ae.Run`.
      x: noisy examples `[n, *event]`, in the data's units.
      observed: see `encode`; missing entries are filled in.
      extras: see `encode`.

    Returns:
      float32 `[n, *event]`; float64 where the data are centred on the host.

    Example:
      >>> import ae_jax as ae
      >>> run = ae.fit(ae.recipes.denoising(8), "digits", steps=2, progress=False)
      >>> run.denoise(run.dataset().test.x[:3]).shape
      (3, 8, 8, 1)
    """
    return run.reconstruct(x, observed=observed, extras=extras)
