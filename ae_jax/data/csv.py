"""Tables in text files, read with the standard library."""

import csv as standard
import os
from collections.abc import Mapping, Sequence

from ae_jax.data import table
from ae_jax.data.dataset import TEST_FRACTION, Dataset
from ae_jax.data.files import check_utf8, existing
from ae_jax.errors import DataError
from ae_jax.registry import SOURCES

MISSING = ("", "NA", "NaN", "nan")


@SOURCES.register
def csv(
    path: str | os.PathLike,
    columns: Mapping[str, str] | Sequence[str] | None = None,
    label: str | None = None,
    missing: Sequence[str] = MISSING,
    test_fraction: float = TEST_FRACTION,
    delimiter: str = ",",
) -> Dataset:
    """A table of mixed columns, float32 `[n, columns]`; its first line names them.

    Read into memory at once. Categories become codes, their places among the sorted distinct words
    of the whole file (of both splits, so that the test split holds none unknown). Missing values
    are 0 with `observed` False. Whitespace around a cell does not count.

    Args:
      path: of the file, UTF-8.
      columns: which make up x, always in the file's order: their names, or their kinds by name,
        "number", "category" or "count" (whole, not negative); None: all but the label. A kind that
        is not given is "number" if all its values are numbers, else "category".
      label: a column kept out of x that becomes the extra "label": whole numbers as they are
        (int32), other numbers as float32, words as codes.
      missing: what stands for a missing value.
      test_fraction: the share held out by `ae.data.split_mask`.
      delimiter: between cells, one character.

    Returns:
      A Dataset of kind "table", its `columns` described from left to right.

    Raises:
      MissingFileError: there is no such file.
      UnknownNameError: it has no column of a name; the nearest is named.
      ConfigError: the label is also among the columns, or a kind is unknown.
      DataError: not UTF-8, empty, no header, lines of several lengths, or a value that is not of
        its column's kind; file, line and column are named.
    """
    cells = read(path, missing, delimiter)
    dataset = table.to_dataset(cells, columns, label, test_fraction)
    return dataset._replace(source=f"csv:{path}")


def read(
    path: str | os.PathLike, missing: Sequence[str] = MISSING, delimiter: str = ","
) -> table.Cells:
    """The cells of a file; raises as `csv` does for all but the columns' kinds."""
    file = existing(path)
    check_utf8(file)
    rows, lines, absent = [], [], set(missing)
    with open(file, encoding="utf-8-sig", newline="") as stream:
        reader = standard.reader(stream, delimiter=delimiter, strict=True)
        try:
            header = [cell.strip() for cell in next(reader, [])]
            _check_header(header, str(file))
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise DataError(
                        f"'{file}', line {reader.line_num} has {len(row)} cells, the header "
                        f"{len(header)}: {row!r:.100}"
                    )
                rows.append([None if c.strip() in absent else c.strip() for c in row])
                lines.append(reader.line_num)
        except standard.Error as error:
            raise DataError(f"'{file}', line {reader.line_num}: {error}") from error
    if not rows:
        raise DataError(f"'{file}' has no rows below its header")
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    return table.Cells(columns, str(file), lambda i: f"'{file}', line {lines[i]}")


def _check_header(header: list[str], file: str) -> None:
    if not header or all(table.as_number(cell or "x") is not None for cell in header):
        raise DataError(f"'{file}', line 1 must name the columns, got {header!r:.100}")
    twice = [name for name in header if header.count(name) > 1 or not name]
    if twice:
        raise DataError(f"'{file}', line 1: a column's name {twice[0]!r} is empty or not unique")
