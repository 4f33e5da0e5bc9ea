"""The tables that scikit-learn's wheel carries, read without importing scikit-learn."""

import importlib.util
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ae_jax._registry import SOURCES
from ae_jax.data.dataset import TEST_FRACTION, Dataset
from ae_jax.data.sources import table
from ae_jax.data.sources.cells import Cells
from ae_jax.errors import MissingFileError, UnknownNameError, nearest

CELL = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
WINE = (
    "alcohol",
    "malic acid",
    "ash",
    "alcalinity of ash",
    "magnesium",
    "total phenols",
    "flavanoids",
    "nonflavanoid phenols",
    "proanthocyanins",
    "color intensity",
    "hue",
    "od280/od315 of diluted wines",
    "proline",
)


class Embedded(NamedTuple):
    """One of them.

    Attributes:
      file: its name; the first line gives the categories, codes stand in the last column.
      numbers: the names of the other columns.
      category: that of the last.
    """

    file: str
    numbers: Sequence[str]
    category: str


TABLES = {
    "breast_cancer": Embedded(
        "breast_cancer.csv",
        [f"{what} {name}" for what in ("mean", "error of", "worst") for name in CELL],
        "diagnosis",
    ),
    "iris": Embedded(
        "iris.csv", ["sepal length", "sepal width", "petal length", "petal width"], "species"
    ),
    "wine": Embedded("wine_data.csv", WINE, "cultivar"),
}


@SOURCES.register
def tables(
    name: str,
    columns: Mapping[str, str] | Sequence[str] | None = None,
    label: str | None = None,
    test_fraction: float = TEST_FRACTION,
    kinds: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
) -> Dataset:
    """A table of numbers and one category, float32 `[n, columns]`, from scikit-learn's wheel.

    | name | rows | numbers | category, the last column |
    |---|---|---|---|
    | `breast_cancer` | 569 | 30, of cell nuclei | diagnosis, of 2 (Street et al. 1993, UCI) |
    | `iris` | 150 | 4 lengths, cm | species, of 3 (Fisher 1936) |
    | `wine` | 178 | 13, chemical | cultivar, of 3 (Aeberhard & Forina 1991, UCI) |

    Args:
      name: name of the table.
      columns: columns that make up x, as for `ae.data.csv`; None: all but the label.
      label: a column kept out of x that becomes the extra "label", e.g. "diagnosis".
      test_fraction: the share held out by `ae.data.split_mask`.
      kinds: kinds of some columns, see `ae.data.csv`.
      drop: columns that are left out.

    Returns:
      A Dataset of kind "table".

    Raises:
      UnknownNameError: no table, or none of its columns, has this name; the nearest is named.
      MissingFileError: scikit-learn is not installed.
    """
    if name not in TABLES:
        raise UnknownNameError(f"no embedded table is called '{name}'{nearest(name, TABLES)}")
    wanted = TABLES[name]
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise MissingFileError("the tables come with scikit-learn: pip install scikit-learn")
    path = pathlib.Path(spec.origin).parent / "datasets" / "data" / wanted.file
    header, *rows = (line.split(",") for line in path.read_text().splitlines())
    *numbers, codes = zip(*rows, strict=True)
    words = header[2:]  # behind the numbers of rows and columns
    cells = dict(zip(wanted.numbers, numbers, strict=True))
    cells[wanted.category] = tuple(words[int(code)] for code in codes)
    known = Cells(cells, str(path), lambda row: f"line {row + 2}")
    whole = table.to_dataset(known, columns, label, test_fraction, kinds, drop)
    return whole._replace(source=f"tables:{name}")
