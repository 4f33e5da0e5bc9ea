"""Multivariate series made of sine waves of known factors."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from ae_jax._registry import SOURCES
from ae_jax.checks import require_positive_ints, require_seed
from ae_jax.data import order
from ae_jax.data.dataset import Dataset
from ae_jax.data.source import Records
from ae_jax.errors import ConfigError

NOISE = 2**20
"""How many noise values there are; each series takes a stretch of them."""
SLOWEST = 8  # samples that the fastest wave has a period, at least


@SOURCES.register
def waves(
    length: int = 128,
    channels: int = 4,
    components: int = 3,
    noise: float = 0.1,
    size: int = 10_000,
    test_size: int = 2_000,
    seed: int = 0,
) -> Dataset:
    """Series that mix a few sine waves, float32 `[length, channels]`, made as they are read.

    x_tc = Σ_k a_k sin(2π f_k t / length + φ_k) M_kc + σ ε_tc. For each series f_k is uniform in 1 …
    length / 8 (cycles a series), φ_k in 0 … 2π, a_k in 0.5 … 1.5, σ in 0 … 2 · noise; M, standard
    normal, is the same for all, and ε is white. The extra "factors", float32
    `[3 · components + 1]`, holds f, φ, a and σ.

    Args:
      length: steps of time.
      channels: C.
      components: K, how many waves are mixed.
      noise: mean of σ.
      size: how many series there are to learn from.
      test_size: how many to evaluate on.
      seed: seed of all that is random.

    Returns:
      A Dataset of kind "series".

    Raises:
      ConfigError: numbers that are not positive, negative noise, or a length below 16.
    """
    require_positive_ints(length=length, channels=channels, components=components, size=size)
    if length < 2 * SLOWEST or isinstance(noise, bool) or not noise >= 0:
        raise ConfigError(
            f"length must be {2 * SLOWEST} or more and noise not negative, got length={length}, "
            f"noise={noise!r}"
        )
    require_seed(seed=seed)
    if test_size:
        require_positive_ints(test_size=test_size)
    part = lambda first, count: Waves(
        length, channels, components, float(noise), seed, first, count
    )
    return Dataset(part(0, size), part(size, test_size), source="waves", kind="series")


@dataclasses.dataclass(frozen=True, eq=False)
class Waves:
    """A source of mixed sine waves.

    Attributes:
      length: steps of time.
      channels: how many there are.
      components: waves that are mixed.
      noise: mean standard deviation.
      seed: seed of all that is random.
      first: the number of series 0.
      count: how many there are.
    """

    length: int
    channels: int
    components: int
    noise: float
    seed: int
    first: int
    count: int

    @functools.cached_property
    def mixing(self) -> np.ndarray:
        """M, `[components, channels]`."""
        rng = np.random.default_rng(self.seed)
        return rng.standard_normal((self.components, self.channels))

    @functools.cached_property
    def _noise(self) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 1])
        return rng.standard_normal(NOISE + self.length * self.channels, np.float32)

    @property
    def spec(self) -> Records:
        """See `Source`."""
        field = lambda *shape: jax.ShapeDtypeStruct(shape, np.float32)
        known = {"factors": field(3 * self.components + 1)}
        return Records(field(self.length, self.channels), known)

    def __len__(self) -> int:
        """How many series there are."""
        return self.count

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def read(self, index: np.ndarray) -> Records:
        """See `Source`."""
        number = (np.asarray(index) + self.first).astype(np.uint32)[:, None]
        salt = order.hash_index(order.hash_index(np.array([self.seed % 2**32], np.uint32)))
        seeded = order.hash_index(number) ^ salt
        draw = np.arange(3 * self.components + 2, dtype=np.uint32)
        bits = order.hash_index(seeded + draw * np.uint32(0x9E3779B9))
        uniform = bits[:, 1:] / 2.0**32
        k = self.components
        low = np.repeat([1.0, 0.0, 0.5, 0.0], [k, k, k, 1])
        high = np.repeat([self.length / SLOWEST, 2 * np.pi, 1.5, 2 * self.noise], [k, k, k, 1])
        factors = (low + (high - low) * uniform).astype(np.float32)
        frequency, phase, amplitude, sigma = np.split(factors, [k, 2 * k, 3 * k], axis=1)
        time = (2 * np.pi / self.length * np.arange(self.length)).astype(np.float32)
        sines = np.sin(frequency[..., None] * time + phase[..., None]) * amplitude[..., None]
        each = self.length * self.channels
        stretches = np.lib.stride_tricks.sliding_window_view(self._noise, each)
        noise = stretches[bits[:, 0] % NOISE].reshape(-1, self.length, self.channels)
        x = sigma[:, None] * noise
        for wave, row in zip(sines.swapaxes(0, 1), self.mixing.astype(np.float32), strict=True):
            x += wave[..., None] * row  # faster than a matrix product of so few columns
        return Records(x, {"factors": factors})
