"""What is chosen for the user, from the data alone: preprocessing, networks, likelihood."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from ae_jax import likelihoods, networks
from ae_jax.data import preprocessing
from ae_jax.data.dataset import Dataset, as_dataset
from ae_jax.data.preprocessing import Preprocessing
from ae_jax.types import Spec

LIKELIHOOD_OF = {
    "binary": lambda: likelihoods.bernoulli(),
    "real": lambda: likelihoods.gaussian(variance="global"),
}
HIDDEN = (512,)
PIECE = 8192


def choose(spec: Spec) -> Mapping[str, Any]:
    """The parts for data of this spec, by name, for whatever a recipe leaves unset.

    Values that are all 0 or 1 get the Bernoulli likelihood; all others, grey levels included, the
    Gaussian with one learned variance, which needs no weight between its terms (Rybkin, Daniilidis
    & Levine 2021, "Simple and effective VAE training with calibrated decoders").
    """
    return {
        "encoder": networks.mlp(HIDDEN),
        "decoder": networks.mlp(HIDDEN[::-1]),
        "likelihood": LIKELIHOOD_OF[spec.kind](),
    }


def choose_preprocessing(dataset: Dataset) -> Preprocessing:
    """Scaling for a data set, from the training split.

    - a source that declares its range, and uint8 data: `scale` to [0, 1] (uint8 holding only 0 and
      1 is taken as binary);
    - booleans, and floats all within [0, 1]: as they are;
    - everything else: `standardise`, one mean and deviation a feature for `[n, d]` data, one in all
      otherwise; features without spread keep deviation 1.
    """
    x = dataset.train.x
    if dataset.value_range is not None:
        return preprocessing.scale(*dataset.value_range)
    if x.dtype == np.uint8:
        return preprocessing.scale(0.0, 255.0 if x.max() > 1 else 1.0)
    if x.dtype == np.bool_ or (x.min() >= 0 and x.max() <= 1):
        return preprocessing.none()
    axes = 0 if x.ndim == 2 else None
    mean, std = np.mean(x, axis=axes, dtype=np.float64), np.std(x, axis=axes, dtype=np.float64)
    std = np.where(std > 1e-12 * (1 + np.abs(mean)), std, 1.0)
    plain = lambda v: tuple(map(float, v)) if np.ndim(v) else float(v)
    return preprocessing.standardise(plain(mean), plain(std))


def spec_of(data: Any, preprocess: Preprocessing | None = None) -> Spec:
    """The spec of a data set or array once preprocessed.

    Args:
      data: whatever `fit` takes.
      preprocess: None: the one that would be chosen.

    Returns:
      A Spec.
    """
    dataset = data if isinstance(data, Dataset) else as_dataset(data)
    preprocess = choose_preprocessing(dataset) if preprocess is None else preprocess
    x = dataset.train.x
    pieces = (preprocess.apply(jnp.asarray(x[i : i + PIECE])) for i in range(0, len(x), PIECE))
    binary = all(bool(jnp.all((piece == 0) | (piece == 1))) for piece in pieces)
    return Spec(tuple(x.shape[1:]), "binary" if binary else "real")


def display_range(dataset: Dataset) -> tuple[float, float]:
    """The values, in the data's units, that figures show black and white."""
    x = dataset.train.x
    if dataset.value_range is not None:
        return dataset.value_range
    if x.dtype == np.uint8:
        return (0.0, 255.0 if x.max() > 1 else 1.0)
    return float(x.min()), float(x.max())
