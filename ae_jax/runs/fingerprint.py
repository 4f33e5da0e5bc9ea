"""What tells a data set from another: sizes, fields, and a hash of a few records of each split."""

import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ae_jax.data.dataset import Dataset
from ae_jax.data.source import Source

SAMPLE = 64
"""How many records of each split are hashed: the first, the last, and others at equal distances."""


def fingerprint(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """The fingerprint of a data set, the same whether it lies in memory or is streamed.

    Args:
      dataset: of which at most `SAMPLE` records a split are read.

    Returns:
      By split: "size"; "fields", dtype and shape of each; "hash", of the sampled records, in which
      missing entries and records that could not be read count as zeros.

    Example:
      >>> import ae_jax as ae, numpy as np
      >>> data = ae.data.from_arrays(np.zeros((20, 3), np.float32), test_fraction=0.0)
      >>> fingerprint(data)["train"]["fields"]
      {'x': 'float32[3]'}
    """
    return {name: _of_split(split) for name, split in dataset.splits.items()}


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two fingerprints, a phrase for each split that changed.

    Args:
      old: of the data before.
      new: of the data now.

    Returns:
      Phrases; none if both are of the same data.
    """
    lines = []
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in old or name not in new:
            lines.append(f"{name}: {'new' if name not in old else 'gone'}")
        elif old[name] != new[name]:
            lines.append(f"{name}: {', '.join(_of_one(old[name], new[name]))}")
    return lines


def _of_one(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    lines = []
    if old["size"] != new["size"]:
        lines.append(f"{old['size']:,} -> {new['size']:,} examples")
    before, now = old["fields"], new["fields"]
    for field in sorted(before.keys() | now.keys()):
        if before.get(field) != now.get(field):
            lines.append(f"{field} {before.get(field, 'absent')} -> {now.get(field, 'absent')}")
    return lines or ["other values"]


def _of_split(split: Source) -> dict[str, Any]:
    size = len(split)
    index = np.unique(np.linspace(0, size - 1, SAMPLE).astype(np.int64))
    records = split.read(index)
    x = records.x
    if records.observed is not None:
        x = np.where(records.observed, x, np.zeros((), x.dtype))
    fields = {"x": x, "extras": dict(records.extras), "observed": records.observed}
    named = {
        ".".join(key.key for key in path): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(fields)
    }
    hashed = hashlib.sha256()
    for name, leaf in sorted(named.items()):
        if records.valid is not None:
            leaf = np.where(np.reshape(records.valid, (-1, *[1] * (leaf.ndim - 1))), leaf, 0)
        hashed.update(name.encode())
        hashed.update(np.ascontiguousarray(leaf, leaf.dtype.newbyteorder("=")).tobytes())
    shown = {name: f"{leaf.dtype.name}{list(leaf.shape[1:])}" for name, leaf in named.items()}
    return {"size": size, "fields": dict(sorted(shown.items())), "hash": hashed.hexdigest()[:32]}
