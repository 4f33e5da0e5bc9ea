"""Signs as codes: free and on the sphere, with the soft assignment of their entropies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import ae_jax as ae
from ae_jax import keys as keys_lib
from ae_jax import terms
from tests import fast
from tests.bottlenecks.updates import AS_IT_IS
from tests.reference import quantization as reference

B, POSITIONS, BITS = 6, 3, 4
X = np.random.default_rng(0).normal(size=(B, POSITIONS, BITS)).astype(np.float32)
VALID = np.array([1, 1, 0, 1, 1, 0], bool)
MADE = {"lfq": (ae.bottlenecks.lfq, 0.7), "bsq": (ae.bottlenecks.bsq, 0.3)}


def seen(name):
    """Features, code size and temperature as the quantiser sees them."""
    sphere = name == "bsq"
    features = X / np.linalg.norm(X, axis=-1, keepdims=True) if sphere else X
    return np.float64(features), 1 / np.sqrt(BITS) if sphere else 1.0, MADE[name][1]


@pytest.mark.parametrize("name", MADE)
def test_codes_are_signs_and_the_gradient_passes_straight_through(name):
    factory, temperature = MADE[name]
    bottleneck = factory(BITS, temperature)
    features, size, _ = seen(name)
    codes, soft = reference.soft_assignment(features[0, 0], size, temperature)
    q = bottleneck.posterior({}, {}, jnp.asarray(X[0, 0]))
    np.testing.assert_allclose(q.value, size * np.sign(X[0, 0]), rtol=1e-6)
    np.testing.assert_allclose(codes[int(q.numbers)], q.value, rtol=1e-6)
    assert int(q.numbers) == np.argmax(soft)  # the nearest
    np.testing.assert_allclose(
        ae.losses.code_probabilities(q.bit_logits), soft, rtol=1e-4, atol=1e-7
    )
    weights = np.arange(1.0, BITS + 1)
    pulled = jax.grad(lambda f: jnp.sum(weights * bottleneck.posterior({}, {}, f).value))(X[0, 0])
    norm = np.linalg.norm(X[0, 0])
    unit = X[0, 0] / norm
    sphere = (weights - unit * (unit @ weights)) / norm
    np.testing.assert_allclose(pulled, sphere if name == "bsq" else weights, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("group", [None, 2, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", MADE)
def test_entropies_are_those_of_all_codes_over_the_batch(name, group):
    factory, temperature = MADE[name]
    bottleneck = factory((POSITIONS, BITS), temperature)
    model = ae.autoencoder(AS_IT_IS, AS_IT_IS, bottleneck, ae.likelihoods.gaussian())
    objective = terms.code_entropy() + terms.code_usage(group=group)

    def run(x):
        batch = ae.Batch(x, valid=jnp.asarray(VALID))
        keys = keys_lib.for_examples(jax.random.key(0), 0, jnp.arange(B))
        variables = ae.Variables({}, {})
        outputs, _ = model.forward(variables, batch, keys)
        context = ae.Context(model, variables, batch, keys, jnp.int32(0), 100)
        return [term.per_example(outputs, context) for term in objective.terms]

    entropy, usage = fast.jit(run)(X)
    features, size, _ = seen(name)
    _, soft = reference.soft_assignment(features, size, temperature)
    np.testing.assert_allclose(entropy, reference.entropy(soft).sum(1), rtol=1e-5)
    width = group or BITS
    wanted = 0
    for start in range(0, BITS, width):
        _, own = reference.soft_assignment(features[..., start : start + width], size, temperature)
        mean = own[VALID].mean((0, 1))
        wanted += POSITIONS * (width * np.log(2) - reference.entropy(mean))
    np.testing.assert_allclose(usage, wanted, rtol=1e-4, atol=1e-6)


def test_bad_arguments_and_other_codes_are_refused():
    for factory in (ae.bottlenecks.lfq, ae.bottlenecks.bsq):
        for bad in (0.0, -1.0, float("nan")):
            with pytest.raises(ae.errors.ConfigError, match="temperature must be a positive"):
                factory(3, bad)
        with pytest.raises(ae.errors.ConfigError, match="int32 can number 2147483647"):
            factory(31)
    with pytest.raises(ae.errors.ConfigError, match="group must be a positive whole number"):
        terms.code_usage(group=0)
    q = ae.bottlenecks.lfq(6).posterior({}, {}, jnp.zeros(6))
    outputs = lambda q: ae.Outputs(*[None] * 2, jax.tree.map(lambda v: v[None], q), *[None] * 6)
    fn = terms.code_usage(group=4).terms[0].fn
    with pytest.raises(ae.errors.ConfigError, match="group=4 does not divide the 6 bits"):
        fn(outputs(q), None)
    other = ae.bottlenecks.fsq(2, 3).posterior({}, {}, jnp.zeros(2))
    with pytest.raises(ae.errors.PartError, match="needs the soft assignment of"):
        fn(outputs(other), None)


@pytest.mark.parametrize("groups", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_entropies_of_codes_that_are_not_of_bits(groups):
    """Of IBQ's softmax over a codebook, each group for itself."""
    node = {"name": "ibq", "num_codes": 5}
    bottleneck = ae.bottlenecks.grouped((POSITIONS, BITS), groups, of=node)
    params, state = bottleneck.init(jax.random.key(0))
    q = jax.vmap(lambda x: bottleneck.posterior(params, state, x))(jnp.asarray(X))
    outputs = ae.Outputs(*[None] * 2, q, *[None] * 6)
    batch = ae.Batch(jnp.asarray(X), valid=jnp.asarray(VALID))
    context = ae.Context(None, None, batch, None, jnp.int32(0), 100)
    entropy, usage = (
        objective.terms[0].fn(outputs, context)
        for objective in (terms.code_entropy(), terms.code_usage())
    )
    wanted = [np.zeros(B), 0.0]
    for i, part in enumerate(np.split(np.float64(X), groups, axis=-1)):
        codebook = np.float64(params[f"group_{i}"]["codebook"])
        squares = np.sum((part[..., None, :] - codebook) ** 2, axis=-1)
        soft = special.softmax(-squares, axis=-1)
        wanted[0] += reference.entropy(soft).sum(1)
        mean = soft[VALID].mean((0, 1))
        wanted[1] += POSITIONS * (np.log(5) - reference.entropy(mean))
    np.testing.assert_allclose(entropy, wanted[0], rtol=1e-5)
    np.testing.assert_allclose(usage, wanted[1], rtol=1e-4)
