"""SIGTERM and Ctrl-C as a question that the loop asks between dispatches."""

import itertools
import signal
import threading
from typing import Any

from jax.experimental import multihost_utils

from ae_jax.training import processes

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_asked = itertools.count(1)  # JAX picks the number after the highest that any process has asked by


class Preemption:
    """While open, the first SIGTERM or SIGINT is noted instead of ending the process.

    A second one ends it at once. Only the main thread can take signals; elsewhere none is taken.
    With several processes JAX takes SIGTERM, from the moment they join, and lets all of them agree
    on the step to stop at; SIGINT is passed on as SIGTERM.

    Attributes:
      signal: what stopped the run; None as long as nothing did.
    """

    def __init__(self):
        """Not yet listening."""
        self.signal: int | None = None
        self.several = processes.several()
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Preemption":
        """Starts listening."""
        if threading.current_thread() is threading.main_thread():
            handlers = dict.fromkeys(SIGNALS, self._take)
            if self.several:
                handlers = {signal.SIGINT: self._pass_on}
            self._previous = {n: signal.signal(n, handler) for n, handler in handlers.items()}
        return self

    def __exit__(self, *error: Any) -> None:
        """Puts the previous handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def stops(self) -> bool:
        """Whether the run is to stop: the same answer in every process, asked once a dispatch."""
        if self.several and multihost_utils.reached_preemption_sync_point(next(_asked)):
            self.signal = signal.SIGTERM
        return self.signal is not None

    def _take(self, number: int, frame: Any) -> None:
        del frame
        self.signal = number
        self.__exit__()

    def _pass_on(self, number: int, frame: Any) -> None:
        del number, frame
        self.__exit__()
        signal.raise_signal(signal.SIGTERM)
