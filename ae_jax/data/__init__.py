"""Data: sources, fixed splits, preprocessing on the device, resident and streaming engines."""

from ae_jax.data import preprocessing
from ae_jax.data.dataset import Dataset, as_dataset, from_arrays, load, split_mask
from ae_jax.data.digits import digits
from ae_jax.data.source import Arrays, Records, Source, Subset

__all__ = [
    "Arrays",
    "Dataset",
    "Records",
    "Source",
    "Subset",
    "as_dataset",
    "digits",
    "from_arrays",
    "load",
    "preprocessing",
    "split_mask",
]
