"""Pure functions from the data's units to the model's and back, applied on the device.

Where float32 would lose the data's digits, `scale` and `standardise` are applied on the host, in
float64 (`ae_jax.data.facts.SHARE`). All are stored with the run and applied by train, encode,
decode, sample and evaluate alike. Each takes a whole batch; what is random draws from per-example
keys, and does nothing random without.
"""

from ae_jax.data.preprocessing.axes import crop, flip, pad
from ae_jax.data.preprocessing.chain import build, chain
from ae_jax.data.preprocessing.part import Preprocessing, none, on_device
from ae_jax.data.preprocessing.values import (
    BINARISATIONS,
    binarise,
    scale,
    standardise,
    standardise_on_host,
)

__all__ = [
    "BINARISATIONS",
    "Preprocessing",
    "binarise",
    "build",
    "chain",
    "crop",
    "flip",
    "none",
    "on_device",
    "pad",
    "scale",
    "standardise",
    "standardise_on_host",
]
