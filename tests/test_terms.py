"""The terms of every variational model, bound to a real forward pass, against NumPy and SciPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

import ae_jax as ae
from ae_jax import keys as keys_lib
from ae_jax.registry import TERMS
from tests import fast

BATCH, WIDTH, LATENT, SAMPLES = 5, 6, 2, 4
RNG = np.random.default_rng(0)
X = RNG.random((BATCH, WIDTH)).astype(np.float32)
OBSERVED = RNG.random((BATCH, WIDTH)) < 0.7
VALID = np.array([True, False, True, True, False])
NETWORK = ae.networks.mlp((8,), "tanh")


@functools.cache
def passed():
    """A forward pass with several samples, and its context."""
    model = ae.autoencoder(
        NETWORK,
        NETWORK,
        ae.bottlenecks.gaussian(LATENT),
        ae.likelihoods.bernoulli(),
        event_shape=(WIDTH,),
    )
    batch, keys = (
        ae.Batch(jnp.asarray(X)),
        keys_lib.for_examples(jax.random.key(0), 0, jnp.arange(5)),
    )
    variables = fast.jit(model.init)(jax.random.key(1), X[0])
    forward = fast.jit(functools.partial(model.forward, samples=SAMPLES))
    outputs, _ = forward(variables, batch, keys)
    return outputs, ae.Context(model, variables, batch, keys, jnp.int32(0), 100)


def per_example(objective, outputs, context):
    return objective.terms[0].per_example(outputs, context)


def test_reconstruction_is_the_mean_negative_log_likelihood():
    outputs, context = passed()
    p = expit(np.asarray(outputs.parameters, np.float64))
    entries = X[:, None] * np.log(p) + (1 - X[:, None]) * np.log1p(-p)
    got = per_example(ae.terms.reconstruction(), outputs, context)
    np.testing.assert_allclose(got, -entries.sum(-1).mean(1), rtol=1e-5)


@pytest.mark.parametrize("observed", [False, True])
def test_squared_error_is_that_of_the_likelihoods_mean(observed):
    outputs, context = passed()
    mask = jnp.asarray(OBSERVED) if observed else None
    context = context._replace(batch=context.batch._replace(observed=mask))
    error = (X[:, None] - expit(np.asarray(outputs.parameters, np.float64))) ** 2
    counted = error if not observed else np.where(OBSERVED[:, None], error, 0)
    got = per_example(ae.terms.squared_error(), outputs, context)
    np.testing.assert_allclose(got, counted.sum(-1).mean(1), rtol=1e-5)


def test_kl_is_the_closed_form():
    outputs, context = passed()
    loc = np.asarray(outputs.posterior.loc, np.float64)
    log_var = np.asarray(outputs.posterior.log_var, np.float64)
    expected = 0.5 * np.sum(np.exp(log_var) + loc**2 - 1 - log_var, -1)
    got = per_example(ae.terms.kl(), outputs, context)
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    assert (np.asarray(got) >= 0).all()


def test_kl_agrees_with_its_monte_carlo_estimate():
    outputs, context = passed()
    draws = 20_000
    loc = np.asarray(outputs.posterior.loc, np.float64)[:, None]
    sigma = np.exp(0.5 * np.asarray(outputs.posterior.log_var, np.float64))[:, None]
    z = loc + sigma * np.random.default_rng(1).normal(size=(BATCH, draws, LATENT))
    ratios = (stats.norm(loc, sigma).logpdf(z) - stats.norm.logpdf(z)).sum(-1)
    error = ratios.std(1) / np.sqrt(draws)
    closed = np.asarray(per_example(ae.terms.kl(), outputs, context))
    assert (np.abs(ratios.mean(1) - closed) < 4.5 * error).all()
    assert (closed > 5 * error).any()


def test_without_a_closed_form_kl_is_the_mean_log_ratio():
    outputs, context = passed()
    # A posterior of which no closed form is known.
    hidden = outputs._replace(posterior=ae.distributions.Deterministic(outputs.posterior.loc))
    expected = np.mean(outputs.log_qz - outputs.log_pz, axis=1)
    got = per_example(ae.terms.kl(), hidden, context)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_kl_of_a_deterministic_code_is_refused_with_the_fix():
    outputs, context = passed()
    point = ae.distributions.Deterministic(outputs.posterior.loc)
    outputs = outputs._replace(posterior=point, log_qz=None, log_pz=None)
    with pytest.raises(ae.errors.PartError, match=r"'kl' needs .*such as ae\.bottlenecks\.gauss"):
        per_example(ae.terms.kl(), outputs, context)


def test_the_objective_of_a_vae_is_its_negative_elbo_over_valid_examples():
    outputs, context = passed()
    context = context._replace(batch=context.batch._replace(valid=jnp.asarray(VALID)))
    loss, metrics = (ae.terms.reconstruction() + 4.0 * ae.terms.kl())(outputs, context)
    each = [
        per_example(make(), outputs, context) for make in (ae.terms.reconstruction, ae.terms.kl)
    ]
    expected = [np.asarray(value)[VALID].mean() for value in each]
    np.testing.assert_allclose([metrics["reconstruction"], metrics["kl"]], expected, rtol=1e-6)
    np.testing.assert_allclose(loss, expected[0] + 4 * expected[1], rtol=1e-6)


def test_the_weight_of_the_kl_reaches_the_gradient_of_the_encoder():
    """β stored and never applied is a fault other libraries had."""
    _, context = passed()
    model, batch, keys = context.model, context.batch, context.keys

    def gradient(objective):
        def loss(params):
            variables = context.variables._replace(params=params)
            outputs, _ = model.forward(variables, batch, keys, samples=1)
            return objective(outputs, context._replace(variables=variables))[0]

        return jax.grad(loss)(context.variables.params)

    rebuilt = fast.jit(gradient)
    by_weight = [
        rebuilt(ae.terms.reconstruction() + jnp.float32(weight) * ae.terms.kl())
        for weight in (0.0, 1.0, 3.0)
    ]
    flat = [np.concatenate([*map(np.ravel, jax.tree.leaves(g["encoder"]))]) for g in by_weight]
    step, triple = flat[1] - flat[0], flat[2] - flat[0]
    assert np.abs(step).max() > 1e-3
    np.testing.assert_allclose(triple, 3 * step, rtol=1e-3, atol=1e-5)
    for one, other in zip(*(jax.tree.leaves(by_weight[i]["decoder"]) for i in (0, 2)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_every_term_is_registered_under_its_name():
    assert set(ae.terms.__all__) - {"detached", "where"} <= set(TERMS.factories)
    for name, factory in TERMS.factories.items():
        assert getattr(ae.terms, name) is factory
