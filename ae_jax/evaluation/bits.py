"""Bits a dimension, and what they are counted for: masses, densities, integers under a density."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.data.preprocessing import on_device
from ae_jax.data.source import Records
from ae_jax.errors import DataError

NOTES = {
    "dequantised": "of integers x, by the density at x + u, u uniform within ±1/2",
    "density": "of a density, which changes with the data's units",
}


def bits_per_dim(log_px: Any, dimensions: Any, log_jacobian: Any = 0.0) -> float:
    """-Σ (log p + log |∂x'/∂x|) / (log 2 · Σ D): bits to tell one entry of x.

    Args:
      log_px: log p(x') of preprocessed examples, nats, `[n]`.
      dimensions: D, how many entries of each are observed, `[n]` or one number.
      log_jacobian: log |det ∂x'/∂x| of the preprocessing x' of x, `[n]` or one number: with x' =
        (x - c) / s it is -Σ log s. 0 for a mass, which no change of units changes.

    Returns:
      Bits a dimension in the units of x.

    Example:
      >>> import numpy as np
      >>> round(bits_per_dim(np.full(3, 2 * np.log(1 / 256)), 2), 6)  # 256 grey levels, uniform
      8.0
      >>> round(bits_per_dim(np.zeros(3), 2, -2 * np.log(256)), 6)  # density 1 on [0, 1]
      8.0
    """
    nats = np.asarray(log_px, np.float64) + np.asarray(log_jacobian, np.float64)
    total = np.broadcast_to(np.asarray(dimensions, np.float64), nats.shape).sum()
    if nats.ndim != 1 or not nats.size or not total > 0:
        raise DataError(
            f"bits a dimension need log p(x) [n] and dimensions above 0, got {nats.shape} and "
            f"{total:g} dimensions"
        )
    return float(-nats.sum() / (math.log(2) * total))


class Bits(NamedTuple):
    """What bits are counted for: see `likelihood_bound`.

    Attributes:
      what: "mass", "density", "dequantised", or why there is nothing to count.
      counted: whether there is.
      log_slopes: log |∂x'/∂x| of every entry of x' under a density, 0 of all others.
      continuous: bool, which entries are under a density, `[*event]`.
    """

    what: str
    counted: bool
    log_slopes: Any
    continuous: np.ndarray

    @classmethod
    def of(cls, run: Any) -> "Bits":
        """Those of a run, before its data are seen."""
        continuous = ~np.broadcast_to(run.model.likelihood.discrete, run.spec.event_shape)
        if not continuous.any():
            return cls("mass", True, 0.0, continuous)
        device, host = on_device(run.preprocessing), run.preprocessing.host
        zeros = jnp.zeros((1, *run.data_shape))
        spread = jnp.ones(()) if host is None else jnp.asarray(host.spread, zeros.dtype)
        tangent = jnp.broadcast_to(1 / spread, zeros.shape)
        changes: Any = jax.jvp(lambda x: device.apply(x), (zeros,), (tangent,))[1]
        slopes = np.abs(np.asarray(changes[0], np.float64))
        if not slopes.any() or not np.isfinite(slopes).all():
            why = (
                "bits a dimension of a density need preprocessing with a derivative, such as scale "
                f"or standardise, got {run.preprocessing.node}"
            )
            return cls(why, False, 0.0, continuous)
        log_slopes = np.where(continuous, np.log(np.where(slopes > 0, slopes, 1)), 0)
        return cls("density", True, log_slopes, continuous)

    def dequantised(self, run: Any, piece: Records, seed: int) -> tuple[Any, "Bits"]:
        """Integers under a density with uniform noise within ±½ added, all else as it is."""
        x, inside = np.asarray(piece.x), self.continuous
        if self.what not in NOTES or x.dtype.kind not in "biu":
            return piece.x, self
        noise = np.random.default_rng(seed).uniform(-0.5, 0.5, x.shape)
        noisy = x + (np.where(inside, noise, 0) if inside.shape == x.shape[1:] else noise)
        noisy = noisy if piece.observed is None else np.where(piece.observed, noisy, 0)
        try:
            run.model.likelihood.validate(np.asarray(run.preprocessing.apply(noisy)))
        except DataError as error:
            return piece.x, self._replace(what=f"dequantised: {error}", counted=False)
        return noisy, self._replace(what="dequantised")
