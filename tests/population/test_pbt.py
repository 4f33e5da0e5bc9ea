"""Population-based training: who is replaced, by whom, and how hyperparameters change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.errors import ConfigError, ShapeError, UnknownNameError
from ae_jax.population import exploit_and_explore
from tests import small
from tests.population.test_halving import raw, reference, stacked

RATE, WIDTH, SEED = "optimizer.learning_rate", "bottleneck.k", "training.seed"
FACTORS = (0.8, 1.25)


def values_of(members):
    rates = jnp.asarray(np.geomspace(1e-4, 1e-1, members), jnp.float32)
    whole = jnp.arange(members, dtype=jnp.int32)
    return {RATE: rates, WIDTH: whole + 10, SEED: np.arange(members) + 2**31}


def parts(scores, count):
    """The best and the replaced members, by NumPy: see the rule in `exploit_and_explore`."""
    order = reference(scores, len(scores))
    finite = [i for i in order if np.isfinite(scores[i])]
    best = finite[:count]
    bad = set(order[len(order) - count :]) | {i for i in order if i not in finite}
    return best, bad if best else set()


SCORES = {
    "apart": [5.0, 1.0, 4.0, 0.0, 3.0, 2.0, 6.0, 7.0],
    "equal": [1.0] * 8,
    "diverged": [np.nan, np.inf, np.nan, 0.5, 0.1, -np.inf, np.nan, 2.0],
    "one left": [np.nan] * 7 + [3.0],
    "none left": [np.nan] * 8,
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("fraction", [0.25, 0.5])
def test_the_worst_take_everything_but_their_root_from_the_best(name, fraction):
    scores, members = np.asarray(SCORES[name], np.float32), 8
    best, bad = parts(scores, int(members * fraction))
    state, values = stacked(members), values_of(members)
    for seed in range(2):
        got, now, source = exploit_and_explore(
            state, values, scores, jax.random.key(seed), fraction, FACTORS
        )
        source = np.asarray(source)
        for i in range(members):
            assert source[i] in best if i in bad else source[i] == i
        expected = jax.tree.map(lambda leaf, s=source: np.asarray(leaf)[s], raw(state))
        expected = expected._replace(root=raw(state).root)
        small.assert_identical(raw(got), expected)
        np.testing.assert_array_equal(now[SEED], values[SEED])
        np.testing.assert_array_equal(now[WIDTH], np.asarray(values[WIDTH])[source])
        rates, taken = np.asarray(now[RATE]), np.asarray(values[RATE])[source]
        candidates = [taken * np.float32(f) for f in FACTORS]
        for i in range(members):
            allowed = [c[i] for c in candidates] if i in bad else [taken[i]]
            assert rates[i] in allowed


def test_parents_and_factors_are_uniform_and_independent():
    """A χ² test of the joint table over 4,000 rounds: 2 parents × 2 factors of either path."""
    from scipy.stats import chisquare

    scores = jnp.arange(4.0)
    state = ae.training.TrainState(*[jnp.zeros(4)] * 7)
    values = {"a": jnp.ones(4), "b": jnp.ones(4)}

    def one(key):
        found = exploit_and_explore(state, values, scores, key, 0.5)
        return found.source[2:], found.values["a"][2:] > 1, found.values["b"][2:] > 1

    keys = jax.random.split(jax.random.key(0), 4000)
    source, up, other = map(np.asarray, jax.jit(jax.vmap(one))(keys))
    for member in (0, 1):
        cells = source[:, member] * 4 + up[:, member] * 2 + other[:, member]
        assert chisquare(np.bincount(cells, minlength=8)).pvalue > 1e-3
    both = np.bincount(source[:, 0] * 2 + source[:, 1], minlength=4)
    assert chisquare(both).pvalue > 1e-3


def test_hyperparameters_stay_within_bounds_and_the_rest_of_the_population_as_it_is():
    scores = np.array([0.0, 1.0, 2.0, 3.0], np.float32)
    state, values = stacked(4), {RATE: jnp.array([1.0, 1.0, 5.0, 5.0]), "objective.kl": jnp.ones(4)}
    for seed in range(3):
        found = exploit_and_explore(
            state, values, scores, jax.random.key(seed), 0.5, (0.5, 4.0), {RATE: (0.75, 2.0)}
        )
        assert found.values[RATE][:2].tolist() == [1.0, 1.0]
        assert set(found.values[RATE][2:].tolist()) <= {0.75, 2.0}
        assert set(found.values["objective.kl"][2:].tolist()) <= {0.5, 4.0}


def test_a_bound_turns_a_hyperparameter_back():
    """At 2 of (0.5, 2) a factor of 1.25 or 0.8 gives 1.6 alike; where nothing is left, it stays."""
    scores, state = jnp.arange(2.0), ae.training.TrainState(*[jnp.zeros(2)] * 7)
    values = {RATE: jnp.full(2, 2.0), "low": jnp.full(2, 0.5), "none": jnp.ones(2)}
    bounds = {RATE: (0.5, 2.0), "low": (0.5, 2.0), "none": (1.0, 1.0)}
    for seed in range(4):
        key = jax.random.key(seed)
        found = exploit_and_explore(state, values, scores, key, 0.5, bounds=bounds)
        np.testing.assert_allclose(found.values[RATE], [2.0, 1.6], rtol=1e-6)
        np.testing.assert_allclose(found.values["low"], [0.5, 0.625], rtol=1e-6)
        np.testing.assert_array_equal(found.values["none"], [1.0, 1.0])


def test_it_is_the_same_under_jit_and_another_with_another_key():
    scores, state, values = jnp.arange(8.0), stacked(8), values_of(8)
    values[SEED] = jnp.arange(8)
    eager = exploit_and_explore(state, values, scores, jax.random.key(0), 0.5)
    jitted = jax.jit(lambda *given: exploit_and_explore(*given, 0.5))
    small.assert_identical(raw(jitted(state, values, scores, jax.random.key(0))), raw(eager))
    others = [jitted(state, values, scores, jax.random.key(k)).source.tolist() for k in range(3)]
    assert len({tuple(other) for other in others}) > 1


def test_members_follow_the_best_down_a_quadratic():
    """Two of four rates are far too small, one diverges: at the end all are near the minimum."""
    rates, w = {RATE: jnp.array([1e-4, 1e-3, 0.3, 2.5])}, jnp.full(4, 10.0)
    step = jax.jit(exploit_and_explore, static_argnames="fraction")
    for key in jax.random.split(jax.random.key(0), 6):
        w = w * (1 - rates[RATE]) ** 5
        state = ae.training.TrainState(*[w] * 7)
        found = step(state, rates, w**2, key, fraction=0.5)
        rates, w = found.values, found.state.variables
    assert jnp.max(w**2) < 1e-6


BAD = [
    ({"fraction": 0.6}, r"fraction must lie in \(0, 0\.5\].*got 0\.6"),
    ({"fraction": 0}, r"fraction must lie in \(0, 1\), got 0"),
    ({"factors": ()}, "factors must be one number or more, got none"),
    ({"factors": (0.8, -1.0)}, r"factors must be a positive number, got -1\.0"),
    ({"bounds": {RATE: (1.0, 0.1)}}, r"must be \(low, high\), low first, got \(1\.0, 0\.1\)"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        exploit_and_explore(stacked(3), values_of(3), jnp.arange(3.0), jax.random.key(0), **options)


def test_what_does_not_belong_together_is_refused():
    state, key = stacked(2), jax.random.key(0)
    scores = jnp.arange(2.0)
    with pytest.raises(UnknownNameError, match="did you mean 'optimizer.learning_rate'"):
        exploit_and_explore(
            state, values_of(2), scores, key, bounds={"optimizer.learning_rat": (0, 1)}
        )
    with pytest.raises(ShapeError, match=r"one a score, got shape \(3,\)"):
        exploit_and_explore(state, values_of(3), scores, key)
    with pytest.raises(ShapeError, match=r"one member a score, got shape \(2, "):
        exploit_and_explore(state, {}, jnp.arange(3.0), key)
    with pytest.raises(ConfigError, match="takes 2 members or more, got 1"):
        exploit_and_explore(stacked(1), values_of(1), scores[:1], key)
