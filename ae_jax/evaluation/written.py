"""What a run makes of every example of a split, in one file: codes, scores, filled-in tables."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from etils import epath

from ae_jax import _workdir as storage
from ae_jax.data import matching
from ae_jax.data.source import Records, Source, pieces, readable
from ae_jax.data.sources.files import require
from ae_jax.data.sources.parquet import INSTALL
from ae_jax.errors import ConfigError, DataError, nearest

Fields = dict[str, np.ndarray]
INDEX = "index"


def write_codes(run: Any, source: Source, path: Any) -> int:
    """Encodes every example of a split into one file, some thousands at a time.

    Fields are "codes", float32, the posterior means, `[n, *latent]` in NPZ, in Parquet a list of
    numbers a row, which `ae.data.load("parquet:…", x="codes")` reads again, and in CSV a column
    each; "index", the example's place in the split (what could not be read is left out); and the
    split's extras by their names.

    Args:
      run: a Run.
      source: a split, e.g. `ae.data.load("digits").train`.
      path: ends in .npz, .csv, or .parquet (which needs pyarrow).

    Returns:
      How many examples were written.

    Raises:
      ConfigError: another ending.
      DataError: an extra of the split is called "codes" or "index".
      MissingFileError: pyarrow is not installed.
      WorkdirError: the file cannot be written.

    Example:
      >>> import ae_jax as ae, pathlib, tempfile
      >>> run = ae.fit(ae.recipes.autoencoder(2), "digits", steps=2, progress=False)
      >>> path = pathlib.Path(tempfile.mkdtemp(), "codes.csv")
      >>> ae.evaluation.write_codes(run, run.dataset().test, path)
      364
      >>> path.read_text().splitlines()[0]
      'codes_0,codes_1,index,label'
    """

    def codes(records: Records) -> Fields:
        return {"codes": run.encode(records.x, observed=records.observed, extras=records.extras)}

    return write_examples(run, source, path, codes)


def write_examples(
    run: Any, source: Source, path: Any, compute: Callable[[Records], Mapping[str, np.ndarray]]
) -> int:
    """Computes something of every example of a split and writes it into one file, piece by piece.

    Args:
      run: a Run, whose columns the split's are brought into the order of.
      source: a split.
      path: ends in .npz, .csv, or .parquet (which needs pyarrow).
      compute: from some examples, in the data's units, to fields by name, each `[n, …]`.

    Returns:
      How many examples were written: those that could be read. "index" holds their places in the
      split, and the split's extras stand beside it.

    Raises:
      What `write_codes` raises.

    Example:
      >>> import ae_jax as ae, pathlib, tempfile
      >>> run = ae.fit(ae.recipes.vae(2), "digits", steps=2, progress=False)
      >>> path = pathlib.Path(tempfile.mkdtemp(), "bounds.npz")
      >>> bound = lambda records: {"bound": run.log_likelihood(records.x)}
      >>> ae.evaluation.write_examples(run, run.dataset().test, path, bound)
      364
    """
    path = epath.Path(path).expanduser()
    if path.suffix not in WRITERS:
        raise ConfigError(
            f"what is written of examples cannot end in '{path.suffix}', as '{path}' does"
            f"{nearest(path.suffix, WRITERS)}"
        )
    source = matching.matched(source, run.spec.columns)
    return WRITERS[path.suffix](path, _computed(source, compute))


def by_column(run: Any, x: np.ndarray) -> Fields:
    """Examples of a table as one field a column, categories by their words; of all else "x".

    Args:
      run: a Run.
      x: `[n, *event]`, in the data's units.

    Example:
      >>> import ae_jax as ae, numpy as np
      >>> from ae_jax.evaluation.written import by_column
      >>> run = ae.fit(ae.recipes.autoencoder(1), "tables:iris", steps=2, progress=False)
      >>> list(by_column(run, run.dataset().test.x))[:2]
      ['sepal length', 'sepal width']
    """
    columns = run.spec.columns
    if not columns or x.ndim != 2:
        return {"x": x}
    words = lambda column, values: (
        np.asarray(column.categories)[np.clip(np.rint(values), 0, None).astype(int)]
        if column.categories
        else values
    )
    return {column.name: words(column, x[:, i]) for i, column in enumerate(columns)}


def _computed(source: Source, compute: Callable[[Records], Mapping[str, Any]]) -> Iterator[Fields]:
    start = 0
    for piece in pieces(source):
        count = len(piece.x)
        valid = np.ones(count, bool) if piece.valid is None else np.asarray(piece.valid)
        index, start = start + np.flatnonzero(valid), start + count
        if not len(index):
            continue
        kept = readable(piece)
        extras = {name: np.asarray(value) for name, value in kept.extras.items()}
        fields = {name: np.asarray(value) for name, value in compute(kept).items()}
        names = (*fields, *extras, INDEX)
        if twice := [name for name in names if names.count(name) > 1]:
            raise DataError(
                f"an extra or column of the data is called '{twice[0]}', as what is written: "
                "rename it"
            )
        yield fields | {INDEX: index} | extras


def _npz(path: epath.Path, batches: Iterable[Fields]) -> int:
    held = list(batches)
    if not held:
        raise DataError("there is no example to write")
    fields: Any = {name: np.concatenate([batch[name] for batch in held]) for name in held[0]}
    with storage.writing(path), path.open("wb") as file:
        np.savez(file, **fields)
    return len(fields[INDEX])


def _parquet(path: epath.Path, batches: Iterable[Fields]) -> int:
    pyarrow: Any = require("pyarrow", "writing Parquet", INSTALL)
    parquet: Any = require("pyarrow.parquet", "writing Parquet", INSTALL)
    lists = lambda values: list(values.reshape(len(values), -1)) if values.ndim > 1 else values
    writer, total = None, 0
    with storage.writing(path), path.open("wb") as file:
        for batch in batches:
            table = pyarrow.table({n: pyarrow.array(lists(v)) for n, v in batch.items()})
            writer = writer or parquet.ParquetWriter(file, table.schema)
            writer.write_table(table)
            total += len(batch[INDEX])
        if writer is None:
            raise DataError("there is no example to write")
        writer.close()
    return total


def _csv(path: epath.Path, batches: Iterable[Fields]) -> int:
    total = 0
    with storage.writing(path), path.open("wb") as file:
        for batch in batches:
            text = io.StringIO()
            rows = csv.writer(text, lineterminator="\n")
            columns = _flat(batch)
            if not total:
                rows.writerow(columns)
            rows.writerows(zip(*(_digits(column) for column in columns.values()), strict=True))
            file.write(text.getvalue().encode())
            total += len(batch[INDEX])
        if not total:
            raise DataError("there is no example to write")
    return total


def _digits(column: np.ndarray) -> list[Any]:
    """Values to be printed: of a float32 the digits that tell it from all others, no more."""
    return (column.astype(str) if column.dtype.kind == "f" else column).tolist()


def _flat(fields: Fields) -> Fields:
    """Fields with several numbers an example as a column each: name_0, name_1, …."""
    columns = {}
    for name, values in fields.items():
        if values.ndim == 1:
            columns[name] = values
            continue
        flat = values.reshape(len(values), -1)
        columns |= {f"{name}_{i}": flat[:, i] for i in range(flat.shape[1])}
    return columns


WRITERS: dict[str, Callable[..., int]] = {".npz": _npz, ".csv": _csv, ".parquet": _parquet}
"""How fields are written, by the ending of the file's name."""
