"""The handwritten digits that scikit-learn's wheel carries, read without importing scikit-learn."""

import gzip
import importlib.util
import pathlib

import numpy as np

from ae_jax._registry import SOURCES
from ae_jax.data.dataset import Dataset, split
from ae_jax.errors import MissingFileError


@SOURCES.register
def digits(test_fraction: float = 0.2) -> Dataset:
    """1,797 grey images `[8, 8, 1]`, uint8 in 0 … 16, with "label" (Alpaydin & Kaynak 1998, UCI).

    Args:
      test_fraction: the share held out by `ae.data.split_mask`: 0.2 gives 1,433 training and 364
        test images.

    Returns:
      A Dataset.

    Raises:
      MissingFileError: scikit-learn is not installed.
    """
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise MissingFileError("the digits come with scikit-learn: pip install scikit-learn")
    path = pathlib.Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    x, label = table[:, :-1].reshape(-1, 8, 8, 1), table[:, -1].astype(np.int32)
    train, test = split(x, {"label": label}, test_fraction)
    return Dataset(train, test, source="digits", value_range=(0.0, 16.0))
