"""Successive halving: the worse members of a population stop, the better ones train on."""

import itertools
import numbers
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ae_jax.checks import require_positive_ints, require_rank, require_within_unit_interval
from ae_jax.errors import ConfigError, ShapeError
from ae_jax.population.selection import SELECTIONS, Choice, Facts, Selection
from ae_jax.types import Array, Tree


class Rung(NamedTuple):
    """One stage of successive halving.

    Attributes:
      members: how many members train in it.
      until: the step, counted from the start of the run, that they train to.
    """

    members: int
    until: int


@SELECTIONS.register
def successive_halving(
    fraction: float = 0.5, metric: str = "loss", largest: bool = False
) -> Selection:
    """Has `ae.fit_population` stop the worse members early: successive halving.

    All members train to the end of the first rung; then the best ⌊fraction · members⌋ go on to the
    next one, and so on, until one trains to the last step; `rungs` gives the schedule (Jamieson &
    Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter optimization"). Every
    rung costs about members · steps · fraction^(rungs - 1) member-steps. Those that go on are bit
    for bit what they would have been; members that have diverged stop first. Stopped ones keep
    their last state and metrics.

    Args:
      fraction: share of a rung's members that go on, in (0, 1).
      metric: metric of the validation split, where there is one, else the test split, by which
        members are ranked.
      largest: whether large values of the metric are good.

    Returns:
      A Selection, for `ae.fit_population(…, selection=…)`.

    Raises:
      ConfigError: a fraction outside (0, 1).

    Example:
      >>> import ae_jax as ae
      >>> halving = ae.population.successive_halving(metric="neg_elbo")
      >>> halving.rounds(ae.population.Facts(16, 1000, 100, {}, {}, 1))  # of 1000 steps
      (62, 125, 250, 500)
      >>> halving.choose(
      ...     {"optimizer.learning_rate": [0.1, 0.2]}, [3.0, 2.0], None, {}
      ... ).rows.tolist()
      [1]

      `ae.fit_population(recipe, x, vary=vary, selection=halving)` trains so.
    """
    part_of(2, fraction)

    def choose(values: Any, scores: Any, key: Any, bounds: Any) -> Choice:
        del key, bounds
        rows = np.sort(np.asarray(survivors(scores, fraction)))
        return Choice(rows, rows, {path: np.asarray(row)[rows] for path, row in values.items()})

    def rounds(facts: Facts) -> tuple[int, ...]:
        if facts.members < 2:
            raise ConfigError(f"successive halving takes 2 members or more, got {facts.members}")
        return tuple(rung.until for rung in rungs(facts.members, facts.steps, fraction)[:-1])

    return Selection(rounds, lambda facts: {}, choose, metric, largest)


def part_of(members: int, fraction: float) -> int:
    """How many members a fraction of them is: ⌊fraction · members⌋, one at least.

    The fraction is read as the ratio that was meant: 0.29 of 100 are 29, though the float product
    is below 29.

    Args:
      members: how many there are.
      fraction: in (0, 1).

    Returns:
      From 1 to members - 1, or 1 of one member.

    Raises:
      ConfigError: a fraction outside (0, 1), or no whole number of members above zero.

    Example:
      >>> part_of(9, 1 / 3), part_of(100, 0.29), part_of(3, 0.1)
      (3, 29, 1)
    """
    require_positive_ints(members=members)
    if not isinstance(fraction, numbers.Real):
        raise ConfigError(f"fraction must be a number in (0, 1), known to Python, got {fraction!r}")
    require_within_unit_interval(fraction=fraction)
    return max(int(Fraction(float(fraction)).limit_denominator(10**6) * members), 1)


def rungs(members: int, steps: int, fraction: float = 0.5) -> tuple[Rung, ...]:
    """The schedule of successive halving down to one member, which trains for all the steps.

    After each rung the best ⌊fraction · members⌋ go on. Of K rungs, rung i (from 0) ends at step
    steps · fraction^(K - 1 - i), so that every rung costs about the same (Jamieson & Talwalkar
    2016; the brackets of Hyperband, Li et al. 2018, have fraction 1/3).

    Args:
      members: how many begin.
      steps: that the last member has trained for in the end.
      fraction: of the members that go on, in (0, 1).

    Returns:
      The rungs in order, members falling and steps rising.

    Raises:
      ConfigError: so few steps that a rung would have none; the least that will do is named.

    Example:
      >>> [tuple(rung) for rung in rungs(81, 81, 1 / 3)]
      [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)]
    """
    require_positive_ints(steps=steps)
    counts = [members]
    while (count := counts[-1]) > 1:
        counts.append(part_of(count, fraction))
    part_of(members, fraction)  # refuses what is no fraction, of one member, too
    ends = _ends(len(counts), steps, fraction)
    if not _rising(ends):
        least = steps
        while not _rising(_ends(len(counts), least, fraction)):
            least += 1
        raise ConfigError(
            f"steps={steps} are too few for {members} members in {len(counts)} rungs of "
            f"fraction={fraction:g}: take {least} or more, fewer members or a smaller fraction"
        )
    return tuple(map(Rung, counts, ends))


def survivors(scores: Any, fraction: float = 0.5) -> Array:
    """The members that go on, best first: the lowest scores.

    Among equal scores the earlier member is better. Scores that are not finite (NaN, ∞ and -∞) come
    after all others, whatever they are, and in the order of the members among themselves.

    Args:
      scores: `[m]`, such as a validation loss: the lower, the better. What is to be high is given
        with its sign changed.
      fraction: of the members that go on, ⌊fraction · m⌋ and one at least; known to Python, since
        it decides a shape.

    Returns:
      int32 `[k]`, numbers of members.

    Raises:
      ShapeError: scores that are not `[m]`.
      ConfigError: a fraction outside (0, 1).

    Example:
      >>> survivors([0.5, float("nan"), 0.1, 0.5], 0.75).tolist()
      [2, 0, 3]
    """
    order = ranked(scores)
    return order[: part_of(len(order), fraction)]


def ranked(scores: Any) -> Array:
    """All members, best first: see `survivors`.

    Args:
      scores: `[m]`, the lower, the better.

    Returns:
      int32 `[m]`.
    """
    scores = jnp.asarray(scores)
    require_rank(1, scores=scores)
    finite = jnp.isfinite(scores)
    return jnp.lexsort((jnp.where(finite, scores, 0), ~finite)).astype(jnp.int32)


def halve(
    state: Tree, values: Mapping[str, Any], scores: Any, fraction: float = 0.5
) -> tuple[Tree, dict[str, Any], Array]:
    """The state and the hyperparameters of the members that go on, best first.

    A survivor goes on as if the others had never been: its parameters, optimizer state, step,
    counters and random root are its own, bit for bit.

    Args:
      state: stacked TrainState, or any tree of leaves `[m, …]`.
      values: hyperparameters by dotted config path, each `[m]`.
      scores: `[m]`, the lower, the better; see `survivors`.
      fraction: of the members that go on; see `survivors`.

    Returns:
      state and values of the k survivors, and their former numbers, int32 `[k]`.

    Raises:
      ShapeError: leaves or values that are not stacked as the scores are.
      ConfigError: a fraction outside (0, 1).

    Example:
      >>> state = {"w": jnp.arange(4.0)}
      >>> state, values, index = halve(state, {"optimizer.lr": jnp.ones(4)}, [4.0, 3.0, 1.0, 2.0])
      >>> index.tolist(), state["w"].tolist(), values["optimizer.lr"].shape
      ([2, 3], [2.0, 3.0], (2,))
    """
    require_stacked(state, values, scores)
    index = survivors(scores, fraction)
    return taken(state, index), taken(dict(values), index), index


def taken(tree: Tree, index: Array) -> Tree:
    """The members of these numbers from a tree of leaves `[m, …]`: leaves `[k, …]`.

    NumPy's leaves stay NumPy's outside jit: JAX would round float64 and wrap seeds beyond int32.
    """
    known = not isinstance(index, Tracer)

    def one(leaf):
        if known and isinstance(leaf, np.ndarray):
            return leaf[np.asarray(index)]
        return jnp.asarray(leaf)[index]

    return jax.tree.map(one, tree)


def require_stacked(state: Tree, values: Mapping[str, Any], scores: Any) -> None:
    """Raises ShapeError unless scores and values are `[m]` and the state's leaves `[m, …]`."""
    require_rank(1, scores=jnp.asarray(scores))
    members = len(scores)
    for name, value in values.items():
        if jnp.shape(value) != (members,):
            raise ShapeError(
                f"values['{name}'] must be [{members}], one a score, got shape {jnp.shape(value)}"
            )
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if jnp.shape(leaf)[:1] != (members,):
            raise ShapeError(
                f"state{jax.tree_util.keystr(path)} must be [{members}, …], one member a score, "
                f"got shape {jnp.shape(leaf)}"
            )


def _ends(count: int, steps: int, fraction: float) -> list[int]:
    return [round(steps * fraction**back) for back in range(count - 1, -1, -1)]


def _rising(ends: list[int]) -> bool:
    return ends[0] > 0 and all(a < b for a, b in itertools.pairwise(ends))
