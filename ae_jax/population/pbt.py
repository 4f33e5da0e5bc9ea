"""Population-based training: the worst members start again from the best, a little changed."""

import numbers
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.checks import require_positive, require_positive_ints
from ae_jax.errors import ConfigError, UnknownNameError, nearest
from ae_jax.population.halving import part_of, ranked, require_stacked, taken
from ae_jax.population.selection import SELECTIONS, Bounds, Choice, Facts, Selection
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


@SELECTIONS.register
def population_based(
    every: int | None = None,
    explore: Mapping[str, tuple[float, float]] | None = None,
    fraction: float = 0.2,
    factors: tuple[float, ...] = (0.8, 1.25),
    metric: str = "loss",
    largest: bool = False,
) -> Selection:
    """Has the worst members of `ae.fit_population` go on from the best: population-based training.

    In each round the worst ⌊fraction · members⌋, and those that have diverged, take parameters,
    optimizer state and hyperparameters from one of the best, drawn at random, and multiply each
    hyperparameter that is explored by one of the factors, within bounds (Jaderberg et al. 2017,
    "Population based training of neural networks"); see `exploit_and_explore`. Hyperparameters are
    arguments of the program, so that nothing is compiled again. What is drawn depends on the
    population's seed and the step alone.

    Args:
      every: steps between rounds; None: `training.eval_every`.
      explore: (low, high) by dotted path of each number that is perturbed, which must vary in the
        population (`vary={path: [value]}` will do); None: each number that members begin with
        different values of, within the least and the greatest of them. Other numbers are copied.
      fraction: share of the members that is replaced, and of those copied, in (0, 0.5].
      factors: numbers above 0, by one of which a hyperparameter is multiplied.
      metric: metric of the validation split, where there is one, else the test split, by which
        members are ranked.
      largest: whether large values of the metric are good.

    Returns:
      A Selection, for `ae.fit_population(…, selection=…)`.

    Raises:
      ConfigError: a fraction, factors or bounds out of range.

    Example:
      >>> import ae_jax as ae
      >>> rates = {"optimizer.learning_rate": np.array([1e-4, 1e-3, 1e-2])}
      >>> pbt = ae.population.population_based(every=200)
      >>> facts = ae.population.Facts(3, 1000, 100, rates, {}, 1)
      >>> pbt.rounds(facts), pbt.bounds(facts)
      ((200, 400, 600, 800), {'optimizer.learning_rate': (0.0001, 0.01)})
      >>> pbt.choose(rates, [3.0, 1.0, 2.0], jax.random.key(0), pbt.bounds(facts)).source.tolist()
      [1, 1, 2]

      `ae.fit_population(recipe, x, vary=rates, selection=pbt)` trains so.
    """
    if every is not None:
        require_positive_ints(every=every)
    _count(2, fraction)
    _require_explorable({}, factors, {})
    _require_pairs(explore)

    def choose(values: Any, scores: Any, key: PRNGKey, bounds: Bounds) -> Choice:
        replacing, drawing = jax.random.split(key)
        source = _sources(scores, _count(len(scores), fraction), replacing)
        rows = np.arange(len(scores))
        changed = _explored(values, source, drawing, factors, bounds, bounds)
        return Choice(rows, np.asarray(source), changed)

    def rounds(facts: Facts) -> tuple[int, ...]:
        _count(facts.members, fraction)
        apart = facts.eval_every if every is None else every
        if apart >= facts.steps:
            raise ConfigError(
                f"population-based training has rounds {apart} steps apart and {facts.steps} steps "
                f"in all: take every={max(1, facts.steps // 10)}, say"
            )
        return tuple(range(apart, facts.steps, apart))

    return Selection(rounds, lambda facts: _bounds(facts, explore), choose, metric, largest)


def _bounds(facts: Facts, explore: Mapping[str, tuple[float, float]] | None) -> Bounds:
    """What is explored, and within what; see `population_based`."""
    if facts.programs > 1:
        path, reason = next(iter(facts.apart.items()))
        raise ConfigError(
            f"population-based training copies states between members of one program, and '{path}' "
            f"({reason}) splits them into {facts.programs}: give all members one value of it"
        )
    real = lambda row: jnp.issubdtype(row.dtype, jnp.floating)
    known = {path: np.asarray(row) for path, row in facts.values.items() if real(row)}
    if explore is None:
        spans = {path: (float(row.min()), float(row.max())) for path, row in known.items()}
        spans = {path: span for path, span in spans.items() if span[0] < span[1]}
        if not spans:
            raise ConfigError(
                "population-based training has nothing to explore: vary a number that is not whole "
                "or name one with its bounds, e.g. explore={'optimizer.learning_rate': "
                "(1e-5, 1e-2)}"
            )
        return spans
    for path in explore:
        if path in facts.apart:
            raise ConfigError(
                f"'{path}' cannot be explored: it is no argument of the program "
                f"({facts.apart[path]}). Known: {', '.join(sorted(known)) or 'none'}"
            )
        if path in facts.values and path not in known:
            row = sorted(set(np.asarray(facts.values[path]).tolist()))
            raise ConfigError(
                f"'{path}' cannot be explored: its values {row} are whole numbers; write "
                f"{float(row[0])} if they need not be"
            )
        if path not in known:
            raise UnknownNameError(
                f"'{path}' cannot be explored, since it does not vary: vary={{'{path}': [value]}} "
                f"says what it begins with{nearest(path, known)}"
            )
    return {path: (float(low), float(high)) for path, (low, high) in explore.items()}


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
    each member and path anew, and brought within its bounds; one that a bound would leave as it is
    is divided instead, lest copies be what they were copied from. All others stay bit for bit.

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
    explored = _explored(values, source, of_factors, factors, values, bounds)
    copied = taken(state, source)._replace(root=state.root)
    return Exploited(copied, explored, source)


def _explored(
    values: Mapping[str, Any],
    source: Array,
    key: PRNGKey,
    factors: tuple[float, ...],
    perturbed: Collection[str],
    bounds: Mapping[str, tuple[float, float]],
) -> dict[str, Any]:
    """The hyperparameters of members with these sources, those replaced a little changed."""
    replaced = source != jnp.arange(len(source))
    explored = {}
    for number, path in enumerate(sorted(values)):
        own = values[path]
        if path == SEED:
            explored[path] = own
        elif path not in perturbed or not jnp.issubdtype(own.dtype, jnp.floating):
            explored[path] = taken(own, source)
        else:
            drawn = jax.random.fold_in(key, number)
            changed = _changed(jnp.asarray(own)[source], drawn, factors, bounds.get(path))
            explored[path] = jnp.where(replaced, changed, own)
    return explored


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
    factor = jax.random.choice(key, jnp.asarray(factors, value.dtype), value.shape)
    if bounds is None:
        return value * factor
    ways = value * factor, value / factor
    changed, back = (jnp.clip(way, *bounds).astype(value.dtype) for way in ways)
    return jnp.where(changed == value, back, changed)


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


def _require_pairs(explore: Any) -> None:
    """Raises ConfigError unless it is None or has a low and a high number of each path."""
    if explore is not None and not isinstance(explore, Mapping):
        raise ConfigError(f"explore must be {{path: (low, high)}} or None, got {explore!r}")
    real = lambda number: isinstance(number, numbers.Real) and not isinstance(number, bool)
    for path, pair in (explore or {}).items():
        two = isinstance(pair, Sequence) and len(pair) == 2 and all(map(real, pair))
        if not two or not pair[0] <= pair[1]:
            raise ConfigError(f"explore['{path}'] must be (low, high), low first, got {pair!r}")
