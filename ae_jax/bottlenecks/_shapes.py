"""How a latent's shape is written and what a bottleneck without state does."""

from typing import Any

from ae_jax.errors import ConfigError
from ae_jax.types import Shape


def latent_shape(latent_dim: int | tuple[int, ...]) -> Shape:
    """`32` or `(8, 8, 4)` as a shape.

    Raises:
      ConfigError: a size is not a whole number above zero.
    """
    shape = tuple(latent_dim) if isinstance(latent_dim, list | tuple) else (latent_dim,)
    good = [isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in shape]
    if not shape or not all(good):
        raise ConfigError(
            f"latent_dim must be a positive whole number or a shape of them, got {latent_dim!r}"
        )
    return shape


def no_stats(state: Any, posterior: Any, z: Any) -> dict:
    """A bottleneck that keeps no count of its examples."""
    del state, posterior, z
    return {}


def same_state(state: Any, sums: Any, key: Any) -> Any:
    """A bottleneck whose state never changes."""
    del sums, key
    return state
