"""Batch normalisation behind the adapters: over the whole batch, wherever it is."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

import ae_jax as ae
from ae_jax import keys as keys_lib
from ae_jax.training import init_state, make_step
from ae_jax.training.parallel import strategies as parallel
from tests import fast

RNG = np.random.default_rng(0)
BATCH, WIDTH, UNITS, LATENT = 16, 6, 5, 2
X = (RNG.normal(size=(BATCH, WIDTH)) * [1, 2, 3, 4, 5, 6] + 1).astype(np.float32)
STEPS = 3
MOMENTUM = 0.75


class LinenNet(nn.Module):
    """Dense, batch normalisation (whose output is sown), dense."""

    width: int
    axis_name: str | None = "batch"

    @nn.compact
    def __call__(self, x, train: bool):
        h = nn.Dense(UNITS, name="first")(x)
        norm = nn.BatchNorm(not train, momentum=MOMENTUM, axis_name=self.axis_name, name="norm")
        h = norm(h)
        self.sow("intermediates", "normal", h)
        return nn.Dense(self.width, name="last")(nn.tanh(h))


class NnxNet(nnx.Module):
    """The same in NNX."""

    def __init__(self, rngs, incoming, width, axis_name="batch"):
        self.first = nnx.Linear(incoming, UNITS, rngs=rngs)
        self.norm = nnx.BatchNorm(UNITS, momentum=MOMENTUM, axis_name=axis_name, rngs=rngs)
        self.last = nnx.Linear(UNITS, width, rngs=rngs)

    def __call__(self, x):
        h = self.norm(self.first(x))
        self.sow(nnx.Intermediate, "normal", h)
        return self.last(nnx.tanh(h))


def coders(flavour, **options):
    """Encoder and decoder of `flavour`, WIDTH to LATENT and back."""
    if flavour == "linen":
        return [ae.from_linen(LinenNet(width, **options)) for width in (LATENT, WIDTH)]
    build = functools.partial(functools.partial, NnxNet, **options)
    sizes = [(WIDTH, LATENT), (LATENT, WIDTH)]
    return [ae.from_nnx(build(incoming=a, width=b)) for a, b in sizes]


def flat(tree):
    """Leaves by name: "norm/mean" in Linen's `batch_stats/norm/mean` and in NNX's `norm/mean`."""
    paths = jax.tree_util.tree_leaves_with_path(tree)
    name = lambda path: "/".join(str(k.key) for k in path).removeprefix("batch_stats/")
    return {name(path): np.asarray(leaf) for path, leaf in paths}


@functools.cache
def game_of(flavour):
    """A model, its players, and the state they start from."""
    model = ae.autoencoder(
        *coders(flavour), ae.bottlenecks.identity(LATENT), ae.likelihoods.gaussian()
    )
    objective = ae.terms.reconstruction() + ae.terms.latent_l2()
    players = (ae.Player(("decoder", "encoder"), objective, optax.sgd(1e-2)),)
    return model, players, fast.jit(lambda: init_state(model, players, X[0], 0))()


def model_of(flavour):
    model, _, state = game_of(flavour)
    return model, state.variables


@functools.cache
def forward(flavour, train):
    model, _ = model_of(flavour)
    return fast.jit(functools.partial(model.forward, train=train, samples=2))


def keys():
    return keys_lib.for_examples(jax.random.key(1), 0, jnp.arange(BATCH))


@functools.cache
def trained(flavour, devices):
    """Metrics and variables after a few steps, the batch shared out over the devices."""
    model, players, state = game_of(flavour)
    step, strategy = make_step(model, players, BATCH), parallel.pmap(jax.devices()[:devices])
    share = BATCH // devices

    def per_shard(device, state, x):
        places = device * jnp.uint32(share) + jnp.arange(share, dtype=jnp.uint32)
        return step(state, ae.Batch(jnp.take(x, places, axis=0)), places, strategy.across)

    state, x = strategy.place((state, X))
    run, losses = strategy.compile("train", per_shard), []
    for _ in range(STEPS):
        state, metrics = run(state, x)
        losses.append(float(metrics["loss"]))
    return losses, flat(state.variables.params), flat(state.variables.state)


FLAVOURS = pytest.mark.parametrize("flavour", ["linen", "nnx"])


@FLAVOURS
def test_training_normalises_by_the_whole_batch_and_updates_the_state(flavour):
    _, variables = model_of(flavour)
    outputs, collected = forward(flavour, train=True)(variables, ae.Batch(jnp.asarray(X)), keys())
    params = flat(variables.params["encoder"])
    before = X @ params["first/kernel"].astype(np.float64) + params["first/bias"]
    mean, var = before.mean(0), before.var(0)
    normal = (before - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(outputs.activations["normal"], normal, rtol=1e-4, atol=1e-5)
    state = flat(collected["state"]["encoder"])
    np.testing.assert_allclose(state["norm/mean"], (1 - MOMENTUM) * mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state["norm/var"], MOMENTUM + (1 - MOMENTUM) * var, rtol=1e-5)


@FLAVOURS
def test_the_decoder_is_normalised_over_the_batch_at_each_sample(flavour):
    _, variables = model_of(flavour)
    outputs, collected = forward(flavour, train=True)(variables, ae.Batch(jnp.asarray(X)), keys())
    normal = np.asarray(outputs.activations["decoder/normal"], np.float64)
    assert normal.shape == (BATCH, 2, UNITS)
    np.testing.assert_allclose(normal.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(normal.std(0), 1, rtol=1e-2)
    params = flat(variables.params["decoder"])
    before = np.asarray(outputs.z[:, 0], np.float64) @ params["first/kernel"] + params["first/bias"]
    state = flat(collected["state"]["decoder"])
    expected = (1 - MOMENTUM) * before.mean(0)
    np.testing.assert_allclose(state["norm/mean"], expected, rtol=1e-5, atol=1e-6)


@FLAVOURS
def test_evaluation_uses_the_stored_statistics_and_keeps_them(flavour):
    _, variables = model_of(flavour)
    outputs, collected = forward(flavour, train=False)(variables, ae.Batch(jnp.asarray(X)), keys())
    params = flat(variables.params["encoder"])
    before = X @ params["first/kernel"] + params["first/bias"]
    expected = before / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(outputs.activations["normal"], expected, rtol=1e-4, atol=1e-5)
    kept = flat(collected["state"]["encoder"])
    np.testing.assert_array_equal(kept["norm/mean"], np.zeros(UNITS))
    np.testing.assert_array_equal(kept["norm/var"], np.ones(UNITS))


@FLAVOURS
def test_encoding_one_example_is_encoding_it_among_others(flavour):
    model, variables = model_of(flavour)
    encode = fast.jit(model.encode)
    np.testing.assert_allclose(
        encode(variables, X[:1]), encode(variables, X)[:1], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("devices", [2, 4, 8])
@FLAVOURS
def test_training_is_the_same_on_any_number_of_devices(flavour, devices):
    losses, params, state = trained(flavour, devices)
    for got, expected in zip((params, state), trained(flavour, 1)[1:], strict=True):
        for name, value in expected.items():
            np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(losses, trained(flavour, 1)[0], rtol=1e-5)
    assert losses[-1] < losses[0]
    assert all(np.abs(value).min() > 1e-4 for value in state.values())


@FLAVOURS
@pytest.mark.parametrize("axis_name", [None, "device"])
def test_a_normalisation_that_would_see_one_example_is_refused_with_the_fix(flavour, axis_name):
    build = lambda: coders(flavour, axis_name=axis_name)[0].init(jax.random.key(0), X[0])
    with pytest.raises(ae.errors.PartError) as error:
        build()
    assert f"has axis_name={axis_name!r}: parts are written for one example" in str(error.value)
    assert "Give it axis_name='batch'." in str(error.value)
