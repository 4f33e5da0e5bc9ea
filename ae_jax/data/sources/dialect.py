"""How a CSV file is written: what stands between cells, whether names come first."""

import csv
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ae_jax.data.sources.cells import COMMA, MISSING, THOUSANDS, Notation, as_number
from ae_jax.errors import ConfigError, DataError

DELIMITERS = (",", ";", "\t", "|")
SPACES = " "
"""A delimiter of its own: any number of spaces."""
SAMPLE = 100
"""How many records the delimiter is recognised by."""
NAMELESS = ("", "Unnamed: 0")
"""What pandas calls the index of a table in the file, and once that is read and written again."""
INDEX = "index"


class Dialect(NamedTuple):
    """How a CSV file is written; None: recognised, and refused where that is ambiguous.

    Attributes:
      delimiter: between cells, one character; " " stands for any number of spaces.
      decimal: the mark before the fraction of a number, "." or ",".
      thousands: what stands between groups of three digits; None: nothing does.
      header: whether the first line names the columns; else they are "0", "1", ….
      missing: what stands for a missing value beside the usual.
      default_missing: whether the usual, `cells.MISSING`, do.
    """

    delimiter: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    header: bool | None = None
    missing: Sequence[str] | str = ()
    default_missing: bool = True

    def check(self) -> "Dialect":
        """Returns itself, or raises ConfigError for a value that cannot be."""
        mark = "\t" if self.delimiter == "\\t" else self.delimiter
        if mark is not None and (not isinstance(mark, str) or len(mark) != 1 or mark in '"\r\n'):
            raise ConfigError(f"delimiter must be one character such as ';', got {mark!r}")
        if self.header not in (None, True, False):
            raise ConfigError(f"header must be True, False or None, got {self.header!r}")
        Notation(self.decimal or ("," if self.thousands == "." else "."), self.thousands).check()
        return self._replace(delimiter=mark)

    @property
    def absent(self) -> set[str]:
        """All that stands for a missing value."""
        markers = [self.missing] if isinstance(self.missing, str) else self.missing
        usual = set(MISSING if self.default_missing else ())
        return {str(word).strip() for word in markers} | usual


RECOGNISED = Dialect()
"""All is recognised."""


def records(file: pathlib.Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not empty with the number of its last line; cells are stripped.

    Raises:
      DataError: quotes that do not match; file and line are named.
    """
    with open(file, encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(
            stream, delimiter=delimiter, strict=True, skipinitialspace=delimiter == SPACES
        )
        try:
            for row in reader:
                cells = [cell.strip() for cell in row]
                if delimiter == SPACES and cells and not cells[-1]:
                    cells.pop()  # spaces at the end of the line
                if cells or reader.line_num == 1:
                    yield reader.line_num, cells
        except csv.Error as error:
            raise DataError(f"'{file}', line {reader.line_num}: {error}") from error


def sniff(file: pathlib.Path) -> str:
    """The delimiter by which the first hundred records have one length, more than 1.

    Raises:
      DataError: there are two such, or only spaces and not all between numbers.
    """
    rows = {mark: _sample(file, mark) for mark in (*DELIMITERS, SPACES)}
    width = {mark: len(cells[0]) if cells else 0 for mark, cells in rows.items()}
    even = lambda mark: width[mark] > 1 and all(len(row) == width[mark] for row in rows[mark])
    fitting = [mark for mark in DELIMITERS if even(mark)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        may_be = " or ".join(f"{mark!r} ({width[mark]} columns)" for mark in fitting)
        raise DataError(
            f"'{file}' may be delimited by {may_be}: say which, delimiter={fitting[0]!r}"
        )
    most = max(DELIMITERS, key=lambda mark: width[mark])
    if width[most] > 1 or not even(SPACES) or len(rows[SPACES]) == 1:
        return most
    if all(numeric(cell) or cell in MISSING for row in rows[SPACES][1:] for cell in row):
        return SPACES
    raise DataError(
        f"'{file}' may have {width[SPACES]} columns delimited by spaces or one column of words: "
        f"say which, delimiter=' ' or delimiter=','"
    )


def _sample(file: pathlib.Path, mark: str) -> list[list[str]]:
    """The first records; where quotes do not match, an empty one is the last."""
    lines = []
    try:
        for _, cells in itertools.islice(records(file, mark), SAMPLE):
            lines.append(cells)
    except DataError:
        lines.append([])
    return lines


def numeric(cell: str) -> bool:
    """Whether a cell is a number with either decimal mark."""
    return as_number(cell) is not None or COMMA.fullmatch(cell) is not None


def notation(columns: dict[str, tuple[Any, ...]], delimiter: str, dialect: Dialect) -> Notation:
    """The one declared; else a decimal comma where commas delimit nothing and cannot be otherwise.

    That is: some number has a comma that cannot be one of thousands, and none has a point.
    """
    thousands = dialect.thousands
    if dialect.decimal or thousands or delimiter == ",":
        return Notation(dialect.decimal or ("," if thousands == "." else "."), thousands)
    cells = [cell for column in columns.values() for cell in column if cell is not None]
    commas = [cell for cell in cells if "," in cell and COMMA.fullmatch(cell)]
    sure = any(not THOUSANDS.fullmatch(cell) for cell in commas)
    pointed = sure and any("." in cell and as_number(cell) is not None for cell in cells)
    return Notation("," if sure and not pointed else ".")


def named(
    header: list[str], rows: list[list[str | None]], wanted: bool | None, where: str
) -> dict[str, tuple[Any, ...]]:
    """The columns by name, without those that hold nothing but the numbers of rows, or nothing.

    Args:
      header: the file's first line.
      rows: those below it, None for missing values.
      wanted: columns wanted, see `Dialect.header`.
      where: file and line of the header, for messages.

    Raises:
      DataError: names that are missing or not unique, or that look like values.
    """
    columns = list(zip(*rows, strict=True))
    if wanted is None:
        _check_header(header, columns, where)
    choices = {}
    for i, (name, column) in enumerate(zip(header, columns, strict=True)):
        if i == 0 and name in NAMELESS:
            if _is_row_numbers(column):
                continue
            name = name or INDEX
        if not name and all(cell is None for cell in column):
            continue  # a delimiter at the end of every line
        if not name or name in choices:
            raise DataError(f"{where}: a column's name {name!r} is empty or not unique")
        choices[name] = column
    return choices


def _is_row_numbers(column: Sequence[str | None]) -> bool:
    first = column[0]
    return first in ("0", "1") and all(cell == str(i) for i, cell in enumerate(column, int(first)))


def _check_header(header: list[str], columns: list[tuple[Any, ...]], where: str) -> None:
    """Raises DataError where the first line looks like the values below it."""
    number = [numeric(cell) for cell in header]
    value = [
        bool(cell) and not n and cell in column
        for cell, n, column in zip(header, number, columns, strict=True)
    ]
    fraction = any(n and not cell.isdigit() for cell, n in zip(header, number, strict=True))
    alike = all(a or b for a, b in zip(number, value, strict=True))
    if alike or fraction or (any(number) and any(value)):
        raise DataError(
            f"{where} must name the columns, got {header!r:.100}; header=False if it is the first "
            "row of values, header=True if these are names"
        )
