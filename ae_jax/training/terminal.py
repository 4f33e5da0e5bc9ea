"""Lines for the user, who may have gone: a closed pipe or terminal must not end a run unsaved."""

import contextlib
import os
import sys
from typing import Any


def say(text: str) -> bool:
    """Prints a line on stderr.

    Args:
      text: text of the line, or of several.

    Returns:
      Whether it could be written.
    """
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        return False
    return True


def silence(stream: Any) -> None:
    """Leads a stream that nobody reads into nothing, so that Python's last flush does not fail.

    Args:
      stream: `sys.stdout` or `sys.stderr`.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        number = os.open(os.devnull, os.O_WRONLY)
        os.dup2(number, stream.fileno())
        os.close(number)
