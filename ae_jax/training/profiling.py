"""A trace of a few chosen steps, for XProf, TensorBoard or Perfetto."""

import sys
import tempfile
from typing import Any

import jax

from ae_jax._workdir import is_local
from ae_jax.errors import ConfigError

FOLDER = "profile"


class Profiler:
    """Traces the steps from `first` up to `last` into a folder; the steps compute the same.

    A trace that cannot be made is told of, and the run goes on without it.

    Attributes:
      active: whether a trace is being made.
    """

    def __init__(self, steps: tuple[int, int] | None = None, folder: Any = None):
        """Traces nothing yet.

        Args:
          steps: `(first, last)`: the trace holds the steps after `first` have been taken and until
            `last` have been; None: it traces nothing.
          folder: `etils.epath.Path`; None, with steps: only stop where the others trace.

        Raises:
          ConfigError: the steps are not in order.
        """
        if steps is not None and not 0 <= steps[0] < steps[1]:
            raise ConfigError(f"profile must be FIRST:LAST with 0 <= FIRST < LAST, got {steps}")
        self.steps, self.folder, self.active = steps, folder, False
        self.local: Any = None

    def stops(self, step: int) -> list[int]:
        """At which steps after this one a dispatch has to end."""
        return [] if self.steps is None else [stop for stop in self.steps if stop > step]

    def before(self, step: int) -> bool:
        """Starts the trace if the next dispatch belongs to it; returns whether it does."""
        inside = self.steps is not None and self.steps[0] <= step < self.steps[1]
        if inside and not self.active and self.folder is not None:
            store = self.folder if is_local(self.folder) else tempfile.mkdtemp(prefix=FOLDER)
            self.local, self.active = store, self._tried(jax.profiler.start_trace, str(store))
            self.folder = self.folder if self.active else None
        return inside

    def after(self, step: int) -> None:
        """Ends the trace if the dispatch before was its last."""
        if self.active and self.steps is not None and step >= self.steps[1]:
            self.close()

    def close(self) -> None:
        """Ends the trace, if one is being made, and writes it."""
        if not self.active:
            return
        self.active = False
        if self._tried(jax.profiler.stop_trace) and self.local is not self.folder:
            self._tried(_copy, self.local, self.folder)
        self.folder = None

    def _tried(self, do: Any, *arguments: Any) -> bool:
        try:
            do(*arguments)
        except Exception as error:  # whatever the profiler raises must not end a run
            print(f"no profile was written: {error}", file=sys.stderr, flush=True)
            return False
        return True


def _copy(source: str, target: Any) -> None:
    """Copies a folder's files to a store that the profiler itself cannot write."""
    from etils import epath

    for path in epath.Path(source).glob("**/*"):
        if path.is_file():
            there = target / str(path.relative_to(source))
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(path.read_bytes())
