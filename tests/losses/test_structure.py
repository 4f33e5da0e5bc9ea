"""Structure penalties against NumPy and against Jacobians that JAX computes whole."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.losses import covariance, structure
from tests.losses.properties import Case
from tests.losses.row_properties import BatchCoupledProperties, FusedProperties
from tests.reference import structure as reference

LAMBDAS = {"lambda_od": 0.5, "lambda_d": 3.0}


def cubic(x):
    """A scalar function whose gradient, 3x², is simple and moves."""
    return jnp.sum(x * x * x)


def draw(*shapes):
    return lambda rng: tuple(rng.normal(size=shape) for shape in shapes)


def rectangles(largest):
    """A matrix of each kind: zero, orthonormal, huge, tiny, wide."""
    for matrix in (np.zeros((4, 3)), np.eye(4, 3), np.diag([largest, 1e-20]), np.ones((2, 5))):
        yield (matrix,)


def contractive_inputs(rng):
    return rng.normal(size=(4, 3)), rng.random(3)


def extreme_activations():
    weights = np.array([[1e10, 1.0, -1e-10], [1e3, 0.0, 1.0]])
    for hidden in (0.0, 1.0, 1e-10, 0.5):
        yield weights, np.full(3, hidden)


class TestProperties(FusedProperties):
    cases = (
        Case(
            "contractive_sigmoid",
            structure.contractive_sigmoid,
            reference.contractive_sigmoid,
            contractive_inputs,
            extreme_activations,
        ),
        Case(
            "gradient_norm_squared",
            functools.partial(structure.gradient_norm_squared, cubic),
            lambda x: reference.gradient_norm_squared(3 * x**2),
            draw((2, 3)),
            lambda: [(np.zeros(3),), (np.array([1e-5, 1.0, 1e4]),)],
        ),
        *(
            Case(
                f"gradient_penalty(target={target})",
                functools.partial(structure.gradient_penalty, cubic, target=target),
                lambda x, target=target: reference.gradient_penalty(3 * x**2, target=target),
                draw((2, 3)),
                lambda: [(np.zeros(3),), (np.array([1e-5, 1e-6, 0.0]),), (np.full(2, 1e4),)],
            )
            for target in (1.0, 0.0)
        ),
        Case(
            "parameter_l2",
            lambda kernel, bias: structure.parameter_l2({"a": kernel, "b": [bias, None]}),
            reference.sum_of_squares,
            draw((3, 2), (2,)),
            lambda: [(np.zeros((2, 2)), np.array([1e15, -1e-20]))],
        ),
        Case(
            "parameter_l2(kernels_only)",
            lambda kernel: structure.parameter_l2(
                {"a": kernel, "b": [jnp.ones(4), jnp.ones(())]}, kernels_only=True
            ),
            reference.sum_of_squares,
            draw((3, 2)),
        ),
        Case(
            "parameter_l1",
            lambda kernel, bias: structure.parameter_l1({"a": kernel, "b": [bias, None]}),
            reference.sum_of_absolutes,
            draw((3, 2), (2,)),
        ),
        Case(
            "orthogonality",
            structure.orthogonality,
            reference.orthogonality,
            draw((4, 3)),
            lambda: rectangles(1e6),
        ),
        Case(
            "latent_l2",
            structure.latent_l2,
            reference.latent_l2,
            draw((3, 2)),
            lambda: rectangles(1e15),
        ),
    )


def moments(rng):
    return rng.normal(size=(6, 3)) @ rng.normal(size=(3, 3)), rng.normal(size=(6, 3))


def extreme_moments():
    rng = np.random.default_rng(2)
    mean, zero = rng.normal(size=(6, 3)), np.zeros((6, 3))
    yield zero, zero
    yield 1e8 * mean, zero
    yield mean, zero + 40.0
    yield mean, zero - 100.0


class TestBatchCoupledProperties(BatchCoupledProperties):
    cases = (
        Case(
            "dip_vae_i",
            functools.partial(covariance.dip_vae_i, **LAMBDAS),
            functools.partial(reference.dip_vae_i, **LAMBDAS),
            lambda rng: moments(rng)[:1],
            lambda: [arrays[:1] for arrays in extreme_moments()],
        ),
        Case(
            "dip_vae_ii",
            functools.partial(covariance.dip_vae_ii, **LAMBDAS),
            functools.partial(reference.dip_vae_ii, **LAMBDAS),
            moments,
            extreme_moments,
        ),
    )


def test_contractive_penalty_is_the_norm_of_the_jacobian():
    rng = np.random.default_rng(0)
    weights, bias, x = (rng.normal(size=shape).astype("f") for shape in ((5, 4), (4,), (5,)))
    layer = lambda x: jax.nn.sigmoid(x @ weights + bias)
    jacobian = jax.jacobian(layer)(jnp.asarray(x))
    penalty = structure.contractive_sigmoid(weights, layer(x))
    np.testing.assert_allclose(penalty, np.sum(np.square(jacobian)), rtol=1e-5)


MIXING = np.random.default_rng(8).normal(size=(3, 3)).astype("f")


def network(x):
    """From [2, 3] to [3, 2], with rows of the Jacobian far from orthogonal."""
    mixed = jnp.tanh(jnp.sum(x) + jnp.arange(6.0).reshape(2, 3) * x)
    return (mixed @ MIXING + mixed**2).T


@pytest.mark.parametrize("samples", [1, 3])
def test_hutchinson_is_unbiased(samples):
    draws = 100_000
    x = jnp.linspace(-0.3, 0.5, 6).reshape(2, 3)
    exact = float(jnp.sum(jnp.square(jax.jacobian(network)(x))))
    keys = jax.random.split(jax.random.key(1), draws)
    estimate = functools.partial(structure.hutchinson_jacobian_norm, network, x, samples=samples)
    estimates = np.asarray(jax.jit(jax.vmap(estimate))(keys), np.float64)
    jacobian = np.asarray(jax.jacobian(network)(x), np.float64).reshape(6, 6)
    gram = jacobian @ jacobian.T
    variance = 2 * (np.sum(gram**2) - np.sum(np.diag(gram) ** 2)) / samples
    z = (estimates.mean() - exact) / np.sqrt(variance / draws)
    assert abs(z) < 4
    np.testing.assert_allclose(estimates.var(), variance, rtol=0.05)


def test_hutchinson_is_exact_and_differentiable_where_outputs_are_separate():
    """Elementwise sin: the norm is Σ cos², its gradient −2 sin cos, whatever the probes."""
    x = np.linspace(-2.0, 2.0, 5).astype("f")
    norm = functools.partial(structure.hutchinson_jacobian_norm, jnp.sin)
    value, grad = jax.jit(jax.value_and_grad(norm))(x, jax.random.key(0))
    np.testing.assert_allclose(value, np.sum(np.cos(x) ** 2), rtol=1e-5)
    np.testing.assert_allclose(grad, -2 * np.sin(x) * np.cos(x), rtol=1e-4, atol=1e-6)
    assert norm(jnp.asarray(x, jnp.bfloat16), jax.random.key(0)).dtype == jnp.float32


def test_hutchinson_uses_its_key():
    x = jnp.linspace(-0.3, 0.5, 6).reshape(2, 3)
    first, again, other = (
        structure.hutchinson_jacobian_norm(network, x, jax.random.key(seed)) for seed in (0, 0, 3)
    )
    assert first == again != other


def test_gradient_penalty_moves_the_parameters_of_a_critic():
    """The critic s · |w| x has gradient norm s |w|: the penalty's derivative by s is closed."""
    w, x = jnp.array([3.0, 4.0]), jnp.ones(2)
    penalty = lambda s: structure.gradient_penalty(lambda x: s * jnp.vdot(w, x), x)
    np.testing.assert_allclose(jax.grad(penalty)(2.0), 2 * (2.0 * 5 - 1) * 5, rtol=1e-6)
    np.testing.assert_array_equal(jax.grad(penalty)(0.0), 0.0)


@pytest.mark.parametrize("penalty", [structure.gradient_penalty, structure.gradient_norm_squared])
def test_functions_that_are_not_scalar_are_refused(penalty):
    with pytest.raises(ValueError, match=r"fn must return a scalar, shape \(\), got shape \(3,\)"):
        penalty(jnp.sin, jnp.ones(3))


def test_parameter_l2_counts_floating_leaves_alone():
    tree = {"steps": jnp.arange(3), "half": jnp.full(2, 3.0, jnp.bfloat16), "w": jnp.ones((2, 2))}
    value = structure.parameter_l2(tree)
    assert value == 22.0
    assert value.dtype == jnp.float32
    assert structure.parameter_l2(tree, kernels_only=True) == 4.0
    assert structure.parameter_l2({}) == 0.0
    assert structure.parameter_l1(tree) == 10.0
    assert structure.parameter_l1(tree, kernels_only=True) == 4.0
    assert structure.parameter_l1({}) == 0.0


def test_weights_of_zero_have_no_gradient_under_l1():
    """`jnp.abs` gives them 1, which pushes pruned weights below zero."""
    slope = jax.grad(structure.parameter_l1)(jnp.array([-2.0, 0.0, -0.0, 3.0]))
    np.testing.assert_array_equal(slope, [-1, 0, 0, 1])


def test_weights_of_the_dip_penalty_may_be_traced():
    mean = np.random.default_rng(0).normal(size=(6, 3))
    expected, _ = reference.dip_vae_i(mean, **LAMBDAS)
    traced = jax.jit(covariance.dip_vae_i)(mean, **LAMBDAS)
    np.testing.assert_allclose(traced, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: structure.contractive_sigmoid(jnp.ones((2, 3)), jnp.ones(2)), r"hidden \(2,\)"),
        (lambda: structure.orthogonality(jnp.ones(3)), r"weights must have rank 2, got .*\(3,\)"),
        (lambda: covariance.dip_vae_i(jnp.ones(3), **LAMBDAS), r"mean must have rank 2"),
        (
            lambda: covariance.dip_vae_i(jnp.ones((1, 3)), **LAMBDAS),
            "covariance of DIP-VAE needs a batch of 2 examples or more, got 1",
        ),
        (
            lambda: covariance.dip_vae_ii(jnp.ones((1, 3)), jnp.ones((1, 3)), **LAMBDAS),
            "covariance of DIP-VAE needs a batch of 2 examples or more, got 1",
        ),
        (
            lambda: structure.hutchinson_jacobian_norm(
                jnp.sin, jnp.ones(2), jax.random.key(0), samples=0
            ),
            "samples must be a positive whole number, got 0",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
