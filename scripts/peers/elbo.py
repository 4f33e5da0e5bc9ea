"""Time to a fixed test −ELBO, from the start of a process with nothing compiled yet."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from peers.runner import OURS, Runner, entries

WORKLOAD = "vae"
SOURCE = "tfds:fashion_mnist"
TARGET = 248.0
EPOCHS = 10
"""Of grey Fashion-MNIST, on which ae_jax comes below 248 nats in the fifth epoch."""
Point = Sequence[float]  # epoch, seconds, nats


def run(
    runner: Runner, source: str = SOURCE, target: float = TARGET, epochs: int = EPOCHS
) -> list[dict[str, Any]]:
    """Trains the workload `vae` with each admitted variant, in turns, and compares the curves.

    Args:
      runner: whose options say which peers and how many processes.
      source: of images 28 by 28, which must be there.
      target: nats.
      epochs: of each run; the whole curve is kept.

    Returns:
      Rows, ae_jax's first; see `rows`.
    """
    where = f"{WORKLOAD}-elbo"
    fixed = {"mode": "elbo", "folder": runner.data(where), "steps_per_call": 0}
    fixed |= {"target": target, "epochs": epochs}
    job = runner.job(WORKLOAD, mode="prepare", folder=runner.data(where), source=source)
    if runner.once(f"{where}/prepare", job)["status"] != "ok":
        return []
    runner.prepare(WORKLOAD)
    sides = {(side.peer, side.variant): side for side in entries(runner.options, WORKLOAD)}
    admitted = {k: s for k, s in sides.items() if runner.admit(WORKLOAD, s)["status"] == "ok"}
    found: dict[str, list[Any]] = {}
    for turn in range(runner.options.elbo_processes):
        for peer, variant in admitted:
            own = runner.job(WORKLOAD, peer=peer, variant=variant, seed=turn, **fixed)
            record = runner.once(f"{where}/{peer}-{variant}/{turn}", own, cold=True)
            if record["status"] == "ok":
                found.setdefault(f"{peer}-{variant}", []).append(record)
    return rows(found, target)


def rows(found: dict[str, list[Any]], target: float) -> list[dict[str, Any]]:
    """One row a variant.

    Args:
      found: its records.
      target: nats.

    Returns:
      Plain values: "name"; "seconds_to_target", the median over processes, None where one never
      came there; "curve", medians of (epoch, seconds, nats); "slower_start" and "caught_up_at", of
      `caught_up` against ae_jax; "target".
    """
    curves = {name: _median_curve([r["points"] for r in own]) for name, own in found.items()}
    ours = next((curve for name, curve in curves.items() if name.startswith(f"{OURS}-")), None)
    made = []
    for name, own in found.items():
        times = [record["seconds_to_target"] for record in own]
        slower, at = (None, None) if ours is None else caught_up(ours, curves[name])
        made.append(
            {
                "name": name,
                "target": target,
                "seconds_to_target": None if None in times else float(np.median(times)),
                "curve": curves[name],
                "slower_start": slower,
                "caught_up_at": at,
            }
        )
    return made


def caught_up(ours: Sequence[Point], theirs: Sequence[Point]) -> tuple[str | None, int | None]:
    """Who ends the first epoch later, and from which epoch on that side is no longer behind.

    Args:
      ours: (epoch, seconds, …) at the end of each epoch, or a little after; between them time is
        linear.
      theirs: likewise.

    Returns:
      "ours" or "theirs", None if both end it together; the epoch, None if it stays behind.
    """
    sides = [np.asarray([point[:2] for point in curve], float) for curve in (ours, theirs)]
    last = int(min(side[-1, 0] for side in sides))
    epochs = np.arange(1, last + 1)
    own, other = (np.interp(epochs, side[:, 0], side[:, 1]) for side in sides)
    behind = own - other
    if behind[0] == 0:
        return None, 1
    slower = "ours" if behind[0] > 0 else "theirs"
    late = np.flatnonzero(behind * np.sign(behind[0]) > 0)
    after = int(late[-1]) + 1
    return slower, int(epochs[after]) if after < len(epochs) else None


def _median_curve(curves: Sequence[Sequence[Point]]) -> list[list[float]]:
    return np.median(np.asarray(curves, float), axis=0).tolist()
