"""Figures of a run in its workdir, and pictures for TensorBoard while it trains."""

from typing import Any

from ae_jax.data.source import Source
from ae_jax.runs.run import Run
from ae_jax.training.loop import Loop
from ae_jax.training.parallel import processes
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.plan import Plan
from ae_jax.types import Variables

UNFINISHED = ".unfinished"
"""Lies beside figures until all of them are drawn: the same command draws them again."""


class Pictures:
    """What is drawn of a run; nothing without a workdir, or with `evaluation.images` of 0."""

    def __init__(self, plan: Plan, run: Run, workdir: Any):
        """Draws nothing yet.

        Args:
          plan: of the run.
          run: whose compiled programs are used.
          workdir: where figures are kept, or None.
        """
        self.run, self.workdir = run, workdir
        self.split: Source = list(plan.dataset.splits.values())[-1]
        self.count = plan.config.evaluation.images
        self.wanted = workdir is not None and bool(self.count)

    def show(self, loop: Loop) -> None:
        """Gives the reporter pictures of examples, at the loop's step."""
        from ae_jax import figures
        from ae_jax.runs import gallery

        if not self.wanted or not gallery.is_image(self.run):
            return
        variables = loop.state.evaluated
        if processes.several():  # all of them gather what the first is to draw
            variables = Variables(*parallel.fetch(tuple(variables)))
        if not processes.is_first():
            return
        run = self.run.holding(variables)
        for name, sets in gallery.example_sets(run, self.split, self.count).items():
            rows = figures.interleave(list(sets.values()))
            pictures = figures.to_pictures(rows, *run.display_range)
            loop.reporter.image(loop.step, name, figures.grid(pictures))

    def draw(self, variables: Variables) -> None:
        """Draws the figures of a run that has ended."""
        if not self.wanted:
            return
        from ae_jax import _workdir as storage
        from ae_jax.runs import gallery

        folder, run = self.workdir / storage.FIGURES, self.run.holding(variables)
        with storage.writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / UNFINISHED).write_text("")
            metrics = storage.read_metrics(self.workdir)
            gallery.draw(run, folder, self.split, self.count, metrics)
            (folder / UNFINISHED).unlink()

    def missing(self) -> bool:
        """Whether the figures of a finished run were never drawn to the end."""
        from ae_jax import _workdir as storage

        folder = self.workdir / storage.FIGURES
        return not folder.exists() or (folder / UNFINISHED).exists()
