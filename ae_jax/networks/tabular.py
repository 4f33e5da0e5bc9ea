"""An encoder for tables whose columns are of different kinds."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ae_jax._registry import NETWORKS
from ae_jax.errors import ConfigError, ShapeError
from ae_jax.networks import _layers
from ae_jax.networks.adapters import from_linen
from ae_jax.networks.mlp import MLP, mlp_options
from ae_jax.types import Array, Network, Shape


class TabularEncoder(nn.Module):
    """Numbers, indicators of the missing ones and embeddings of categories, through an MLP."""

    columns: Sequence[int]
    embedding: int | None
    output_shape: Shape
    options: Mapping[str, Any]

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
        return MLP(output_shape=self.output_shape, name="mlp", **self.options)(
            features, extras, train
        )


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
      columns: for each column 0 if it holds numbers, standardised before, or the number K of its
        categories, coded 0 … K - 1.
      hidden: the width of each hidden layer.
      embedding: the width of the categories' embeddings; None for ⌈K / 2⌉, at most 50.
      activation: as for `mlp`, like all that follow.
      normalisation: before each activation.
      dropout: the rate after each activation.
      dtype: computed in.
      condition: the entry of `extras` appended to the features.
      num_classes: if that is a label, how many there are; a label of -1 is none.

    Returns:
      A Network.

    Raises:
      ConfigError: an option out of range, or a condition that `extras` lacks.
      ShapeError: when initialised with x that has not these columns.

    Example:
      >>> import ae_jax as ae
      >>> encoder = ae.networks.tabular(columns=(0, 0, 7, 2), hidden=(32,))
    """
    _check_columns(columns)
    if embedding is not None:
        _layers.require_widths(embedding=(embedding,))
    options = mlp_options(
        hidden=hidden,
        activation=activation,
        normalisation=normalisation,
        dropout=dropout,
        dtype=dtype,
        condition=condition,
        num_classes=num_classes,
    )

    def bind(output_shape: Shape):
        shape = tuple(output_shape)
        return from_linen(TabularEncoder(tuple(columns), embedding, shape, options))

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
