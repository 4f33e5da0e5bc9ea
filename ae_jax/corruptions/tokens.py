"""Tokens masked, and entries that change places."""

import jax
import jax.numpy as jnp

from ae_jax._registry import CORRUPTIONS
from ae_jax.checks import require_unit_interval
from ae_jax.corruptions._entries import Corruption, seen
from ae_jax.corruptions.masking import masking
from ae_jax.errors import ConfigError
from ae_jax.ops import random as fused_random
from ae_jax.types import Array, PRNGKey


@CORRUPTIONS.register
def token_masking(rate: float, mask_token: int) -> Corruption:
    """Replaces each token by the mask token with probability `rate`.

    Args:
      rate: probability of a token to be replaced.
      mask_token: token in its place.

    Returns:
      A corruption of integer x, with `info["mask"]`.

    Raises:
      ConfigError: if `rate` lies outside [0, 1], `mask_token` is not a whole number, or, when
        called, if x does not hold integers.

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> corrupt = ae.corruptions.token_masking(rate=1.0, mask_token=9)
      >>> corrupted, info = corrupt(jax.random.key(0), jnp.arange(3))
      >>> corrupted.tolist()
      [9, 9, 9]
    """
    if isinstance(mask_token, bool) or not isinstance(mask_token, int):
        raise ConfigError(f"mask_token must be a whole number, got {mask_token!r}")
    mask = masking(rate, mask_token)

    def corrupt(key: PRNGKey, x: Array, observed: Array | None = None):
        if not jnp.issubdtype(jnp.result_type(x), jnp.integer):
            raise ConfigError(f"token_masking needs integer x, got {jnp.result_type(x)}")
        return mask(key, x, observed)

    return corrupt


@CORRUPTIONS.register
def token_swapping(rate: float) -> Corruption:
    """Exchanges the entries at random positions: the same entries, in another order.

    Each position, one entry of x whatever its rank, is chosen with probability `rate`; the chosen
    ones pass their entries around in one random cycle, so that all of them move. One position
    chosen alone stays.

    Args:
      rate: probability of a position to be chosen.

    Returns:
      A corruption of any x, with `info["mask"]`, True where the entry came from elsewhere (even
      if that one was equal).

    Raises:
      ConfigError: if `rate` lies outside [0, 1].

    Example:
      >>> import ae_jax as ae
      >>> import jax, jax.numpy as jnp
      >>> corrupt = jax.jit(ae.corruptions.token_swapping(rate=1.0))
      >>> corrupted, info = corrupt(jax.random.key(0), jnp.arange(4))
      >>> sorted(corrupted.tolist()), info["mask"].tolist()
      ([0, 1, 2, 3], [True, True, True, True])
    """
    require_unit_interval(rate=rate)

    def corrupt(key: PRNGKey, x: Array, observed: Array | None = None):
        x = jnp.asarray(x)
        key_chosen, key_order = jax.random.split(key)
        chosen = (fused_random.bernoulli(key_chosen, rate, x.shape) & seen(x, observed)).ravel()
        place = jnp.arange(x.size)
        bits = jax.random.bits(key_order, (x.size,), jnp.uint32)
        # The chosen positions in random order, then the others.
        _, _, cycle = jax.lax.sort((~chosen, bits, place), num_keys=2)
        count = jnp.sum(chosen)
        following = jnp.where(place + 1 < count, place + 1, 0)
        source = place.at[cycle].set(jnp.where(place < count, cycle[following], cycle))
        return x.ravel()[source].reshape(x.shape), {"mask": (source != place).reshape(x.shape)}

    return corrupt
