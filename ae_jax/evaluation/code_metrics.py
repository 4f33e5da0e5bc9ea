"""How codes are used, units of a sparse one too, and what they leave unexplained."""

from typing import Any, NamedTuple

import numpy as np

from ae_jax.data.batches import to_batch
from ae_jax.errors import DataError, ShapeError
from ae_jax.evaluation.rates import examples
from ae_jax.precision import compiled_in_float32


class UnitUsage(NamedTuple):
    """How many units of a sparse code each example used, and how often each unit was.

    Attributes:
      l0: int64 `[n]`, units other than 0.
      uses: int64 `[units]`, examples for which each was other than 0.
    """

    l0: np.ndarray
    uses: np.ndarray

    @property
    def dead_share(self) -> float:
        """The share of units that no example used."""
        return float(np.mean(self.uses == 0))

    def to_dict(self) -> dict[str, float]:
        """The rows of a table."""
        return {"l0": float(self.l0.mean()), "dead_units": self.dead_share}


def unit_usage(z: Any) -> UnitUsage:
    """Which units of a code are in use, that is other than 0.

    Args:
      z: codes `[n, *latent]`.

    Returns:
      A UnitUsage.

    Raises:
      DataError: there are none.

    Example:
      >>> import numpy as np
      >>> use = unit_usage(np.array([[0.0, 2.0, 0.0], [1.0, 2.0, 0.0]]))
      >>> use.l0.tolist(), use.uses.tolist(), round(use.dead_share, 4)
      ([1, 2], [1, 2, 0], 0.3333)
    """
    z = np.asarray(z)
    if z.ndim < 2 or not z.size:
        raise DataError(f"codes must be [n, *latent], got shape {z.shape}")
    used = (z != 0).reshape(len(z), -1)
    return UnitUsage(used.sum(axis=1), used.sum(axis=0))


class Unexplained:
    """Σ (x - x̂)² / Σ (x - x̄)² over observed entries, x̄ the mean of each; piece by piece."""

    def __init__(self):
        """Nothing is added yet."""
        self.error, self.count, self.mean, self.square = 0.0, 0.0, 0.0, 0.0

    def add(self, x: Any, again: Any, observed: Any = None) -> None:
        """More examples, each `[n, *event]`; moments are merged without cancellation."""
        x, again = np.asarray(x, np.float64), np.asarray(again, np.float64)
        if x.shape != again.shape:
            raise ShapeError(
                f"reconstructions must have the shape of x {x.shape}, got {again.shape}"
            )
        seen = np.ones(x.shape, bool) if observed is None else np.asarray(observed, bool)
        self.error = self.error + np.sum(np.where(seen, x - again, 0) ** 2)
        new = seen.sum(axis=0).astype(np.float64)
        mean = np.where(seen, x, 0).sum(axis=0) / np.maximum(new, 1)
        square = np.where(seen, x - mean, 0) ** 2
        total = np.maximum(self.count + new, 1)
        shift = mean - self.mean
        self.square = self.square + square.sum(axis=0) + shift**2 * self.count * new / total
        self.mean = self.mean + shift * new / total
        self.count = self.count + new

    @property
    def value(self) -> float:
        """The fraction.

        Raises:
          DataError: x does not vary.
        """
        whole = float(np.sum(self.square))
        if not whole > 0:
            raise DataError("x does not vary, so that there is no variance to explain")
        return float(self.error / whole)


def fraction_of_variance_unexplained(x: Any, again: Any, observed: Any = None) -> float:
    """Σ (x - x̂)² / Σ (x - x̄)², x̄ the mean of each entry over examples: 1 - R².

    0 is perfect, 1 as good as the mean; the measure of reconstruction that sparse autoencoders are
    compared by (Gao et al. 2024, "Scaling and evaluating sparse autoencoders").

    Args:
      x: `[n, *event]`.
      again: x̂, of the same shape.
      observed: bool, of the same shape, entries that count; None: all.

    Returns:
      The fraction, in float64.

    Raises:
      ShapeError: the shapes differ.
      DataError: x does not vary.

    Example:
      >>> import numpy as np
      >>> x = np.array([[0.0], [2.0]])
      >>> fraction_of_variance_unexplained(x, x + 0.5)
      0.25
    """
    total = Unexplained()
    total.add(x, again, observed)
    return total.value


@compiled_in_float32()
def code_metrics(run: Any, data: Any = None) -> dict[str, float]:
    """How a split's codes are used, and what they leave unexplained: all that fits the model.

    Args:
      run: a Run.
      data: `[n, *event]`, a source such as `ae.data.load(…).test`, or None: the test split of the
        run's own data source. x is not corrupted; codes are the posterior's means.

    Returns:
      Where the bottleneck quantises, "codes_used", "code_perplexity" and "dead_codes", the share
      never used: means over its codebooks (see `Run.code_use`). Of other codes with units at 0,
      "l0", the mean number of units in use, and "dead_units", the share that none of the examples
      uses (see `unit_usage`). Of numbers, "variance_unexplained" in the model's units (see
      `fraction_of_variance_unexplained`), unless x
      does not vary.
    """
    model = run.model
    numeric = model.likelihood.score is None  # tokens and categories have no distance

    def coded(variables, records):
        batch = to_batch(records, np.zeros(len(records.x), np.uint32), run.preprocessing)
        extras = dict(batch.extras)
        z = model.encode(variables, batch.x, None, batch.observed, extras)
        used = (z != 0).reshape(len(z), -1)
        row: dict[str, Any] = {"used": used}
        if numeric:
            again = model.decode(variables, z, extras, batch.x, batch.observed)
            row |= {"x": batch.x, "again": again, "observed": batch.observed}
        return row

    l0, uses = [], np.zeros((), np.int64)
    unexplained = Unexplained()
    for records, _ in examples(run, data):
        seen = run.over_examples("code metrics", coded)(run.variables, records)
        units = unit_usage(seen["used"])
        l0, uses = [*l0, units.l0], uses + units.uses
        if numeric:
            unexplained.add(seen["x"], seen["again"], seen["observed"])
    rows: dict[str, float] = {}
    units = UnitUsage(np.concatenate(l0), uses)
    if model.bottleneck.codes is not None:
        use = run.code_use(data)
        rows["codes_used"] = float(use.used.mean())
        rows["code_perplexity"] = float(use.perplexity.mean())
        rows["dead_codes"] = float(1 - use.used.mean() / use.size)
    elif (units.l0 < len(uses)).any():
        rows |= units.to_dict()
    if numeric and np.sum(unexplained.square) > 0:
        rows["variance_unexplained"] = unexplained.value
    return rows
