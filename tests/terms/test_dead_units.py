"""Dead units stand in for what the living ones miss: values and gradients in closed form."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import jaxprs_in_params
from scipy.special import expit

import ae_jax as ae
from ae_jax import terms
from ae_jax.training import init_state, make_step, single_player
from tests import fast
from tests.reference import sparsity as oracles
from tests.terms.setting import VALID, Setting, double, evaluate, gradients, setting

LINEAR = ae.networks.linear()
UNITS, DEAD = 6, np.array([True, False, True, True, False, True])


@functools.cache
def made(relu=True, decoder=LINEAR, likelihood=None):
    """The pass of a linear model with some dead units; the decoder's biases are not zero."""
    plain = setting("identity", encoder=LINEAR, decoder=decoder)
    bottleneck = ae.bottlenecks.topk(UNITS, 2, relu=relu, dead_after=100)
    likelihood = likelihood or ae.likelihoods.gaussian()
    model = ae.autoencoder(LINEAR, decoder, bottleneck, likelihood, event_shape=(6,))
    variables = fast.jit(model.init)(jax.random.key(0), jnp.zeros(6))
    params = jax.tree.map(lambda leaf: leaf + 0.125, variables.params)
    return forward(plain, model, params, unused_for=jnp.where(DEAD, 100, 99))


def forward(passed, model, params, unused_for):
    variables = ae.Variables(params, {"bottleneck": {"unused_for": unused_for}})
    context = passed.context._replace(model=model, variables=variables)
    run = fast.jit(functools.partial(model.forward, samples=2))
    return Setting(model, run(variables, context.batch, context.keys)[0], context)


def matrix(passed, part):
    (layer,) = passed.context.variables.params[part].values()
    return double(layer["kernel"]), double(layer["bias"])


def chosen(passed, k, relu=True):
    """The features of the k strongest dead units of each example, `[b, units]`."""
    kernel, bias = matrix(passed, "encoder")
    features = double(passed.context.batch.x) @ kernel + bias
    features = np.maximum(features, 0) if relu else features
    return np.array([oracles.top_k_of_dead(row, DEAD, k) for row in features])


def residual(passed):
    return double(passed.context.batch.x) - double(passed.outputs.parameters)[:, 0]


@pytest.mark.parametrize("relu", [True, False])
def test_values_are_those_of_numpy_over_observed_entries(relu):
    passed = made(relu)
    got = values_of(passed)
    observed, (kernel, bias) = np.asarray(passed.context.batch.observed), matrix(passed, "decoder")
    assert np.abs(bias).min() > 0.1
    for name, k in (("two", 2), ("all", UNITS)):
        revived = chosen(passed, k, relu) @ kernel  # without the bias
        wanted = np.sum(np.where(observed, residual(passed) - revived, 0) ** 2, axis=1)
        np.testing.assert_allclose(got[name], wanted, rtol=1e-5)
    assert np.abs(got["two"] - got["all"]).max() > 1e-3


@ae.term
def not_detached(outputs, context):
    """The same of all dead units, were the residual not held constant."""
    kernel = context.variables.params["decoder"]["output"]["kernel"]
    units = jnp.where(outputs.posterior.dead, outputs.posterior.units, 0)
    error = context.batch.x - outputs.parameters[:, 0] - units @ kernel
    return jnp.sum(jnp.where(context.batch.observed, error, 0) ** 2, axis=1)


OBJECTIVES = {
    "two": terms.dead_units(k=2),
    "all": terms.dead_units(k=UNITS),
    "not_detached": not_detached(),
    "squared_error": terms.squared_error(),
}


def values_of(passed):
    return evaluate(passed, **OBJECTIVES)


@functools.cache
def slopes():
    """The gradient of each objective by the parameters."""
    return jax.tree.map(np.asarray, gradients(made(), **OBJECTIVES))


def expected_gradients(passed, k):
    """By hand, of the mean over valid examples: decoder's and encoder's kernels."""
    observed, (kernel, _) = np.asarray(passed.context.batch.observed), matrix(passed, "decoder")
    codes, x = chosen(passed, k), double(passed.context.batch.x)
    error = np.where(observed, codes @ kernel - residual(passed), 0) * VALID[:, None]
    slope = 2 * (error @ kernel.T) * (codes > 0)
    return 2 * codes.T @ error / VALID.sum(), x.T @ slope / VALID.sum(), slope.sum(0) / VALID.sum()


def test_the_gradient_goes_through_the_chosen_dead_units_alone():
    found = slopes()["two"]
    decoder, encoder, shift = expected_gradients(made(), k=2)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    close(found["decoder"]["output"]["kernel"], decoder)
    close(found["encoder"]["output"]["kernel"], encoder)
    close(found["encoder"]["output"]["bias"], shift)
    assert np.abs(encoder).max() > 1e-2
    assert not found["decoder"]["output"]["kernel"][~DEAD].any()
    assert not found["encoder"]["output"]["kernel"][:, ~DEAD].any()


def test_the_bias_of_the_decoder_is_not_counted_twice():
    """A bias decoded twice would move with every example's error."""
    biases = {name: found["decoder"]["output"]["bias"] for name, found in slopes().items()}
    np.testing.assert_allclose(biases["two"], 0, atol=1e-6)
    assert np.abs(biases["squared_error"]).min() > 1e-2


def test_the_residual_is_a_constant():
    """Were it not, living units would be moved as well, and the two gradients would differ."""
    got = values_of(made())
    np.testing.assert_allclose(got["all"], got["not_detached"], rtol=1e-5)
    living = {
        name: found["encoder"]["output"]["kernel"][:, ~DEAD] for name, found in slopes().items()
    }
    assert not living["all"].any()
    assert np.abs(living["not_detached"]).max() > 1e-2


def test_another_decoder_adds_what_the_code_zero_does_not_give():
    """With a hidden layer and a Bernoulli mean: σ(decoder(z)) - σ(decoder(0))."""
    network, likelihood = ae.networks.mlp((8,), "tanh"), ae.likelihoods.bernoulli()
    passed = made(decoder=network, likelihood=likelihood)
    got = evaluate(passed, it=terms.dead_units(k=2))["it"]
    model, variables = passed.model, passed.context.variables
    codes = np.concatenate([chosen(passed, 2), np.zeros((1, UNITS))])
    decoded = fast.jit(model.decode_parameters)(variables, jnp.asarray(codes, jnp.float32))
    means = expit(double(decoded))
    x, observed = double(passed.context.batch.x), np.asarray(passed.context.batch.observed)
    error = x - expit(double(passed.outputs.parameters)[:, 0]) - (means[:-1] - means[-1])
    np.testing.assert_allclose(got, np.sum(np.where(observed, error, 0) ** 2, axis=1), rtol=1e-5)


def test_without_dead_units_it_costs_nothing():
    passed = made()
    params = passed.context.variables.params
    living = forward(passed, passed.model, params, unused_for=jnp.full(UNITS, 99))
    assert not evaluate(living, it=terms.dead_units(k=2))["it"].any()
    found = gradients(living, it=terms.dead_units(k=2))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_fewer_than_one_unit_is_refused_when_the_term_is_made(k):
    with pytest.raises(ae.errors.ConfigError, match="k must be a positive whole number, got"):
        terms.dead_units(k=k)


def test_more_units_than_there_are_and_other_codes_are_refused():
    with pytest.raises(ae.errors.ConfigError, match="k must lie in 1 to 6, the units, got 7"):
        evaluate(made(), bad=terms.dead_units(k=7))
    with pytest.raises(ae.errors.PartError, match=r"'dead_units' needs .*topk, got .*PointMass"):
        evaluate(setting("identity", encoder=LINEAR, decoder=LINEAR), bad=terms.dead_units(k=2))


def sizes_within(jaxpr):
    """The number of elements of every value that a program computes, in loops and calls too."""
    for equation in jaxpr.eqns:
        yield from (math.prod(out.aval.shape) for out in equation.outvars)
        for inner in jaxprs_in_params(equation.params):
            yield from sizes_within(inner)


def test_a_step_holds_nothing_larger_than_the_units_of_the_batch():
    batch, width, units = 32, 16, 64  # as 131,072 tokens of 768 and 24,576 units
    linear = ae.networks.linear()
    recipe = ae.recipes.topk(units, k=2, encoder=linear, decoder=linear)
    model, objective = recipe.build(ae.Spec((width,), "real"))
    assert {term.name for term in objective.terms} == {"reconstruction", "dead_units"}
    example = jnp.zeros(width)
    variables = jax.eval_shape(model.init, jax.random.key(0), example)
    players = single_player(objective, optax.adam(1e-3), variables)
    state = jax.eval_shape(lambda: init_state(model, players, example, seed=0))
    step = make_step(model, players, num_train=1_000)
    x = jax.ShapeDtypeStruct((batch, width), jnp.float32)
    program = jax.make_jaxpr(step)(state, ae.Batch(x))
    assert max(sizes_within(program.jaxpr)) == batch * units > units * width
