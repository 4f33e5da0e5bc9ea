"""SIGTERM and Ctrl-C as a flag that the loop looks at between dispatches."""

import signal
import threading
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Preemption:
    """While open, the first SIGTERM or SIGINT sets `signal` instead of ending the process.

    A second one ends it at once. Only the main thread can take signals; elsewhere none is taken.
    """

    def __init__(self):
        """Not yet listening."""
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Preemption":
        """Starts listening."""
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._take) for number in SIGNALS}
        return self

    def __exit__(self, *error: Any) -> None:
        """Puts the previous handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _take(self, number: int, frame: Any) -> None:
        del frame
        self.signal = number
        self.__exit__()
