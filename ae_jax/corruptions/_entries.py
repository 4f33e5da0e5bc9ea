"""What corruptions share: noise and replacement entry by entry, and checks of their arguments."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ae_jax.errors import ConfigError, ShapeError
from ae_jax.types import Array, PRNGKey

Corruption = Callable[[PRNGKey, Array, Array | None], tuple[jax.Array, dict[str, jax.Array]]]


def from_noise(noisy: Callable[[PRNGKey, jax.Array], jax.Array]) -> Corruption:
    """A corruption of floating x, computed in float32 or better."""

    def corrupt(key: PRNGKey, x: Array, observed: Array | None = None):
        x = jnp.asarray(x)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise ConfigError(f"noise needs floating x, got {x.dtype}")
        precise = x.astype(jnp.float32) if x.dtype.itemsize < 4 else x
        return jnp.where(seen(x, observed), noisy(key, precise).astype(x.dtype), x), {}

    return corrupt


def replace(hit: jax.Array, x: Array, value: Array | float, observed: Array | None):
    """Puts the value where x is hit and observed; info says where."""
    x = jnp.asarray(x)
    mask = hit & seen(x, observed)
    return jnp.where(mask, as_value(value, x.dtype), x), {"mask": mask}


def as_value(value: Array | float, dtype: jnp.dtype) -> Array:
    """The value in x's dtype; among integers one that does not fit is an error, not truncated."""
    if not isinstance(value, int | float):
        return value
    if jnp.issubdtype(dtype, jnp.integer):
        limits = jnp.iinfo(dtype)
        if not (float(value).is_integer() and limits.min <= value <= limits.max):
            raise ConfigError(f"value must fit x of dtype {dtype}, got {value!r}")
    return jnp.asarray(value, dtype)


def seen(x: jax.Array, observed: Array | None) -> jax.Array:
    """Which entries are observed, of x's shape."""
    if observed is None:
        return jnp.ones(x.shape, dtype=bool)
    if jnp.shape(observed) != x.shape:
        raise ShapeError(f"observed must have x's shape {x.shape}, got {jnp.shape(observed)}")
    return jnp.asarray(observed, dtype=bool)
