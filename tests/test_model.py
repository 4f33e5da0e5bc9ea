"""The forward pass: shapes, densities against SciPy, and what depends on what."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

import ae_jax as ae
from ae_jax import keys as keys_lib
from ae_jax.bottlenecks.identity import identity
from tests import fast

BATCH, WIDTH, LATENT = 5, 6, 2
RNG = np.random.default_rng(0)
X = RNG.random((BATCH, WIDTH)).astype(np.float32)
NETWORK = ae.networks.mlp((16,), "tanh")
GAUSSIAN = ae.likelihoods.gaussian(scale=0.5)


def model_of(bottleneck=None, likelihood=GAUSSIAN, corruption=None, event_shape=(WIDTH,)):
    bottleneck = bottleneck or ae.bottlenecks.gaussian(LATENT)
    return ae.autoencoder(
        NETWORK, NETWORK, bottleneck, likelihood, corruption, event_shape=event_shape
    )


def example_keys(places=range(BATCH), step=0):
    return keys_lib.for_examples(jax.random.key(1), step, jnp.array(places, jnp.uint32))


def init(model):
    return fast.jit(model.init)(jax.random.key(0), X[0])


@functools.cache
def compiled(model, samples):
    return fast.jit(functools.partial(model.forward, samples=samples, train=True))


def forward(model, variables, x=X, samples=1, keys=None, **batch):
    keys = example_keys(range(len(x))) if keys is None else keys
    return compiled(model, samples)(variables, ae.Batch(jnp.asarray(x), **batch), keys)


@pytest.fixture(scope="module")
def vae():
    model = model_of()
    return model, init(model)


@pytest.mark.parametrize("k", [1, 3])
def test_sampled_quantities_are_batch_by_samples(vae, k):
    outputs, collected = forward(*vae, samples=k)
    assert outputs.corrupted.shape == (BATCH, WIDTH)
    assert outputs.posterior.mean.shape == (BATCH, LATENT)
    assert outputs.z.shape == (BATCH, k, LATENT)
    assert outputs.parameters.shape == (BATCH, k, WIDTH)
    for value in (outputs.log_px, outputs.log_qz, outputs.log_pz):
        assert value.shape == (BATCH, k)
    shapes = {name: value.shape for name, value in outputs.activations.items()}
    assert shapes == {"hidden_0": (BATCH, 16), "decoder/hidden_0": (BATCH, k, 16)}
    assert collected == {"state": {}, "bottleneck": {}}
    assert outputs.info == {}


def test_log_densities_are_scipys(vae):
    outputs, _ = forward(*vae, samples=3)
    loc, sigma = outputs.posterior.loc[:, None], np.exp(0.5 * outputs.posterior.log_var)[:, None]
    expected = {
        "log_px": stats.norm(outputs.parameters, 0.5).logpdf(X[:, None]),
        "log_qz": stats.norm(loc, sigma).logpdf(outputs.z),
        "log_pz": stats.norm.logpdf(outputs.z),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(outputs, name), value.sum(-1), rtol=1e-5, err_msg=name)


def test_the_bernoulli_model_is_scipys_and_a_deterministic_one_has_no_densities():
    model = model_of(ae.bottlenecks.identity(LATENT), ae.likelihoods.bernoulli())
    outputs, _ = forward(model, init(model), np.round(X))
    p = expit(np.asarray(outputs.parameters[:, 0], np.float64))
    expected = stats.bernoulli.logpmf(np.round(X), p).sum(-1)
    np.testing.assert_allclose(outputs.log_px[:, 0], expected, rtol=1e-5)
    assert outputs.log_qz is None
    assert outputs.log_pz is None


def test_missing_entries_do_not_count(vae):
    observed = np.random.default_rng(1).random(X.shape) < 0.6
    outputs, _ = forward(*vae, np.where(observed, X, 0), observed=jnp.asarray(observed))
    density = stats.norm(outputs.parameters[:, 0], 0.5).logpdf(X)
    expected = np.where(observed, density, 0).sum(-1)
    np.testing.assert_allclose(outputs.log_px[:, 0], expected, rtol=1e-5)


def test_one_sample_is_the_first_of_several(vae):
    alone, several = forward(*vae)[0], forward(*vae, samples=3)[0]
    for name in ("z", "parameters", "log_px", "log_qz", "log_pz"):
        one, first = getattr(alone, name), getattr(several, name)[:, :1]
        assert one.shape == first.shape
        np.testing.assert_allclose(one, first, rtol=1e-5, atol=1e-6, err_msg=name)


def test_samples_differ_between_draws_steps_and_examples(vae):
    z = np.asarray(forward(*vae, samples=3)[0].z)
    assert len(np.unique(z[..., 0].round(5))) == 3 * BATCH
    same = np.broadcast_to(X[:1], X.shape)
    assert len(np.unique(forward(*vae, same)[0].z[..., 0])) == BATCH
    later = forward(*vae, samples=3, keys=example_keys(step=1))[0].z
    assert not np.any(np.isclose(z, later, atol=1e-6))


def test_the_first_samples_are_the_same_whatever_their_number(vae):
    few, many = (forward(*vae, samples=k)[0].z for k in (1, 3))
    np.testing.assert_allclose(many[:, :1], few, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_compiling_does_not_change_the_result(vae):
    model, variables = vae
    eager, _ = model.forward(variables, ae.Batch(jnp.asarray(X)), example_keys(), train=True)
    jitted, _ = forward(model, variables)
    for one, other in zip(jax.tree.leaves(eager), jax.tree.leaves(jitted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_batch_is_its_examples_one_by_one(vae):
    whole, _ = forward(*vae, samples=3)
    for i in range(BATCH):
        alone, _ = forward(*vae, X[i : i + 1], samples=3, keys=example_keys([i]))
        for part, full in zip(jax.tree.leaves(alone), jax.tree.leaves(whole), strict=True):
            np.testing.assert_allclose(part[0], full[i], rtol=1e-5, atol=1e-6)


def test_encode_gives_the_mean_or_a_sample(vae):
    model, variables = vae
    encode = fast.jit(model.encode)
    loc = forward(*vae)[0].posterior.loc
    np.testing.assert_allclose(encode(variables, X), loc, rtol=1e-5, atol=1e-6)
    key = jax.random.key(3)
    sampled, again = (encode(variables, X, key) for _ in range(2))
    np.testing.assert_array_equal(sampled, again)
    assert np.abs(sampled - loc).min() > 1e-4
    posterior = forward(*vae)[0].posterior
    own = fast.jit(jax.vmap(lambda q, i: q.sample(jax.random.fold_in(key, i))))
    np.testing.assert_allclose(sampled, own(posterior, jnp.arange(BATCH)), rtol=1e-5, atol=1e-6)
    fewer = encode(variables, X[:2], key)
    np.testing.assert_allclose(fewer, sampled[:2], rtol=1e-5, atol=1e-6)
    other = encode(variables, X, jax.random.key(4))
    assert np.abs(sampled - other).min() > 1e-6


def test_encode_and_decode_need_their_own_parts_only(vae):
    model, variables = vae
    own = lambda *names: ae.Variables({n: variables.params[n] for n in names}, {})
    encode, decode = fast.jit(model.encode), fast.jit(model.decode)
    z = encode(own("encoder"), X)
    np.testing.assert_array_equal(z, encode(variables, X))
    decoded = decode(own("decoder"), z)
    assert decoded.shape == X.shape
    np.testing.assert_array_equal(decoded, decode(variables, z))


def test_decode_gives_the_mean_of_the_likelihood():
    model = model_of(likelihood=ae.likelihoods.bernoulli())
    variables = init(model)
    z = np.random.default_rng(1).normal(size=(3, LATENT)).astype(np.float32)
    parameters = fast.jit(model.decode_parameters)(variables, z)
    np.testing.assert_allclose(fast.jit(model.decode)(variables, z), expit(parameters), rtol=1e-5)


EVENTS = [(1,), (7,), (3, 5), (8, 8, 1), (3, 37, 53)]


def shapes_of(event, samples, variance):
    model = model_of(likelihood=ae.likelihoods.gaussian(variance), event_shape=event)

    def run(key):
        x = jnp.zeros((2, *event))
        variables = model.init(key, x[0])
        keys = keys_lib.for_examples(key, 0, jnp.arange(2))
        outputs, _ = model.forward(variables, ae.Batch(x), keys, samples=samples)
        return outputs.z, outputs.log_px, model.decode(variables, outputs.z[:, 0])

    return tuple(leaf.shape for leaf in jax.eval_shape(run, jax.random.key(0)))


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("variance", ["fixed", "predicted"])
def test_any_event_shape_comes_back(event, variance):
    assert shapes_of(event, 3, variance) == ((2, 3, LATENT), (2, 3), (2, *event))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple), st.integers(1, 3))
@settings(max_examples=6, deadline=None)
def test_any_drawn_event_shape_comes_back(event, samples):
    assert shapes_of(event, samples, "global") == ((2, samples, LATENT), (2, samples), (2, *event))


@pytest.mark.parametrize(
    ("encoder", "decoder", "match"),
    [
        (
            nn.Dense(3),
            nn.Dense(6),
            "the encoder emits shape (3,) for an input of shape (6,), but "
            "the bottleneck takes (4,)",
        ),
        (
            nn.Dense(4),
            nn.Dense(7),
            "the decoder emits shape (7,) for an input of shape (2,), but "
            "the likelihood takes (6,)",
        ),
    ],
)
def test_shapes_that_do_not_meet_are_both_printed(encoder, decoder, match):
    model = ae.autoencoder(
        ae.from_linen(encoder), ae.from_linen(decoder), ae.bottlenecks.gaussian(2), GAUSSIAN
    )
    with pytest.raises(ae.errors.ShapeError, match=re.escape(match)):
        jax.eval_shape(model.init, jax.random.key(0), X[0])


def test_a_built_in_decoder_needs_the_events_shape():
    with pytest.raises(TypeError, match=r"must be told what to emit: pass event_shape=x\.shape"):
        ae.autoencoder(NETWORK, NETWORK, ae.bottlenecks.gaussian(2), GAUSSIAN)


def test_parts_in_the_wrong_place_are_refused():
    with pytest.raises(ae.errors.PartError, match="expected a bottleneck, got Likelihood"):
        ae.autoencoder(NETWORK, NETWORK, GAUSSIAN, ae.bottlenecks.gaussian(2))
    with pytest.raises(ae.errors.PartError, match="expected a network, got Dense"):
        ae.autoencoder(nn.Dense(3), NETWORK, ae.bottlenecks.gaussian(2), GAUSSIAN)


def test_the_encoder_sees_the_corrupted_x_and_the_likelihood_the_clean_one():
    corruption = ae.corruptions.masking(0.5, value=-1.0)
    model = model_of(corruption=corruption)
    variables = init(model)
    outputs, _ = forward(model, variables)
    corrupted, info = fast.jit(jax.vmap(corruption))(example_keys().corruption, X)
    np.testing.assert_array_equal(outputs.corrupted, corrupted)
    np.testing.assert_array_equal(outputs.info["mask"], info["mask"])
    assert 0.2 < np.mean(outputs.info["mask"]) < 0.8
    loc = fast.jit(model.encode)(variables, corrupted)
    np.testing.assert_allclose(outputs.posterior.loc, loc, rtol=1e-5, atol=1e-6)
    expected = stats.norm(outputs.parameters[:, 0], 0.5).logpdf(X).sum(-1)
    np.testing.assert_allclose(outputs.log_px[:, 0], expected, rtol=1e-5)


def test_statistics_of_the_bottleneck_are_summed_over_valid_examples():
    counted = identity(LATENT)._replace(
        stats=lambda state, posterior, z: {"codes": z[0], "count": jnp.ones((), jnp.int32)}
    )
    model = model_of(counted)
    variables = init(model)
    valid = np.array([True, False, True, True, False])
    x = np.where(valid[:, None], X, np.nan)
    sums = forward(model, variables, x, valid=jnp.asarray(valid))[1]["bottleneck"]
    codes = fast.jit(model.encode)(variables, X)
    assert sums["count"] == 3
    np.testing.assert_allclose(sums["codes"], np.asarray(codes)[valid].sum(0), rtol=1e-5)
    everyone = forward(model, variables, valid=jnp.ones(BATCH, bool))[1]["bottleneck"]
    assert everyone["count"] == BATCH


@pytest.mark.parametrize("decay", [0.99, None])
def test_outside_jit_a_models_variables_may_be_numpy(decay):
    """Those of a Run are: `codebook[numbers]` of a NumPy codebook cannot be mapped."""
    model = model_of(ae.bottlenecks.vector_quantized((2, 3), 4, decay))
    variables = jax.tree.map(np.asarray, init(model))
    posterior = model.posterior(variables, X)
    codebook = variables.state.get("bottleneck", variables.params.get("bottleneck"))["codebook"]
    np.testing.assert_array_equal(posterior.codes, codebook[np.asarray(posterior.numbers)])
    outputs = model.forward(variables, ae.Batch(X), example_keys())[0]
    np.testing.assert_allclose(outputs.z[:, 0], posterior.codes, atol=1e-6)
    assert model.prior(variables).sample(jax.random.key(0)).shape == (2, 3)


def test_extras_reach_the_networks():
    class Conditioned(nn.Module):
        width: int

        @nn.compact
        def __call__(self, x, extras):
            return nn.Dense(self.width)(x) + extras["label"]

    model = ae.autoencoder(
        ae.from_linen(nn.Dense(LATENT)),
        ae.from_linen(Conditioned(WIDTH)),
        ae.bottlenecks.identity(LATENT),
        GAUSSIAN,
    )
    z = np.random.default_rng(1).normal(size=(3, LATENT)).astype(np.float32)
    kernel = {"Dense_0": {"kernel": jnp.zeros((LATENT, WIDTH)), "bias": jnp.zeros(WIDTH)}}
    extras = {"label": jnp.array([1.0, 2.0, 3.0])}
    decoded = model.decode(ae.Variables({"decoder": kernel}, {}), z, extras)
    np.testing.assert_array_equal(decoded, np.repeat([[1.0], [2.0], [3.0]], WIDTH, 1))


class Copies(nn.Module):
    """A decoder that emits the target it is told, and minus one where it is told none."""

    @nn.compact
    def __call__(self, z, *, target=None):
        shift = self.param("shift", nn.initializers.zeros, ())
        return shift + (jnp.full((3,), -1.0) if target is None else target)


def test_a_decoder_that_asks_for_it_is_told_the_clean_example_and_none_in_decode():
    model = ae.autoencoder(
        ae.from_linen(nn.Dense(2)),
        ae.from_linen(Copies()),
        ae.bottlenecks.identity(2),
        ae.likelihoods.gaussian(),
        ae.corruptions.masking(0.5),
    )
    x = jnp.arange(12.0).reshape(4, 3) + 1
    variables = model.init(jax.random.key(0), x[0])
    drawn = keys_lib.for_examples(jax.random.key(1), 0, jnp.arange(4))
    outputs, _ = model.forward(variables, ae.Batch(x), drawn, samples=2)
    np.testing.assert_array_equal(outputs.parameters, jnp.stack([x, x], axis=1))
    assert (outputs.corrupted != x).any()
    np.testing.assert_array_equal(model.decode(variables, jnp.zeros((4, 2))), -jnp.ones((4, 3)))
    bound = ae.evaluation.log_likelihood(model, variables, ae.Batch(x), drawn.latent, 4)
    np.testing.assert_allclose(bound, [-1.5 * np.log(2 * np.pi)] * 4, rtol=1e-6)
