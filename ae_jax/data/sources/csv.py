"""Tables in text files, read with the standard library."""

import os
from collections.abc import Mapping, Sequence

from ae_jax._registry import SOURCES
from ae_jax.data.dataset import TEST_FRACTION, Dataset
from ae_jax.data.sources import dialect as dialects
from ae_jax.data.sources import table
from ae_jax.data.sources.cells import Cells
from ae_jax.data.sources.dialect import RECOGNISED, Dialect
from ae_jax.data.sources.files import check_utf8, existing_file
from ae_jax.errors import DataError


@SOURCES.register
def csv(
    path: str | os.PathLike,
    columns: Mapping[str, str] | Sequence[str] | None = None,
    label: str | None = None,
    missing: Sequence[str] | str = (),
    test_fraction: float = TEST_FRACTION,
    delimiter: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    header: bool | None = None,
    kinds: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    default_missing: bool = True,
) -> Dataset:
    r"""A table of mixed columns `[n, columns]`; its first line names them.

    Read into memory at once, as float32 where that holds all digits that matter, else as float64.
    Categories become codes, their places among the sorted distinct words of the whole file (of both
    splits, so that the test split holds none unknown). Missing values are 0 with `observed` False.
    Whitespace around a cell does not count. A first column without a name, pandas' index, is passed
    over if it numbers the rows from 0 or 1, else called "index".

    Args:
      path: path of the file, UTF-8.
      columns: columns that make up x, always in the file's order: their names, or their kinds by
        name, "number", "category" or "count" (whole, not negative); None: all but the label. A kind
        that is not given is "number" if all its values are numbers, "category" if most are not.
      label: a column kept out of x that becomes the extra "label": whole numbers as they are
        (int32), other numbers as float32, words as codes.
      missing: what stands for a missing value beside the usual: the empty cell, "?" and the words
        of pandas' `read_csv`: #N/A, #N/A N/A, #NA, -1.#IND, -1.#QNAN, -NaN, -nan, 1.#IND, 1.#QNAN,
        <NA>, N/A, NA, NULL, NaN, None, n/a, nan, null.
      test_fraction: the share held out by `ae.data.split_mask`.
      delimiter: between cells, one character, of which " " stands for any number of spaces; None:
        the comma, semicolon, tab or bar by which all rows have one length, or spaces between
        numbers.
      decimal: the mark before the fraction of a number, "." or ","; None: the point, or the comma
        in a file that another mark delimits, if it holds a number such as 1,5 and none such as 1.5.
      thousands: the mark between groups of three digits; None: there is none.
      header: whether the first line names the columns; False: they are called "0", "1", …; None:
        it does, unless it looks like values, which is an error.
      kinds: kinds of some columns, or of the label, as in `columns`; the other columns stay.
      drop: columns that are left out.
      default_missing: whether the usual words stand for missing values.

    Returns:
      A Dataset of kind "table", its `columns` described from left to right.

    Raises:
      MissingFileError: there is no such file.
      UnknownNameError: it has no column of a name; the nearest is named.
      ConfigError: the label is also among the columns, or an argument has another value.
      DataError: not UTF-8, empty, no header, lines of several lengths, a value that is not of its
        column's kind, a column of which at least half look like numbers or dates and that are none,
        or of more than 20 words of which over half differ; file, line and column are named.

    Example:
      >>> import ae_jax as ae, pathlib, tempfile
      >>> path = pathlib.Path(tempfile.mkdtemp(), "t.csv")
      >>> _ = path.write_text("height;ward;note\n1,75;A;\nNULL;B;x\n")
      >>> data = ae.data.csv(path, drop=["note"], test_fraction=0)
      >>> data.train.x.tolist(), data.train.observed.tolist()
      ([[1.75, 0.0], [0.0, 1.0]], [[True, True], [False, True]])
    """
    how = Dialect(delimiter, decimal, thousands, header, missing, default_missing)
    dataset = table.to_dataset(read(path, how), columns, label, test_fraction, kinds, drop)
    return dataset._replace(source=f"csv:{path}")


def read(path: str | os.PathLike, dialect: Dialect = RECOGNISED) -> Cells:
    """The cells of a file; raises as `csv` does for all but the columns' kinds."""
    dialect = dialect.check()
    file = existing_file(path)
    check_utf8(file)
    delimiter = dialect.delimiter or dialects.sniff(file)
    rows, lines, absent = [], [], dialect.absent
    header, where = [], f"'{file}', line 1"
    for line, row in dialects.records(file, delimiter):
        if not header:
            header, where = row, f"'{file}', line {line}"
            if not header:
                raise DataError(f"{where} must name the columns, got []")
            if dialect.header is not False:
                continue
            header = [str(i) for i in range(len(row))]
        if len(row) != len(header):
            first = "first row" if dialect.header is False else "header"
            raise DataError(
                f"'{file}', line {line} has {len(row)} cells, the {first} {len(header)}: "
                f"{row!r:.100}; cells are delimited by {delimiter!r}"
            )
        rows.append([None if cell in absent else cell for cell in row])
        lines.append(line)
    if not rows:
        raise DataError(f"'{file}' has no rows below its header")
    columns = dialects.named(
        header, rows, True if dialect.header is False else dialect.header, where
    )
    notation = dialects.notation(columns, delimiter, dialect)
    return Cells(columns, str(file), lambda i: f"line {lines[i]}", notation)
