"""Signals that would end the process as a question that the loop asks between dispatches."""

import itertools
import signal
import threading
from typing import Any

from jax.experimental import multihost_utils

from ae_jax.training.parallel import processes

SIGNALS = (signal.SIGTERM, signal.SIGINT)
WARNINGS = tuple(
    getattr(signal, name) for name in ("SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)
"""What is always taken; and what is taken where it would end the process: a terminal that closes,
and what schedulers send some time before they end a job."""
_asked = itertools.count(1)  # JAX picks the number after the highest that any process has asked by


class Preemption:
    """While open, the first SIGTERM or SIGINT is noted instead of ending the process.

    A second one ends it at once. `WARNINGS` are noted as often as they come, unless they are
    ignored (nohup) or have a handler already. Only the main thread can take signals; elsewhere
    none is taken.
    With several processes JAX takes SIGTERM, from the moment they join, and lets all of them agree
    on the step to stop at; all others are passed on as SIGTERM.

    Attributes:
      signal: what stopped the run; None as long as nothing did.
    """

    def __init__(self):
        """Not yet listening."""
        self.signal: int | None = None
        self.several = processes.several()
        self._passed_on = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Preemption":
        """Starts listening."""
        if threading.current_thread() is threading.main_thread():
            handlers = dict.fromkeys(taken(), self._take)
            if self.several:
                handlers = dict.fromkeys(set(handlers) - {signal.SIGTERM}, self._pass_on)
            self._previous = {n: signal.signal(n, handler) for n, handler in handlers.items()}
        return self

    def __exit__(self, *error: Any) -> None:
        """Puts the previous handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def stops(self, wanted: bool = False) -> bool:
        """Whether the run is to stop: the same answer in every process, asked once a dispatch.

        Args:
          wanted: whether this process stops for a reason of its own; all will stop soon.
        """
        if wanted and not self.several:
            return True
        if wanted and not self._passed_on:
            self._passed_on = True
            signal.raise_signal(signal.SIGTERM)
        if self.several and multihost_utils.reached_preemption_sync_point(next(_asked)):
            self.signal = signal.SIGTERM
        return self.signal is not None

    def _take(self, number: int, frame: Any) -> None:
        del frame
        self.signal = self.signal or number
        if number in SIGNALS:
            self.__exit__()

    def _pass_on(self, number: int, frame: Any) -> None:
        del frame
        if number in SIGNALS:
            self.__exit__()
        if number not in SIGNALS and self._passed_on:
            return
        self._passed_on = True
        signal.raise_signal(signal.SIGTERM)


def taken() -> list[int]:
    """The signals that ask a run, or a queue of runs, to save and stop."""
    return [*SIGNALS, *(n for n in WARNINGS if signal.getsignal(n) == signal.SIG_DFL)]
