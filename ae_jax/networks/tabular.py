"""An encoder for tables whose columns are of different kinds."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ae_jax._registry import NETWORKS
from ae_jax.checks import require_widths
from ae_jax.errors import ConfigError, ShapeError
from ae_jax.networks import _layers
from ae_jax.networks.adapters import from_linen
from ae_jax.networks.common import Common
from ae_jax.networks.mlp import MLP, require_hidden
from ae_jax.types import Array, Network, Shape


class TabularEncoder(nn.Module):
    """Numbers, indicators of the missing ones and embeddings of categories, through an MLP."""

    columns: Sequence[int]
    embedding: int | None
    output_shape: Shape
    hidden: Sequence[int]
    common: Common

    @nn.compact
    def __call__(
        self,
        x: Array,
        observed: Array | None = None,
        extras: Mapping[str, Array] | None = None,
        train: bool = False,
    ) -> Array:
        """A row `[d]` to `[*output_shape]`."""
        if jnp.shape(x) != (len(self.columns),):
            raise ShapeError(
                f"tabular with {len(self.columns)} columns takes rows of shape "
                f"{(len(self.columns),)}, got shape {jnp.shape(x)}"
            )
        x = _layers.floating(x)
        seen = jnp.ones(x.shape, bool) if observed is None else jnp.asarray(observed, bool)
        numeric = jnp.asarray([i for i, classes in enumerate(self.columns) if not classes], int)
        parts = [jnp.where(seen, x, 0)[numeric], (~seen)[numeric].astype(x.dtype)]
        for i, classes in enumerate(self.columns):
            if classes:
                code = jnp.round(x[i])
                known = seen[i] & (code >= 0) & (code < classes)
                width = self.embedding or embedding_width(classes)
                table = nn.Embed(classes + 1, width, name=f"column_{i}")
                parts.append(table(jnp.where(known, code, classes).astype(jnp.int32)))
        features = jnp.concatenate([part.astype(x.dtype) for part in parts])
        mlp = MLP(self.hidden, self.output_shape, self.common, name="mlp")
        return mlp(features, extras, train)


def embedding_width(classes: int) -> int:
    """⌈classes / 2⌉, at most 50 (Guo & Berkhahn 2016 choose of this order by hand)."""
    return min(math.ceil(classes / 2), 50)


@NETWORKS.register
def tabular(
    columns: Sequence[int],
    hidden: Sequence[int] = (128, 128),
    embedding: int | None = None,
    activation: str | Callable[[Array], Array] = "relu",
    normalisation: str | None = None,
    dropout: float = 0.0,
    dtype: str | None = None,
    condition: str | None = None,
    num_classes: int | None = None,
) -> Network:
    """An encoder of table rows `[d]`: embeddings of the categories, then an MLP.

    A number that is not observed enters as zero beside an indicator of that, through weights of its
    own; a category that is not observed, or whose code lies outside 0 … K - 1, has one more
    embedding. The decoder of a table is `mlp`, its likelihood `ae.likelihoods.mixed`.

    Args:
      columns: 0 for each column if it holds numbers, standardised before, or the number K of its
        categories, coded 0 … K - 1.
      hidden: widths of the hidden layers.
      embedding: width of the categories' embeddings; None: ⌈K / 2⌉, at most 50 (the order that Guo
        & Berkhahn 2016 choose by hand).
      activation: activation by name, or a function, see `Common`.
      normalisation: None, "batch", "group" or "layer", see `Common`.
      dropout: rate of dropout in training, see `Common`.
      dtype: dtype computed in, see `Common`.
      condition: name of the entry of `extras` to append, see `Common`.
      num_classes: number of classes, if the condition is a label, see `Common`.

    Returns:
      A Network.

    Raises:
      ConfigError: an option out of range, or a condition that `extras` lacks.
      ShapeError: when initialised with x that has not these columns.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> coder = ae.networks.tabular(columns=(0, 0, 7, 2), hidden=(32,)).bind((4,))
      >>> params, state = jax.eval_shape(coder.init, jax.random.key(0), jnp.zeros(4))
      >>> jax.eval_shape(coder.apply, params, state, jnp.zeros(4))[0].shape
      (4,)
    """
    common = Common.of(locals())
    _check_columns(columns)
    if embedding is not None:
        require_widths(embedding=(embedding,))
    require_hidden(hidden)

    def bind(output_shape: Shape):
        shape, widths = tuple(output_shape), tuple(hidden)
        return from_linen(TabularEncoder(tuple(columns), embedding, shape, widths, common))

    return Network(bind)


def _check_columns(columns: Any) -> None:
    if not isinstance(columns, list | tuple) or not columns:
        raise ConfigError(f"columns must say 0 or the number of classes of each, got {columns!r}")
    for i, classes in enumerate(columns):
        if isinstance(classes, bool) or not isinstance(classes, int) or classes < 0:
            raise ConfigError(
                f"columns must be 0 for numbers or a number of categories, got {classes!r} for "
                f"column {i}"
            )
