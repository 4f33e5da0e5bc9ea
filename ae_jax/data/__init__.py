"""Data: sources, fixed splits, preprocessing on the device, resident and streaming engines.

What `ae.data.load` and a config's `data.source` name, with the arguments that each may take
(`data.arguments` in a config); `test_fraction` holds out by the hash of an example's index, and
sources without it have a test split of their own:

| source | what it reads | arguments |
|---|---|---|
| `digits` | scikit-learn's handwritten digits, embedded | test_fraction |
| `tfds:NAME` | a TFDS data set prepared by `ae-jax prepare`, decoded once | train, test, \
field, size, data_dir, cache, on_bad, test_fraction |
| `npy:FILE` | an array, memory-mapped | test_fraction |
| `npz:FILE` | arrays by name, memory-mapped if not compressed | key, test_fraction |
| `idx:FOLDER` | MNIST's files, `.gz` or not | |
| `images:FOLDER` | PNG, JPEG, …; subfolders are classes | size, channels, on_bad, test_fraction |
| `arrayrecord:PATTERN` | ArrayRecord files | decode, on_bad, test_fraction |
| `parquet:FILE` | a table, or a column of vectors | x, columns, label, kinds, drop, missing, \
test_fraction |
| `grain:MODULE:FUNCTION` | any random-access source of Grain; from Python `from_grain` | on_bad, \
test_fraction |
| `csv:FILE` | a table of mixed columns | columns, label, kinds, drop, missing, \
default_missing, delimiter, decimal, thousands, header, test_fraction |
| `tables:NAME` | `breast_cancer`, `iris` or `wine`, embedded | columns, label, kinds, drop, \
test_fraction |
| `text:PATH`, `text:embedded` | bytes of text, in windows or lines | length, stride, lines, \
test_fraction |
| `series:FILE` | windows of one series, `.npy` or `.csv` | window, stride, missing, columns, \
delimiter, decimal, thousands, header, test_fraction |
| `synthetic:28x28x1` | noise of any shape and dtype | size, test_size, dtype, seed |
| `factors` | shapes drawn from five known factors | sizes, resolution, test_fraction |
| `waves` | series mixed from sine waves | length, channels, components, noise, size, test_size, \
seed |
| `MODULE:FUNCTION` | the user's own function that returns a Dataset | its own |
"""

from ae_jax.data import preprocessing
from ae_jax.data.dataset import Dataset, load, split_mask
from ae_jax.data.inputs import as_dataset, from_arrays
from ae_jax.data.source import Arrays, Records, Source, Subset
from ae_jax.data.sources.csv import csv
from ae_jax.data.sources.digits import digits
from ae_jax.data.sources.factors import factors
from ae_jax.data.sources.grain_source import arrayrecord, from_grain
from ae_jax.data.sources.idx import idx
from ae_jax.data.sources.images import images
from ae_jax.data.sources.npy import npy, npz
from ae_jax.data.sources.parquet import parquet
from ae_jax.data.sources.series import series
from ae_jax.data.sources.synthetic import synthetic
from ae_jax.data.sources.tables import tables
from ae_jax.data.sources.text import text
from ae_jax.data.sources.tfds import tfds
from ae_jax.data.sources.waves import waves

__all__ = [
    "Arrays",
    "Dataset",
    "Records",
    "Source",
    "Subset",
    "arrayrecord",
    "as_dataset",
    "csv",
    "digits",
    "factors",
    "from_arrays",
    "from_grain",
    "idx",
    "images",
    "load",
    "npy",
    "npz",
    "parquet",
    "preprocessing",
    "series",
    "split_mask",
    "synthetic",
    "tables",
    "text",
    "tfds",
    "waves",
]
