"""A sampler fitted on the codes of a run: what `fit` and `load` return and `Run.sample` takes."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ae_jax import keys
from ae_jax.checks import require_positive_ints
from ae_jax.errors import ConfigError, DataError, ShapeError
from ae_jax.precision import compiled_in_float32
from ae_jax.samplers.sampler import Sampler, drawn, in_blocks, scored, whole_numbers
from ae_jax.types import Shape, Tree


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """A density of a run's codes, in their own shape.

    Attributes:
      name: under which the run keeps it.
      sampler: the Sampler.
      state: of it, NumPy arrays.
      latent_shape: of one code.
      condition: the entry of `extras` that it depends on; None: on nothing.
      classes: the labels it knows, whole numbers in order; one where there is no condition.
      codes: how many it was fitted on.
      size: of integers, how many there are; None: codes are vectors.
    """

    name: str
    sampler: Sampler
    state: Tree
    latent_shape: Shape
    condition: str | None
    classes: tuple[int, ...]
    codes: int
    size: int | None = None

    @compiled_in_float32()
    def sample(
        self, num: int, seed: int = 0, *, extras: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """New codes; `run.sample(num, seed, sampler=…)` decodes them.

        Args:
          num: how many; the first of many are those of a smaller num.
          seed: below 2³².
          extras: holds the labels `[num]` that a sampler with a condition needs.

        Returns:
          float32 `[num, *latent]`; of a sampler of integers, int32 `[num, *codes.shape]`.

        Raises:
          ConfigError: labels are needed and not given.
          DataError: labels that the sampler was not fitted on.
        """
        require_positive_ints(num=num)
        labels = self.places(extras, num)
        key = keys.stream(keys.root(seed), "sample")
        draw = functools.partial(drawn, self.sampler, jax.device_put(self.state), key)
        codes = in_blocks(draw, np.arange(num), labels)
        return codes.reshape(num, *self.latent_shape)

    @compiled_in_float32()
    def log_prob(self, codes: Any, *, extras: Mapping[str, Any] | None = None) -> np.ndarray:
        """The log-density of codes, given their labels where there is a condition.

        Of a second-stage VAE it is a lower bound on that, by 64 importance samples; of integers the
        log of a probability.

        Args:
          codes: `[n, *latent]`, as `run.encode` gives them, or integers as `run.codes` does.
          extras: holds the labels `[n]` that a sampler with a condition needs.

        Returns:
          float32 `[n]`, nats.

        Raises:
          ShapeError: codes of another shape.
          ConfigError: labels are needed and not given.
          DataError: labels that the sampler was not fitted on, or integers that are none.
        """
        if self.size is None:
            codes = np.asarray(codes, np.float32)
        else:
            codes = whole_numbers(np.asarray(codes), self.size)
        if codes.shape[1:] != self.latent_shape or not len(codes):
            wanted = ", ".join(("n", *map(str, self.latent_shape)))
            raise ShapeError(f"codes must be [{wanted}], got {codes.shape}")
        labels = self.places(extras, len(codes))
        score = functools.partial(scored, self.sampler, jax.device_put(self.state))
        return in_blocks(score, codes.reshape(len(codes), -1), labels)

    def places(self, extras: Mapping[str, Any] | None, num: int) -> np.ndarray:
        """Where among `classes` the labels of examples stand, int32 `[num]`."""
        if self.condition is None:
            return np.zeros(num, np.int32)
        if extras is None or self.condition not in extras:
            raise ConfigError(
                f"sampler '{self.name}' depends on '{self.condition}': give it labels, "
                f"extras={{'{self.condition}': …}}, [{num}] of {_shown(self.classes)}"
            )
        labels = np.asarray(extras[self.condition])
        if labels.shape != (num,):
            raise ShapeError(
                f"extras['{self.condition}'] must be [{num}], one label a code, got {labels.shape}"
            )
        unknown = ~np.isin(labels, self.classes)
        if unknown.any():
            raise DataError(
                f"sampler '{self.name}' has seen no {self.condition} {labels[unknown][0]}; it "
                f"knows {_shown(self.classes)}"
            )
        return np.searchsorted(self.classes, labels).astype(np.int32)


def _shown(classes: tuple[int, ...]) -> str:
    if len(classes) > 10:
        return f"{classes[0]} … {classes[-1]}, {len(classes)} in all"
    return ", ".join(map(str, classes))


def fingerprint(variables: Any) -> str:
    """What tells the parameters that codes come from and go through from others: a hash.

    Args:
      variables: a run's Variables.

    Example:
      >>> import numpy as np
      >>> fingerprint({"a": np.zeros(2)}) == fingerprint({"a": np.ones(2)})
      False
    """
    import hashlib

    hashed = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        leaf = np.asarray(leaf)
        hashed.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode())
        hashed.update(np.ascontiguousarray(leaf).tobytes())
    return hashed.hexdigest()
