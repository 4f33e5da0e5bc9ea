"""What is chosen for the user, from the data alone: preprocessing, networks, likelihood."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ae_jax import likelihoods, networks
from ae_jax.data import preprocessing
from ae_jax.data.dataset import Dataset, as_dataset
from ae_jax.data.preprocessing import Preprocessing
from ae_jax.types import Spec

LIKELIHOOD_OF = {
    "unit_interval": lambda: likelihoods.bernoulli(),
    "real": lambda: likelihoods.gaussian(variance="global"),
}
HIDDEN = (512,)


def choose(spec: Spec) -> Mapping[str, Any]:
    """The parts for data of this spec, by name, for whatever a recipe leaves unset."""
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
    ends = np.asarray(preprocess.apply(np.stack([_extreme(x, np.min), _extreme(x, np.max)])))
    inside = bool((ends >= 0).all() and (ends <= 1).all())
    return Spec(tuple(x.shape[1:]), "unit_interval" if inside else "real")


def _extreme(x: np.ndarray, reduce: Any) -> np.ndarray:
    """The smallest or largest value of each entry of the event."""
    return reduce(x, axis=0)


def display_range(dataset: Dataset) -> tuple[float, float]:
    """The values, in the data's units, that figures show black and white."""
    x = dataset.train.x
    if dataset.value_range is not None:
        return dataset.value_range
    if x.dtype == np.uint8:
        return (0.0, 255.0 if x.max() > 1 else 1.0)
    return float(x.min()), float(x.max())
