"""Successive halving against NumPy, and its schedule against Hyperband's table."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ae_jax as ae
from ae_jax.errors import ConfigError, ShapeError
from ae_jax.population import halve, rungs, survivors
from ae_jax.population.halving import part_of
from tests import small


def reference(scores, count):
    """Python's stable sort, what is not finite behind all else."""
    key = lambda i: (not np.isfinite(scores[i]), scores[i] if np.isfinite(scores[i]) else 0)
    return sorted(range(len(scores)), key=key)[:count]


@functools.cache
def stacked(members):
    """A population's state of random parameters, every leaf another in every member."""
    model, objective = small.vae().build(ae.spec_of(small.arrays()))
    variables = jax.eval_shape(model.init, jax.random.key(0), np.zeros(small.WIDTH, "f4"))
    players = ae.training.single_player(objective, optax.adam(1e-3), variables)
    states = [small.filled_state(model, players, seed) for seed in range(members)]
    apart = [
        state._replace(
            optimizer=jax.tree.map(lambda leaf, n=n: np.asarray(leaf) + n, state.optimizer),
            skipped=np.int32(n),
        )
        for n, state in enumerate(states)
    ]
    host = jax.tree.map(lambda *leaves: np.stack(leaves), *map(raw, apart))
    return host._replace(root=jax.random.wrap_key_data(host.root))


def raw(tree):
    """Keys as their data, so that leaves can be compared."""
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.tree.map(lambda v: jax.random.key_data(v) if is_key(v) else v, tree)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([3.0, 1.0, 2.0, 0.0], [3, 1]),
        ([1.0, 1.0, 1.0, 1.0], [0, 1]),
        ([np.nan, np.inf, -np.inf, 7.0], [3, 0]),
        ([np.nan, -5.0, np.inf, 7.0], [1, 3]),
        ([0.0, -0.0, 0.0, 1.0], [0, 1]),
        ([3, 1, 2, 0], [3, 1]),
    ],
)
def test_the_lowest_survive_the_earlier_before_its_equal_and_what_is_not_finite_last(
    scores, expected
):
    assert survivors(scores).tolist() == expected
    assert jax.jit(survivors)(jnp.asarray(scores)).tolist() == expected


@pytest.mark.parametrize("members", [1, 2, 31])
@pytest.mark.parametrize("fraction", [0.01, 1 / 3, 0.9])
def test_survivors_are_those_of_a_stable_sort(members, fraction):
    rng = np.random.default_rng(members)
    scores = rng.integers(0, 5, members).astype(np.float32)
    scores[rng.random(members) < 0.2] = np.nan
    count = max(1, int(np.floor(members * fraction + 1e-9)))
    np.testing.assert_array_equal(survivors(scores, fraction), reference(scores, count))


def test_the_state_and_values_of_survivors_are_their_own_bit_for_bit():
    state, scores = stacked(5), np.array([0.3, np.nan, 0.1, 0.3, 9.0], np.float32)
    values = {"optimizer.learning_rate": jnp.linspace(1e-4, 1e-2, 5), "training.seed": np.arange(5)}
    got, kept, index = halve(state, values, scores, 0.6)
    assert index.tolist() == [2, 0, 3]
    expected = jax.tree.map(lambda leaf: np.asarray(leaf)[[2, 0, 3]], raw(state))
    small.assert_identical(raw(got), expected)
    small.assert_identical(kept, {k: np.asarray(v)[[2, 0, 3]] for k, v in values.items()})
    jitted = jax.jit(lambda *given: halve(*given, 0.6))(state, values, scores)
    small.assert_identical(raw(jitted[0]), expected)
    assert jitted[2].tolist() == [2, 0, 3]


def test_seeds_that_int32_does_not_hold_stay_exact():
    seeds = np.array([2**32 - 1, 7, 2**31])
    _, values, _ = halve({}, {"training.seed": seeds}, [0.0, 1.0, 0.5], 0.7)
    assert values["training.seed"].tolist() == [2**32 - 1, 2**31]


def test_the_brackets_of_hyperband():
    """Table 1 of Li et al. 2018: R = 81, η = 3."""
    table = [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)]
    assert list(map(tuple, rungs(81, 81, 1 / 3))) == table
    assert [rung.members * rung.until for rung in rungs(81, 81, 1 / 3)] == [81] * 5


@pytest.mark.parametrize("members", [1, 2, 5, 100])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.8])
def test_members_fall_to_one_and_steps_rise_to_all(members, fraction):
    schedule = rungs(members, 10**6, fraction)
    counts, ends = zip(*schedule, strict=True)
    assert (counts[0], counts[-1], ends[-1]) == (members, 1, 10**6)
    assert all(np.diff(counts) < 0)
    assert all(np.diff(ends) > 0)
    assert counts[1:] == tuple(part_of(count, fraction) for count in counts[:-1])


def test_too_few_steps_are_refused_and_those_named_will_do():
    with pytest.raises(ConfigError, match="steps=10 are too few for 81 members in 5 rungs") as told:
        rungs(81, 10, 1 / 3)
    least = int(str(told.value).split("take ")[1].split()[0])
    assert rungs(81, least, 1 / 3)[-1].until == least
    with pytest.raises(ConfigError, match="too few"):
        rungs(81, least - 1, 1 / 3)


@pytest.mark.parametrize("fraction", [0, 1, 1.5, True, "half", None])
def test_what_is_no_fraction_is_refused(fraction):
    for call in (lambda: survivors([1.0, 2.0], fraction), lambda: rungs(1, 10, fraction)):
        with pytest.raises(ConfigError, match=r"fraction must (lie|be a number) in \(0, 1\)"):
            call()


def test_what_is_not_stacked_as_the_scores_is_named():
    with pytest.raises(ShapeError, match=r"scores must have rank 1, got shape \(2, 1\)"):
        survivors([[1.0], [2.0]])
    with pytest.raises(ShapeError, match=r"values\['a\.b'\] must be \[2\].*got shape \(3,\)"):
        halve({}, {"a.b": np.ones(3)}, [1.0, 2.0])
    with pytest.raises(ShapeError, match=r"state\['w'\] must be \[2, …\].*got shape \(3, 4\)"):
        halve({"w": np.ones((3, 4))}, {}, [1.0, 2.0])
    with pytest.raises(ConfigError, match="members must be a positive whole number, got 0"):
        survivors([])
