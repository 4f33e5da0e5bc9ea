"""Checks of a host array against a likelihood's support, before anything is compiled."""

import numpy as np

from ae_jax.errors import DataError


class OutsideSupport(DataError):
    """A value that a likelihood cannot explain, and where it stands.

    Attributes:
      got: what the likelihood needs and the value it got.
      place: the value's index in the array.
      hint: the range of the data and what the user could do.
      column: whether to name the last index as a column.
    """

    def __init__(self, got: str, place: tuple[int, ...], hint: str, column: bool = False):
        super().__init__(got, place, hint, column)
        self.got, self.place, self.hint, self.column = got, place, hint, column

    def __str__(self) -> str:
        """The fields as one sentence."""
        column = f"column {self.place[-1]}: " if self.column else ""
        return f"{column}{self.got} at {self.place} {self.hint}"

    def in_table(self, first: int) -> "OutsideSupport":
        """The same value's error in a table in which the array's columns begin at `first`."""
        *rows, column = self.place
        return OutsideSupport(self.got, (*rows, column + first), self.hint, column=True)


def anything(x: np.ndarray) -> None:
    """The check of a likelihood whose support is all numbers; nothing need be looked at for it."""
    del x


def require(name: str, x: np.ndarray, outside: np.ndarray, needs: str, instead: str) -> None:
    """Raises OutsideSupport for the first value that is outside.

    Args:
      name: the likelihood's name.
      x: the data, any shape.
      outside: bool, of the shape of x.
      needs: the values allowed, after "needs".
      instead: what the user could do.
    """
    if outside.any():
        place = tuple(int(i) for i in np.unravel_index(np.argmax(outside), x.shape))
        value = str(x[place]).removesuffix(".0")
        extent = f"data range {float(np.nanmin(x)):g} to {float(np.nanmax(x)):g}"
        raise OutsideSupport(
            f"the {name} likelihood needs {needs}, got {value}", place, f"({extent}); {instead}"
        )


def require_range(name: str, x: np.ndarray, low: float, high: float, instead: str) -> None:
    """Raises OutsideSupport with the first value outside [low, high] and where it stands.

    Args:
      name: the likelihood's name.
      x: the data, any shape; NaN is left to the check for finite data.
      low: smallest value allowed.
      high: largest value allowed.
      instead: what the user could do.
    """
    outside = (x < low) | (x > high)
    require(name, x, outside, f"values in [{low:g}, {high:g}]", instead)


def require_whole(name: str, x: np.ndarray, high: int | None, instead: str) -> None:
    """Raises OutsideSupport with the first value that is not one of 0, 1, …, high.

    Args:
      name: the likelihood's name.
      x: the data, any shape; NaN is left to the check for finite data.
      high: largest value allowed; None: any.
      instead: what the user could do.
    """
    outside = (x < 0) | ((x != np.floor(x)) & ~np.isnan(x))
    if high is None:
        return require(name, x, outside, "whole numbers from 0 on", instead)
    return require(name, x, outside | (x > high), f"whole numbers in [0, {high}]", instead)
