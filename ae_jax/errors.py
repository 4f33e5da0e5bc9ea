"""Every error ae_jax raises on purpose; each is also the built-in that a user would catch."""

import difflib
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
