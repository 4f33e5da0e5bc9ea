"""The codes of a whole data set in a file, with its labels beside them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from etils import epath

from ae_jax import _workdir as storage
from ae_jax.data import matching
from ae_jax.data.source import Source, pieces, readable
from ae_jax.data.sources.files import require
from ae_jax.data.sources.parquet import INSTALL
from ae_jax.errors import ConfigError, DataError, nearest

RESERVED = ("codes", "index")


def write_codes(run: Any, source: Source, path: Any) -> int:
    """Encodes every example of a split into one file, some thousands at a time.

    Fields are "codes", float32, the posterior means, `[n, *latent]` in NPZ and in Parquet a list of
    numbers a row, which `ae.data.load("parquet:…", x="codes")` reads again; "index", the example's
    place in the split (what could not be read is left out); and the split's extras by their names.

    Args:
      run: a Run.
      source: a split, e.g. `ae.data.load("digits").train`.
      path: ends in .npz, or in .parquet (which needs pyarrow).

    Returns:
      How many examples were written.

    Raises:
      ConfigError: another ending.
      DataError: an extra of the split is called "codes" or "index".
      MissingFileError: pyarrow is not installed.
      WorkdirError: the file cannot be written.
    """
    path = epath.Path(path).expanduser()
    if path.suffix not in WRITERS:
        known = ", ".join(WRITERS)
        raise ConfigError(
            f"codes are written as {known}, got '{path}'{nearest(path.suffix, WRITERS)}"
        )
    source = matching.matched(source, run.spec.columns)
    taken = [name for name in RESERVED if name in source.spec.extras]
    if taken:
        raise DataError(
            f"an extra of the data is called '{taken[0]}', as what is written: rename it"
        )
    return WRITERS[path.suffix](path, _encoded(run, source))


def _encoded(run: Any, source: Source) -> Iterator[dict[str, np.ndarray]]:
    start = 0
    for piece in pieces(source):
        count = len(piece.x)
        valid = np.ones(count, bool) if piece.valid is None else np.asarray(piece.valid)
        index, start = start + np.flatnonzero(valid), start + count
        if not len(index):
            continue
        kept = readable(piece)
        codes = run.encode(kept.x, observed=kept.observed, extras=kept.extras)
        extras = {name: np.asarray(value) for name, value in kept.extras.items()}
        yield {"codes": codes, "index": index} | extras


def _npz(path: epath.Path, batches: Iterable[dict[str, np.ndarray]]) -> int:
    held = list(batches)
    if not held:
        raise DataError("there is no example to encode")
    fields: Any = {name: np.concatenate([batch[name] for batch in held]) for name in held[0]}
    with storage.writing(path), path.open("wb") as file:
        np.savez(file, **fields)
    return len(fields["index"])


def _parquet(path: epath.Path, batches: Iterable[dict[str, np.ndarray]]) -> int:
    pyarrow: Any = require("pyarrow", "writing Parquet", INSTALL)
    parquet: Any = require("pyarrow.parquet", "writing Parquet", INSTALL)
    lists = lambda values: list(values.reshape(len(values), -1)) if values.ndim > 1 else values
    writer, total = None, 0
    with storage.writing(path), path.open("wb") as file:
        for batch in batches:
            codes = batch["codes"].reshape(len(batch["index"]), -1)
            fields = {n: pyarrow.array(lists(v)) for n, v in (batch | {"codes": codes}).items()}
            table = pyarrow.table(fields)
            writer = writer or parquet.ParquetWriter(file, table.schema)
            writer.write_table(table)
            total += len(codes)
        if writer is None:
            raise DataError("there is no example to encode")
        writer.close()
    return total


WRITERS: dict[str, Callable[..., int]] = {".npz": _npz, ".parquet": _parquet}
"""How codes are written, by the ending of the file's name."""
