"""What a workdir remembers of every start of its run: `starts.json`, and the goodput from it."""

from typing import Any

FILE = "starts.json"


class Starts:
    """The starts of one run, the present one last.

    Attributes:
      restarts: how many came before this one.
      lost_steps: steps taken again, since no checkpoint held them.
    """

    def __init__(self, workdir: Any | None, first_step: int):
        """Adds this start.

        Args:
          workdir: `etils.epath.Path`; None keeps nothing.
          first_step: where it begins.
        """
        self.file, before, reached = None, [], first_step
        if workdir is not None:
            from ae_jax import _workdir as storage

            self.file = workdir / FILE
            before = storage.read_json(self.file) if self.file.exists() else []
            reached = max((p["step"] for p in storage.read_metrics(workdir)), default=0)
        lost = max(0, reached - first_step)
        self.all = [*before, {"first_step": first_step, "lost_steps": lost}]
        self.restarts = len(before)
        self.lost_steps = sum(start["lost_steps"] for start in self.all)
        self._write()

    def note(self, step: int, step_seconds: float, wall_seconds: float) -> None:
        """Remembers how far this start has come, for the case that it is killed.

        Args:
          step: steps taken in all.
          step_seconds: spent in this start's steps, waiting for input left out.
          wall_seconds: since this start began.
        """
        self.all[-1] |= {"step": step, "step_seconds": step_seconds, "wall_seconds": wall_seconds}
        self._write()

    def goodput(self) -> float | None:
        """The share of the time of all starts that went into steps that count.

        Time in which no process ran is not counted; that between a killed start's last note and
        its end is taken from its lost steps. None before anything was noted.
        """
        useful = wall = 0.0
        for start, following in zip(self.all, [*self.all[1:], None], strict=True):
            taken = start.get("step", start["first_step"]) - start["first_step"]
            seconds = start.get("step_seconds", 0.0)
            wall += start.get("wall_seconds", 0.0)
            if taken > 0:
                kept, missed = taken, 0
                if following is not None:
                    kept = min(taken, max(0, following["first_step"] - start["first_step"]))
                    missed = following["lost_steps"] - (taken - kept)
                useful += seconds * kept / taken
                wall += seconds * max(0, missed) / taken
        return useful / wall if wall else None

    def _write(self) -> None:
        if self.file is not None:
            from ae_jax import _workdir as storage

            storage.write_json(self.file, self.all)
