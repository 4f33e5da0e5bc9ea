"""The cells of a table as they were read, and what a column of them holds: numbers or words."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ae_jax.errors import ConfigError, DataError, UnknownNameError, nearest

MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "?"),
)
"""What stands for a missing value: what pandas' `read_csv` takes for one, and "?" as in UCI's."""
MOSTLY = 0.5
"""A column of words of which this share look like numbers, or dates, is not taken for words."""
SHOWN = 3  # cells that a message names

GROUPS = r"\d{1,3}(?:[,.'’ \u00a0\u202f_]\d{3})+(?:[.,]\d*)?"
NUMBERLIKE = re.compile(
    rf"[(]?[-+−]?\s?[$€£¥]?\s?(?:{GROUPS}|\d+[.,]?\d*|[.,]\d+|\d+(?:_\d+)+)"
    r"(?:[eE][-+−]?\d+)?\s?[%$€£¥]?[)]?"
)
COMMA = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?")
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+")
TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s?(?:[AaPp][Mm])?\s?(?:Z|[-+]\d{2}:?\d{2})?"
DATE = re.compile(
    rf"(?:(?:\d{{4}}([-/.])\d{{1,2}}\1\d{{1,2}}|\d{{1,2}}([-/.])\d{{1,2}}\2\d{{4}}"
    r"|\d{2}([-/])\d{2}\3\d{2}|\d{4}-(?:0[1-9]|1[0-2])|\d{1,2}[- ][A-Za-z]{3,9}\.?[- ,]+\d{2,4}"
    rf"|[A-Za-z]{{3,9}}\.? \d{{1,2}},? \d{{4}})(?:[T ,]+{TIME})?|{TIME})"
)


class Notation(NamedTuple):
    """How numbers are written.

    Attributes:
      decimal: the mark before the fraction, "." or ",".
      thousands: what stands between groups of three digits; None: nothing does.
    """

    decimal: str = "."
    thousands: str | None = None

    def number(self, cell: Any) -> float | None:
        """The number, not necessarily finite, that a cell stands for; None if it is none."""
        if not isinstance(cell, str) or self == PLAIN:
            return as_number(cell)
        whole, mark, rest = cell.partition(self.decimal)
        if self.thousands and self.thousands in whole:
            first, *groups = whole.split(self.thousands)
            digits = first.lstrip("+-")
            if not 1 <= len(digits) <= 3 or any(len(g) != 3 or not g.isdigit() for g in groups):
                return None
            whole = first + "".join(groups)
        if self.decimal == "," and "." in whole + rest:
            return None
        return as_number(whole + mark.replace(",", ".") + rest)

    def check(self) -> "Notation":
        """Returns itself, or raises ConfigError for marks that cannot be."""
        if self.decimal not in (".", ","):
            raise ConfigError(f"decimal must be '.' or ',', got {self.decimal!r}")
        alone = self.thousands is None or (len(self.thousands) == 1 and self.thousands not in "+-")
        if not alone or self.thousands == self.decimal or (self.thousands or "").isalnum():
            raise ConfigError(
                f"thousands must be one character such as ',' and not the decimal mark "
                f"{self.decimal!r}, got {self.thousands!r}"
            )
        return self


PLAIN = Notation()


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """A table as it was read.

    Attributes:
      columns: columns by name, from left to right, all of one length; None stands for a missing
        value.
      file: name of the file, for messages.
      line: place where row i stands in the file, for messages, e.g. "line 3".
      notation: notation of its numbers.
    """

    columns: Mapping[str, Sequence[str | float | None]]
    file: str
    line: Callable[[int], str]
    notation: Notation = PLAIN

    def __getitem__(self, name: str) -> Sequence[str | float | None]:
        """The column of a name, or UnknownNameError with the nearest."""
        if name not in self.columns:
            hint = nearest(name, self.columns)
            raise UnknownNameError(f"'{self.file}' has no column '{name}'{hint}")
        return self.columns[name]

    def place(self, row: int) -> str:
        """File and line of a row, for messages."""
        return f"'{self.file}', {self.line(row)}"


def as_number(cell: Any) -> float | None:
    """The number, not necessarily finite, that a cell stands for; None if it is none."""
    try:
        return None if isinstance(cell, str) and "_" in cell else float(cell)
    except ValueError:
        return None


def infer(cells: Cells, name: str) -> str:
    """The kind of a column that is not declared: "number" if all its values are numbers.

    Returns:
      "number" or "category".

    Raises:
      DataError: at least half of its values, or of its different ones, look like numbers and some
        are none; or at least half look like dates. The first rows and what to do are named.
    """
    seen = [(row, cell) for row, cell in enumerate(cells[name]) if cell is not None]
    odd = [(row, str(cell)) for row, cell in seen if cells.notation.number(cell) is None]
    if not odd:
        return "number"
    dates = [(row, cell) for row, cell in odd if DATE.fullmatch(cell)]
    where = f"'{cells.file}', column '{name}'"
    category = f"kinds={{'{name}': 'category'}}"
    if len(dates) >= MOSTLY * len(seen):
        raise DataError(
            f"{where} holds dates or times ({_shown(cells, dates)}): write numbers instead, such "
            f"as days since the first, leave it out, drop=['{name}'], or take them for words, "
            f"{category}"
        )
    words = [(row, cell) for row, cell in odd if not NUMBERLIKE.fullmatch(cell)]
    alike = len(seen) - len(words)
    different = len({cell for _, cell in seen}) or 1
    if alike < MOSTLY * len(seen) and len({cell for _, cell in words}) > MOSTLY * different:
        return "category"
    if not words:
        raise DataError(
            f"{where} looks like numbers, but is not written as plain ones ({_shown(cells, odd)}): "
            "say what the mark means, decimal=',' or thousands=',', say, or take them for words, "
            f"{category}"
        )
    first = ", ".join(repr(cell) for cell in dict.fromkeys(cell for _, cell in words[:SHOWN]))
    raise DataError(
        f"{where} is mostly numbers ({alike} of {len(seen)}), but not all ({_shown(cells, words)}):"
        f" if such cells stand for missing values, add them, missing=[{first}]; if the column is "
        f"one of words, {category}"
    )


def _shown(cells: Cells, faulty: Sequence[tuple[int, str]]) -> str:
    named = ", ".join(f"{cell!r:.40} in {cells.line(row)}" for row, cell in faulty[:SHOWN])
    return named + (f" and {len(faulty) - SHOWN} more" if len(faulty) > SHOWN else "")
