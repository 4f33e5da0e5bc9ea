"""Population-based training: the worst members start again from the best, a little changed."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.checks import require_positive
from ae_jax.errors import ConfigError, UnknownNameError, nearest
from ae_jax.population.halving import part_of, ranked, require_stacked, taken
from ae_jax.training.state import TrainState
from ae_jax.types import Array, PRNGKey

SEED = "training.seed"
"""What the random root comes from, and stays with."""


class Exploited(NamedTuple):
    """A population after one round of exploiting and exploring.

    Attributes:
      state: the stacked TrainState.
      values: hyperparameters by dotted config path, each `[m]`.
      source: int32 `[m]`, whose state each member has now: its own number where it was kept.
    """

    state: TrainState
    values: dict[str, Any]
    source: Array


def exploit_and_explore(
    state: TrainState,
    values: Mapping[str, Any],
    scores: Any,
    key: PRNGKey,
    fraction: float = 0.2,
    factors: tuple[float, ...] = (0.8, 1.25),
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> Exploited:
    """One round of population-based training (Jaderberg et al. 2017) by truncation selection.

    Each of the worst ⌊fraction · m⌋ members takes everything from one of the best ⌊fraction · m⌋,
    drawn uniformly: parameters, optimizer state, averages, counters and hyperparameters. Each
    hyperparameter that it took is then multiplied by one of the factors, drawn uniformly and for
    each member and path anew, and brought within its bounds. All others stay bit for bit.

    What cannot be multiplied is taken as it is: hyperparameters that are whole numbers. The random
    root, and `training.seed` with it, is nobody's to take: a member keeps its own, so that copies
    of one parent see other noise and orders of the data than it does.

    Scores are ranked as by `survivors`. A member whose score is not finite never recovers: it is
    replaced even where it is not among the worst ⌊fraction · m⌋, and never copied. Where no score
    is finite all members stay.

    Args:
      state: stacked TrainState, leaves `[m, …]`.
      values: hyperparameters by dotted config path, each `[m]`.
      scores: `[m]`, the lower, the better.
      key: typed key of this round; take another each time.
      fraction: of the members that are replaced, and of those copied, in (0, 0.5].
      factors: by one of which a hyperparameter is multiplied, each above 0.
      bounds: (low, high) by path, for what must stay within; None: for none.

    Returns:
      An Exploited.

    Raises:
      ShapeError: leaves or values that are not stacked as the scores are.
      ConfigError: a fraction outside (0, 0.5], fewer than two members, factors or bounds out of
        order.
      UnknownNameError: bounds of a path that does not vary; the nearest is named.

    Example:
      >>> import ae_jax as ae
      >>> three = jnp.arange(3.0)
      >>> roots = jax.random.split(jax.random.key(0), 3)
      >>> state = ae.training.TrainState({"w": three}, {}, {}, roots, three, three, three)
      >>> rates = {"optimizer.learning_rate": jnp.full(3, 1e-3)}
      >>> found = exploit_and_explore(state, rates, [0.5, 9.0, 0.1], jax.random.key(1))
      >>> found.source.tolist(), found.state.variables["w"].tolist()
      ([0, 2, 2], [0.0, 2.0, 2.0])
    """
    require_stacked(state, values, scores)
    bounds = {} if bounds is None else bounds
    values = {path: v if hasattr(v, "dtype") else np.asarray(v) for path, v in values.items()}
    count = _count(len(scores), fraction)
    _require_explorable(values, factors, bounds)
    of_source, of_factors = jax.random.split(key)
    source = _sources(scores, count, of_source)
    replaced = source != jnp.arange(len(source))
    explored = {}
    for number, path in enumerate(sorted(values)):
        own = values[path]
        if path == SEED:
            explored[path] = own
        elif not jnp.issubdtype(own.dtype, jnp.floating):
            explored[path] = taken(own, source)
        else:
            drawn = jax.random.fold_in(of_factors, number)
            changed = _changed(jnp.asarray(own)[source], drawn, factors, bounds.get(path))
            explored[path] = jnp.where(replaced, changed, own)
    copied = taken(state, source)._replace(root=state.root)
    return Exploited(copied, explored, source)


def _sources(scores: Any, count: int, key: PRNGKey) -> Array:
    """Whose state each member is to have, `[m]`."""
    order = ranked(scores)
    members = len(order)
    finite = jnp.isfinite(jnp.asarray(scores))
    rank = jnp.zeros(members, jnp.int32).at[order].set(jnp.arange(members, dtype=jnp.int32))
    usable = jnp.minimum(count, jnp.sum(finite))
    chosen = jax.random.randint(key, (members,), 0, jnp.maximum(usable, 1))
    replaced = ((rank >= members - count) | ~finite) & (usable > 0)
    own = jnp.arange(members, dtype=jnp.int32)
    return jnp.where(replaced, order[chosen], own)


def _changed(
    value: Array, key: PRNGKey, factors: tuple[float, ...], bounds: tuple[float, float] | None
) -> Array:
    changed = value * jax.random.choice(key, jnp.asarray(factors, value.dtype), value.shape)
    return changed if bounds is None else jnp.clip(changed, *bounds).astype(value.dtype)


def _count(members: int, fraction: float) -> int:
    count = part_of(members, fraction)
    if fraction > 0.5:
        raise ConfigError(
            "fraction must lie in (0, 0.5], so that no member is both copied and replaced, got "
            f"{fraction!r}"
        )
    if members < 2:
        raise ConfigError(f"a population to learn from takes 2 members or more, got {members}")
    return count


def _require_explorable(
    values: Mapping[str, Any],
    factors: tuple[float, ...],
    bounds: Mapping[str, tuple[float, float]],
) -> None:
    if not factors:
        raise ConfigError("factors must be one number or more, got none")
    for factor in factors:
        require_positive(factors=factor)
    for path, limits in bounds.items():
        if path not in values:
            raise UnknownNameError(
                f"bounds of '{path}', which does not vary{nearest(path, values)}"
            )
        if len(limits) != 2 or not limits[0] <= limits[1]:
            raise ConfigError(f"bounds['{path}'] must be (low, high), low first, got {limits!r}")
