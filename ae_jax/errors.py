"""Every error ae_jax raises on purpose; each is also the built-in that a user would catch."""

import difflib
import numbers
from collections.abc import Iterable


class AeJaxError(Exception):
    """The family: `except ae.errors.AeJaxError` catches whatever ae_jax raises on purpose.

    Attributes:
      shared: whether all processes of the run raise at the same place.
    """

    shared: bool = False


class ConfigError(AeJaxError, ValueError):
    """A config, an option or a part's argument is not what it must be."""


class UnknownNameError(ConfigError, KeyError):
    """No registry knows a name, or no section knows a field."""

    def __str__(self) -> str:
        """KeyError would print the repr of the message."""
        return str(self.args[0])


class ShapeError(AeJaxError, ValueError):
    """Two shapes that must meet do not."""


class DataError(AeJaxError, ValueError):
    """The data are empty, not finite, outside the likelihood's support or of the wrong shape."""


class PartError(AeJaxError, TypeError):
    """An object is not the kind of part that stands in this place."""


class MissingFileError(AeJaxError, FileNotFoundError):
    """A file or folder that must exist does not."""


class WorkdirError(AeJaxError, OSError):
    """The workdir cannot be written, or belongs to another config."""


class CacheError(AeJaxError, OSError):
    """The cache of a data set cannot be written."""


class CheckpointError(AeJaxError, RuntimeError):
    """No checkpoint of the workdir can be restored."""


class NonFiniteError(AeJaxError, FloatingPointError):
    """Loss or gradients were not finite for too many steps in a row."""

    shared = True


class ProcessError(AeJaxError, RuntimeError):
    """Another process of the run has stopped."""


class Preempted(SystemExit):
    """SIGTERM arrived; everything is saved. Left uncaught, the process exits with code 143."""

    def __init__(self, step: int):
        super().__init__(143)
        self.step = step


def nearest(name: object, known: Iterable[str]) -> str:
    """The hint at the end of an unknown-name message.

    Args:
      name: what the user wrote.
      known: the names that would have been right.

    Returns:
      `"; did you mean 'x'?"` when one is close, and the list of known names in any case.
    """
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"{hint} Known: {', '.join(known) if known else 'none'}."


def require_part_hidden(what: str, rate: float, patches: int) -> int:
    """How many of n patches a rate hides, round(rate · n): some of them, and not all.

    Args:
      what: the rate's name.
      rate: the part to hide.
      patches: n.

    Raises:
      ConfigError: none would be hidden, or all; the nearest rates are named.
    """
    hidden = round(rate * patches)
    if 0 < hidden < patches:
        return hidden
    if patches == 1:
        raise ConfigError(f"{what}={rate:g}: the example is one patch; take smaller patches")
    least, most = 1 / patches, (patches - 1) / patches
    raise ConfigError(
        f"{what}={rate:g} hides {hidden} of {patches} patches, which leaves nothing to "
        f"{'see' if hidden else 'fill in'}: the nearest is {most if hidden else least:.4g}, in all "
        f"{least:.4g} (1 patch) to {most:.4g} ({patches - 1})"
    )


def require_positive(**values: float) -> None:
    """Raises ConfigError for the first value that is not a number above zero, by its name."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not value > 0:
            raise ConfigError(f"{name} must be a positive number, got {value!r}")


def require_seed(**values: int) -> None:
    """Raises ConfigError for the first value that is no whole number in [0, 2³²), by its name.

    JAX folds larger seeds to 32 bits without a word, so that 2³² would be 0 again.
    """
    for name, value in values.items():
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not whole or not 0 <= value < 2**32:
            raise ConfigError(f"{name} must be a whole number from 0 to 2**32 - 1, got {value!r}")


def require_positive_ints(**values: int) -> None:
    """Raises ConfigError for the first value that is not a whole number above zero, by its name."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
            raise ConfigError(f"{name} must be a positive whole number, got {value!r}")


def require_whole(**values: int) -> None:
    """Raises ConfigError for the first value that is not a whole number from 0 on, by its name."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
            raise ConfigError(f"{name} must be a whole number from 0 on, got {value!r}")
