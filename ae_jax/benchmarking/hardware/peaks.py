"""What single accelerators compute at most, by their makers' figures, for model FLOPs utilisation.

TPUs: `ae_jax.benchmarking.hardware.chips`. GPUs: NVIDIA's data sheets of V100, A100, A10, L4, L40S,
H100, H200 and of the GeForce RTX 4090 (Ada architecture whitepaper), dense figures, those with
sparsity halved, at boost clock. None is a promise: a card may sustain less under its power limit.
"""

import re
from typing import NamedTuple

from ae_jax.benchmarking.hardware.chips import CHIPS


class Peak(NamedTuple):
    """A figure to hold a rate against.

    Attributes:
      flops: a second, of one device.
      source: what it is, for reports.
    """

    flops: float
    source: str


GPUS = {
    r"NVIDIA H200(?! NVL)": (989.4e12, 494.7e12, 66.9e12),
    r"NVIDIA H100 NVL": (835.5e12, 417.5e12, 60e12),
    r"NVIDIA H100 PCIe": (756e12, 378e12, 51.2e12),
    r"NVIDIA H100": (989.4e12, 494.7e12, 66.9e12),
    r"NVIDIA A100": (312e12, 156e12, 19.5e12),
    r"NVIDIA A10$": (125e12, 62.5e12, 31.2e12),
    r"NVIDIA L40S": (362e12, 183e12, 91.6e12),
    r"NVIDIA L4$": (121e12, 60e12, 30.3e12),
    r"NVIDIA GeForce RTX 4090$": (165.2e12, 82.6e12, 82.6e12),
    r"Tesla V100-SXM2": (None, None, 15.7e12),
    r"Tesla V100-PCIE": (None, None, 14e12),
}
"""FLOP/s in bfloat16, TensorFloat-32 and float32 by what `jax.Device.device_kind` begins with, the
first that fits; None: the card cannot."""

COLUMNS = {"bfloat16": 0, "float16": 0, "tensorfloat32": 1, "float32": 2}
FULL = ("float32", "highest", "F32_F32_F32")
"""Values of `jax_default_matmul_precision` that ask for float32 products in full."""


def precision(dtype: str, platform: str, asked: str | None) -> str:
    """What products of this dtype are really computed in.

    Args:
      dtype: dtype of the operands.
      platform: "cpu", "gpu" or "tpu".
      asked: `jax_default_matmul_precision`.

    Returns:
      "bfloat16", "tensorfloat32", "float32", or the dtype itself. On a TPU float32 products take
      several passes in bfloat16 where more than the default is asked for; they are held against
      the peak of one.
    """
    if dtype != "float32" or platform == "cpu":
        return dtype
    if platform == "tpu":
        return "bfloat16"
    return "float32" if asked in FULL else "tensorfloat32"


def peak(kind: str, used: str) -> Peak | None:
    """The maker's figure for a device.

    Args:
      kind: `jax.Device.device_kind`.
      used: precision used, see `precision`.

    Returns:
      A Peak, or None where the device is in no table or cannot compute so.
    """
    for chip in CHIPS.values():
        if chip.kind == kind and used == "bfloat16":
            return Peak(chip.peak_flops, f"{kind} in bfloat16, by its maker")
    column = COLUMNS.get(used)
    row = next((row for name, row in GPUS.items() if re.match(name, kind)), None)
    if row is None or column is None or row[column] is None:
        return None
    return Peak(row[column], f"{kind} in {used}, dense, by its maker")
