"""TensorBoard's event files, written at once: a thread would hide that a disk is full."""

import os
import time
from typing import Any

import numpy as np

from ae_jax._workdir import TENSORBOARD, writing


class Board:
    """The event file of one start of a run."""

    def __init__(self, workdir: Any, first_step: int):
        """Opens the file.

        Args:
          workdir: `etils.epath.Path`.
          first_step: step at which this start begins.
        """
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.record_writer import directory_check

        self.folder = os.fspath(workdir / TENSORBOARD)
        with writing(self.folder):
            directory_check(self.folder)
            self.file = EventsWriter(os.path.join(self.folder, "events"), f".{first_step}")

    def scalar(self, name: str, value: float, step: int) -> None:
        """Adds one number."""
        from tensorboardX import summary

        self._add(summary.scalar(name, value), step)

    def image(self, name: str, picture: np.ndarray, step: int) -> None:
        """Adds a picture `[h, w, 3]` in [0, 1]."""
        from tensorboardX import summary

        self._add(summary.image(name, picture, dataformats="HWC"), step)

    def _add(self, summary: Any, step: int) -> None:
        from tensorboardX.proto import event_pb2

        event = event_pb2.Event(  # pyright: ignore[reportAttributeAccessIssue]
            wall_time=time.time(), step=step, summary=summary
        )
        with writing(self.folder):
            self.file.write_event(event)

    def flush(self) -> None:
        """Makes everything written so far durable."""
        with writing(self.folder):
            self.file.flush()

    def close(self) -> None:
        """Flushes and closes."""
        with writing(self.folder):
            self.file.close()
