"""Data: sources, fixed splits, preprocessing on the device, and the resident engine."""

from ae_jax.data import preprocessing
from ae_jax.data.dataset import Dataset, Split, as_dataset, load, split_mask
from ae_jax.data.digits import digits

__all__ = [
    "Dataset",
    "Split",
    "as_dataset",
    "digits",
    "load",
    "preprocessing",
    "split_mask",
]
