"""One contract for every quantiser: shapes, jit, vmap, bf16, integers and back, padding, order."""

import contextlib
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ae_jax as ae
from ae_jax import keys as keys_lib
from ae_jax.testing._batches import on_devices
from tests import fast
from tests.bottlenecks.quantisers import CASES, SHAPE

BATCH = 8
NETWORK = ae.networks.linear()
IN_RECIPES = ("residual", "rotation", "fsq", "lfq", "bsq", "sim_vq", "ibq", "gumbel_softmax")
"""Whose recipes are checked on any number of devices, in tests/test_recipes.py."""


def some(*quick):
    """All quantisers, those of this list in the quick suite."""
    mark = lambda name: [] if name in quick else [pytest.mark.slow]
    return pytest.mark.parametrize("name", [pytest.param(name, marks=mark(name)) for name in CASES])


EACH = some("residual dropout")


def test_every_quantiser_is_in_the_table():
    quantisers = set()
    for name in ae.bottlenecks.__all__:
        with contextlib.suppress(ae.errors.ConfigError):  # those that need more than a size
            if getattr(ae.bottlenecks, name)(4).codes is not None:
                quantisers.add(name)
    assert len(quantisers) == 9
    assert quantisers == {case.bottleneck.node.name for case in CASES.values()}


@functools.cache
def passed(name):
    """A batch of features, through the bottleneck as a model has it, compiled once."""
    bottleneck = CASES[name].bottleneck
    rng = np.random.default_rng(0)
    features = rng.normal(size=(BATCH, *bottleneck.feature_shape)).astype(np.float32)

    def one(params, state, features, key):
        q = bottleneck.posterior(params, state, features)
        z = bottleneck.latent(params, state, q, None)
        prior = bottleneck.prior(params, state)
        return {
            "z": z,
            "drawn": bottleneck.latent(params, state, q, key),
            "numbers": q.numbers,
            "back": bottleneck.codes.latent(params, state, q.numbers),
            "log_q": q.log_prob(z),
            "log_p": prior.log_prob(z),
            "mean": q.mean,
            "mode": q.mode,
            "prior draw": prior.sample(key),
            "prior mean": prior.mean,
            "prior mode": prior.mode,
        }

    params, state = bottleneck.init(jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), BATCH)
    over = jax.vmap(one, in_axes=(None, None, 0, 0))
    halves = jnp.bfloat16(features)
    run = fast.jit(lambda p, s, x, h, k: (over(p, s, x, k), over(p, s, h, k)))
    whole, half = run(params, state, features, halves, keys)
    alone = one(params, state, features[3], keys[3])
    return bottleneck, (params, state), whole, half, alone


@EACH
def test_shapes_dtypes_jit_vmap_and_half_precision(name):
    bottleneck, _, whole, half, alone = passed(name)
    assert bottleneck.latent_shape == SHAPE
    for key in ("z", "drawn", "back", "mean", "mode", "prior draw", "prior mean", "prior mode"):
        assert whole[key].shape == (BATCH, *SHAPE), key
        assert whole[key].dtype == half[key].dtype == jnp.float32, key
        assert np.isfinite(whole[key]).all(), key
    assert whole["numbers"].shape == (BATCH, *bottleneck.codes.shape)
    assert whole["numbers"].dtype == jnp.int32
    for key, value in alone.items():  # without jit and vmap
        np.testing.assert_allclose(whole[key][3], value, rtol=1e-5, atol=1e-6, err_msg=key)


@EACH
def test_integers_are_the_latent_and_the_latent_the_integers(name):
    bottleneck, _, whole, half, _ = passed(name)
    numbers = np.asarray(whole["numbers"])
    assert numbers.min() >= 0
    assert numbers.max() < bottleneck.codes.size
    for found in (whole, half):
        np.testing.assert_allclose(found["back"], found["z"], rtol=1e-6, atol=1e-6)
    unlike = np.unique(numbers.reshape(BATCH, -1), axis=0)
    z = np.asarray(whole["z"]).reshape(BATCH, -1)
    assert len(unlike) == len(np.unique(z.round(5), axis=0))  # one to one


@EACH
def test_masses_are_those_of_codes(name):
    """The prior is uniform over all integers; a point's posterior is that code's alone."""
    bottleneck, _, whole, _, _ = passed(name)
    codes = bottleneck.codes
    nats = math.prod(codes.shape) * math.log(codes.size)
    np.testing.assert_allclose(whole["log_p"], -nats, rtol=1e-5)
    if "gumbel" in name or name == "straight_through":
        assert np.all(whole["log_q"] < 0)
    else:
        assert not np.any(whole["log_q"])


def model_of(name):
    case = CASES[name]
    parts = NETWORK, NETWORK, case.bottleneck, ae.likelihoods.gaussian()
    model = ae.autoencoder(*parts, event_shape=(6,))
    return model, ae.terms.reconstruction() + case.objective


@functools.cache
def stepped(name):
    """The step's sums, gradients, and state: as it is, permuted, with other padding, on devices."""
    model, objective = model_of(name)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(BATCH, 6)).astype(np.float32)
    valid = np.arange(BATCH) != 2
    order = rng.permutation(BATCH)

    def step(whole, rows, across=ae.types.ALONE):
        variables, step_key = whole
        x, valid, places = rows
        batch = ae.Batch(x, valid=valid)
        keys = keys_lib.for_examples(jax.random.key(2), 0, places)

        def loss(params):
            inner = variables._replace(params=params)
            outputs, collected = model.forward(inner, batch, keys, train=True)
            context = ae.Context(model, inner, batch, keys, jnp.int32(0), 100, across, train=True)
            value, metrics = objective(outputs, context)
            return value, (metrics, collected["bottleneck"])

        grads, (metrics, sums) = jax.grad(loss, has_aux=True)(variables.params)
        state = variables.state.get("bottleneck", {})
        new = model.bottleneck.update(state, across.sum(sums), step_key)
        return {**across.mean({"gradients": grads, "metrics": metrics}), "state": new}

    variables = model.init(jax.random.key(0), x[0])
    whole = (variables, jax.random.key(3))
    places = np.arange(BATCH, dtype=np.uint32)
    dirty = np.where(valid[:, None], x, 7.0).astype(np.float32)
    run = fast.jit(step)
    found = {
        "plain": run(whole, (x, valid, places)),
        "permuted": run(whole, (x[order], valid[order], places[order])),
        "padded": run(whole, (dirty, valid, places)),
    }
    for count in (4, 8):
        if count <= jax.device_count():
            found[f"{count} devices"] = lambda count=count: on_devices(fast.jit, count, step)(
                whole, (x, valid, places)
            )
    return variables, found


def assert_same(found, wanted, what):
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(wanted), strict=True
    ):
        scale = np.abs(b).max() + 1e-6
        np.testing.assert_allclose(
            a, b, rtol=2e-5, atol=2e-5 * scale, err_msg=f"{what} {jax.tree_util.keystr(path)}"
        )


@some("residual dropout")
def test_order_and_padding_of_a_batch_change_nothing(name):
    variables, found = stepped(name)
    for what in ("permuted", "padded"):
        assert_same(found[what], found["plain"], what)
    state = variables.state.get("bottleneck", {})
    form = lambda tree: jax.tree.map(lambda leaf: (jnp.shape(leaf), leaf.dtype), tree)
    assert form(found["plain"]["state"]) == form(state)
    encoder = found["plain"]["gradients"]["encoder"]
    assert optax.tree.norm(encoder) > 0  # no quantiser stops the gradient


@pytest.mark.slow
@pytest.mark.devices(4)
@pytest.mark.parametrize("name", [name for name in CASES if name not in IN_RECIPES])
def test_a_step_is_the_same_on_four_devices(name):
    _, found = stepped(name)
    assert_same(found["4 devices"](), found["plain"], "4 devices")


@pytest.mark.slow
@pytest.mark.devices(8)
def test_a_step_is_the_same_on_eight_devices():
    _, found = stepped("residual dropout")
    assert_same(found["8 devices"](), found["plain"], "8 devices")


@pytest.mark.parametrize(
    "name", ["residual dropout", pytest.param("gumbel_softmax", marks=pytest.mark.slow)]
)
def test_training_is_told_to_the_latent_and_evaluation_is_not(name):
    """Relaxed, or shortened, in training; a code of all levels in evaluation, key or none."""
    model, _ = model_of(name)
    variables = model.init(jax.random.key(0), np.zeros(6, np.float32))
    batch = ae.Batch(np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32))
    keys = keys_lib.for_examples(jax.random.key(2), 0, jnp.arange(64))
    both = fast.jit(lambda v: [model.forward(v, batch, keys, train=t)[0].z for t in (0, 1)])
    tested, trained = both(variables)
    part = [tree.get("bottleneck", {}) for tree in variables]
    book = model.bottleneck.prior(*part)
    if name == "gumbel_softmax":
        codes = np.asarray(book.codebook)
        far = lambda z: np.abs(np.asarray(z)[..., None, :] - codes).sum(-1).min(-1)
        assert far(tested).max() < 1e-6 < far(trained).min()
    else:
        assert 0.3 < np.mean(np.abs(np.asarray(tested - trained)).sum((1, 2, 3)) > 1e-6) < 0.7
