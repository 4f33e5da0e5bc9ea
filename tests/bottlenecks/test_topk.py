"""The k largest units: which they are, where gradients go, and how long the others rested."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ae_jax as ae
from ae_jax import keys as keys_lib
from ae_jax.bottlenecks.topk import LONG_AGO
from tests import fast
from tests.bottlenecks.updates import AS_IT_IS, states
from tests.reference import sparsity as reference

SHAPES = [(8,), (2, 4), (3, 2, 2)]
RNG = np.random.default_rng(0)


def state_of(bottleneck):
    return bottleneck.init(jax.random.key(0))[1]


def code(bottleneck, features, key=None):
    state = state_of(bottleneck)
    posterior = bottleneck.posterior({}, state, jnp.asarray(features, jnp.float32))
    return np.asarray(bottleneck.latent({}, state, posterior, key))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("relu", [True, False])
def test_the_k_largest_of_the_whole_latent_stay_as_they_are(shape, k, relu):
    bottleneck = ae.bottlenecks.topk(shape, k, relu=relu)
    assert bottleneck.latent_shape == bottleneck.feature_shape == shape
    for _ in range(5):
        features = RNG.integers(-3, 4, size=shape).astype(np.float64)  # with ties
        units = np.maximum(features, 0) if relu else features
        for key in (None, jax.random.key(0)):
            np.testing.assert_array_equal(
                code(bottleneck, features, key), reference.top_k(units, k)
            )


def test_ties_go_to_the_lowest_index():
    features = [[1.0, 2.0, 2.0], [2.0, 0.0, 2.0]]
    wanted = [[0, 2, 2], [0, 0, 0]]
    np.testing.assert_array_equal(code(ae.bottlenecks.topk((2, 3), 2), features), wanted)
    _, winners = jax.lax.top_k(jnp.ravel(jnp.array(features)), 2)
    assert winners.tolist() == [1, 2]
    batch = fast.jit(jax.vmap(lambda v: ae.losses.top_k(v, 2)))(jnp.array([features, features]))
    np.testing.assert_array_equal(batch, [wanted, wanted])


def test_relu_leaves_fewer_than_k_where_fewer_are_above_zero():
    features = [-1.0, 3.0, -2.0, 0.0]
    np.testing.assert_array_equal(code(ae.bottlenecks.topk(4, 3), features), [0, 3, 0, 0])
    plain = code(ae.bottlenecks.topk(4, 3, relu=False), features)
    np.testing.assert_array_equal(plain, [-1, 3, 0, 0])


def test_the_same_k_in_training_and_evaluation_and_on_leading_axes():
    bottleneck = ae.bottlenecks.topk((2, 4), 3)
    model = ae.autoencoder(AS_IT_IS, AS_IT_IS, bottleneck, ae.likelihoods.gaussian())
    x = RNG.normal(size=(6, 2, 4)).astype(np.float32)
    variables = ae.Variables({}, {"bottleneck": state_of(bottleneck)})
    keys = keys_lib.for_examples(jax.random.key(0), 0, jnp.arange(6))
    wanted = [reference.top_k(np.maximum(row, 0), 3) for row in x]

    def everyway(x):
        codes = lambda train: model.forward(variables, ae.Batch(x), keys, train=train)[0].z[:, 0]
        encode = functools.partial(model.encode, variables)
        two_axes = jax.vmap(encode)(x.reshape(2, 3, 2, 4)).reshape(x.shape)
        return codes(True), codes(False), encode(x), two_axes

    for got in fast.jit(everyway)(x):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("relu", [True, False])
def test_the_gradient_reaches_the_units_kept_and_no_others(relu):
    bottleneck = ae.bottlenecks.topk((2, 4), 5, relu=relu)
    features, weights = RNG.normal(size=(2, 2, 4))
    weighted = lambda v: jnp.sum(bottleneck.posterior({}, state_of(bottleneck), v).value * weights)
    kept = reference.top_k(np.maximum(features, 0) if relu else features, 5) != 0
    assert 0 < kept.sum() <= 5
    got = fast.jit(jax.grad(weighted))(jnp.asarray(features, jnp.float32))
    np.testing.assert_allclose(got, np.where(kept, weights, 0), rtol=1e-6)


STEPS, BATCH = 6, 16
DATA = RNG.normal(size=(STEPS, BATCH, 2, 4)) - np.linspace(0, 3, 8).reshape(2, 4)
MASK = RNG.random((STEPS, BATCH)) < 0.6


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_units_count_the_examples_since_they_were_used_anywhere(devices):
    found = states(ae.bottlenecks.topk((2, 4), 2), DATA, MASK, devices)
    wanted, rested = [np.zeros((2, 4))], np.zeros((2, 4))
    for x, valid in zip(DATA, MASK, strict=True):
        used = np.any([reference.top_k(np.maximum(row, 0), 2) > 0 for row in x[valid]], axis=0)
        rested = np.where(used, 0, rested + valid.sum())
        wanted.append(rested)
    got = [state["unused_for"] for state in found]
    np.testing.assert_array_equal(got, wanted)
    assert got[0].dtype == np.int32
    assert np.ptp(wanted[-1]) > 0
    assert np.diff(wanted, axis=0).min() < 0  # one came back


def test_units_are_dead_from_the_threshold_on():
    bottleneck = ae.bottlenecks.topk(4, 1, dead_after=50)
    state = {"unused_for": jnp.array([0, 49, 50, LONG_AGO])}
    posterior = bottleneck.posterior({}, state, jnp.ones(4))
    assert posterior.dead.tolist() == [False, False, True, True]
    assert not bottleneck.posterior({}, state_of(bottleneck), jnp.ones(4)).dead.any()


def test_counters_never_wrap():
    bottleneck = ae.bottlenecks.topk(2, 1)
    sums = {"uses": jnp.array([0, 1]), "examples": jnp.int32(2**20)}
    state = {"unused_for": jnp.full(2, LONG_AGO, jnp.int32)}
    for _ in range(3):
        state = bottleneck.update(state, sums, jax.random.key(0))
    assert state["unused_for"][0] >= LONG_AGO
    assert state["unused_for"][1] == 0


def test_there_is_no_density_and_no_prior():
    bottleneck = ae.bottlenecks.topk(4, 2)
    posterior = bottleneck.posterior({}, state_of(bottleneck), jnp.arange(4.0))
    assert posterior.log_prob(posterior.mean) is None
    for value in (posterior.mean, posterior.mode, posterior.sample(jax.random.key(0))):
        np.testing.assert_array_equal(value, [0, 0, 2, 3])
    assert bottleneck.prior({}, {}) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k must be a positive whole number, got 0"),
        ({"k": 2.0}, "k must be a positive whole number, got 2.0"),
        ({"k": 7}, r"k must lie in 1 to 6, the units of latent_dim=\(2, 3\), got 7"),
        ({"k": 1, "dead_after": 0}, "dead_after must be a positive whole number, got 0"),
        ({"k": 1, "dead_after": 2**31}, "dead_after must not exceed 1073741824 examples"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ae.errors.ConfigError, match=message):
        ae.bottlenecks.topk((2, 3), **arguments)


@pytest.mark.slow
def test_the_auxiliary_loss_brings_dead_units_back():
    """Four of sixteen units start out so strong that no other is ever among the largest two."""
    x = jnp.asarray(RNG.random((512, 12)) < 0.2, jnp.float32)
    network, strong = ae.networks.linear(), jnp.arange(16) < 4

    def dead(weight):
        recipe = ae.recipes.topk(
            16, k=2, weight=weight, dead_k=4, dead_after=640, encoder=network, decoder=network
        )
        model, objective = recipe.build(ae.Spec((12,), "real"))
        variables = jax.eval_shape(model.init, jax.random.key(0), x[0])
        players = ae.training.single_player(objective, optax.adam(1e-2), variables)
        step = ae.training.make_step(model, players, num_train=len(x))

        def draw_and_step(i, state):
            rows = jax.random.randint(jax.random.fold_in(jax.random.key(0), i), (64,), 0, len(x))
            return step(state, ae.Batch(x[rows]))[0]

        def train():
            state = ae.training.init_state(model, players, x[0], seed=0)
            params = state.variables.params
            first = params["encoder"]["output"] | {"bias": jnp.where(strong, 3.0, 0.0)}
            params = params | {"encoder": {"output": first}}
            state = state._replace(variables=state.variables._replace(params=params))
            return jax.lax.fori_loop(0, 1000, draw_and_step, state)

        state = fast.jit(train)().variables.state["bottleneck"]
        return int((state["unused_for"] >= 640).sum())

    assert dead(0.0) >= 8
    assert dead(1 / 32) <= 4
