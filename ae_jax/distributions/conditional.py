"""A distribution for each label."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax.errors import ConfigError
from ae_jax.types import Array, Distribution, Tree


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["params"],
    meta_fields=["apply", "condition", "num_classes"],
)
@dataclasses.dataclass(frozen=True)
class Conditional:
    """p(z | label): a Distribution once the label is given.

    Attributes:
      params: of each class, leaves `[num_classes + 1, …]`; the last for examples without a label.
      apply: `params of one class -> Distribution`.
      condition: the entry of `extras` that holds the label, -1 for none.
      num_classes: how many labels there are.
    """

    params: Tree
    apply: Callable[[Tree], Distribution]
    condition: str
    num_classes: int

    def given(self, extras: Mapping[str, Array]) -> Distribution:
        """The distribution of one example.

        Args:
          extras: of the example; the label is a whole number.

        Raises:
          ConfigError: they lack the label.
        """
        if self.condition not in extras:
            raise ConfigError(
                f"the prior is conditioned on extras['{self.condition}'], which is not given: pass "
                f"extras={{'{self.condition}': …}}"
            )
        label = jnp.asarray(extras[self.condition], jnp.int32)
        row = jnp.where(label < 0, self.num_classes, label)
        return self.apply(jax.tree.map(lambda leaf: leaf[row], self.params))


def conditioned(prior: Any, extras: Mapping[str, Array] | None) -> Any:
    """The prior of one example: for its extras if it depends on them, else as it is.

    Args:
      prior: a Distribution, a Conditional, or None.
      extras: of the example, or None.

    Example:
      >>> import ae_jax as ae
      >>> prior = ae.distributions.standard_normal((2,))
      >>> conditioned(prior, None) is prior
      True
    """
    given = getattr(prior, "given", None)
    return prior if given is None else given({} if extras is None else extras)
