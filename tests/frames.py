"""The least of a pandas DataFrame that ae_jax looks at, and pandas' own where it is installed."""

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np

HAS_PANDAS = importlib.util.find_spec("pandas") is not None


class Series:
    """A column."""

    def __init__(self, values: Any):
        self.values = np.asarray(values)
        self.dtype = self.values.dtype

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.values, dtype)

    def isna(self) -> np.ndarray:
        """Where a value is missing."""
        return np.array([value is None for value in self.values])


class Frame:
    """Columns by name; `np.asarray` gives them from left to right."""

    def __init__(self, columns: Mapping[Any, Any], names: Any = None):
        self.data = {name: Series(values) for name, values in columns.items()}
        self.columns = list(columns) if names is None else names
        self.dtypes = [series.dtype for series in self.data.values()]
        rows = len(next(iter(self.data.values())).values) if self.data else 0
        self.shape = (rows, len(self.columns))

    def __getitem__(self, name: Any) -> Series:
        return self.data[name]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.stack([series.values for series in self.data.values()], axis=1)


MAKERS = {"stand-in": Frame}
if HAS_PANDAS:
    MAKERS["pandas"] = importlib.import_module("pandas").DataFrame
