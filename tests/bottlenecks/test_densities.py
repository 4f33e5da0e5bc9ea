"""Bottlenecks with a density: what their features mean, what priors they take, what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import ae_jax as ae
from ae_jax import keys as keys_lib
from tests import fast

B = ae.bottlenecks
IAF = ae.flows.inverse_autoregressive(layers=1, hidden=(8,))
TABLE = {
    "full_gaussian": (B.full_gaussian(3), (3,), (9,)),
    "low_rank_gaussian": (B.low_rank_gaussian(3, rank=2), (3,), (12,)),
    "laplace": (B.laplace((2, 3)), (2, 3), (2, 6)),
    "student_t": (B.student_t(3), (3,), (6,)),
    "hamiltonian": (B.hamiltonian((2, 3)), (2, 3), (2, 6)),
    "hyperspherical": (B.hyperspherical(3), (3,), (4,)),
    "spheres": (B.hyperspherical((2, 3)), (2, 3), (2, 4)),
    "poincare": (B.poincare(3, curvature=0.5), (3,), (6,)),
    "flow": (B.flow(3, IAF, context=2), (3,), (8,)),
    "ladder": (B.ladder((2, 1), width=4), (3,), (6,)),
    "top_down": (B.top_down(((2, 2, 2), (1, 1, 1)), width=4), (9,), (20,)),
    "ladder of images": (B.ladder(((2, 2, 2), (1, 1, 1)), width=4), (9,), (18,)),
    "planar": (B.flow(3, ae.flows.planar(layers=2), context=0), (3,), (6,)),
}
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", TABLE)
def test_shapes_precision_and_the_code_without_a_key(name):
    bottleneck, latent, feature = TABLE[name]
    assert (bottleneck.latent_shape, bottleneck.feature_shape) == (latent, feature)
    params, state = bottleneck.init(jax.random.key(0))

    def look(features):
        q = bottleneck.posterior(params, state, features)
        code = bottleneck.latent(params, state, q, None)
        drawn = bottleneck.latent(params, state, q, jax.random.key(0))
        pz = bottleneck.prior(params, state)
        return code, q.mode, drawn, pz.sample(jax.random.key(0)), q.log_prob(code)

    for dtype in (jnp.float32, jnp.bfloat16):
        *codes, log_prob = jax.eval_shape(look, jax.ShapeDtypeStruct(feature, dtype))
        assert {code.shape for code in codes} == {latent}
        assert (log_prob.shape, log_prob.dtype) == ((), jnp.float32)


@pytest.mark.parametrize(
    "name",
    [
        n if n in ("low_rank_gaussian", "poincare") else pytest.param(n, marks=pytest.mark.slow)
        for n in TABLE
    ],
)
def test_any_features_give_a_finite_density_and_gradient(name):
    bottleneck, _, feature = TABLE[name]
    params, state = bottleneck.init(jax.random.key(0))

    def log_density(features):
        q = bottleneck.posterior(params, state, features)
        return q.log_prob(bottleneck.latent(params, state, q, jax.random.key(1)))

    signs = RNG.choice([-1.0, 1.0], size=(6, *feature))
    sizes = np.reshape([0.0, 3.0, 30.0, 100.0, 1e4, 1e6], (6,) + (1,) * len(feature))
    run = fast.jit(jax.vmap(jax.value_and_grad(log_density)))
    value, gradient = run(jnp.asarray(signs * sizes, jnp.float32))
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()


def test_the_covariances_features_are_mean_diagonal_and_what_is_below():
    features = jnp.array([1.0, 2.0, 0.0, np.log(4.0), 0.5])
    q = B.full_gaussian(2).posterior({}, {}, features)
    np.testing.assert_allclose(q.scale, [[1, 0], [1, 2]], rtol=1e-3)
    np.testing.assert_array_equal(q.loc, [1, 2])
    features = jnp.array([1.0, 2, 0, np.log(4.0), 0.3, 0.4])
    q = B.low_rank_gaussian(2, rank=1).posterior({}, {}, features)
    np.testing.assert_allclose(q.factor, [[0.3], [0.8]], rtol=1e-3)


@pytest.mark.parametrize("dimension", [2, 6, 64])
def test_a_sphere_of_any_dimension_starts_with_a_code_that_can_be_read(dimension):
    """With κ of one size for all, a VAE on the sphere in 6 dimensions lost its code for good."""
    bottleneck = B.hyperspherical(dimension)
    q = bottleneck.posterior({}, {}, jnp.zeros(dimension + 1))
    kappa = dimension * np.log(2)
    assert float(q.concentration) == pytest.approx(kappa, rel=1e-6)
    resultant = kappa / (kappa + dimension - 1)  # the length of the mean
    np.testing.assert_allclose(q.mean, resultant * np.eye(dimension)[0], rtol=1e-5)
    assert resultant > 0.4


def test_codes_lie_where_they_belong():
    features = jnp.asarray(5 * RNG.normal(size=(200, 4)), jnp.float32)
    sphere, ball = B.hyperspherical(3), B.poincare(2, curvature=4.0)
    keys = jax.random.split(jax.random.key(0), 200)
    draw = lambda b: fast.jit(jax.vmap(lambda f, k: b.posterior({}, {}, f).sample(k)))
    lengths = np.linalg.norm(draw(sphere)(features, keys), axis=-1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)
    assert np.linalg.norm(draw(ball)(features, keys), axis=-1).max() < 0.5


def model_of(bottleneck, **options):
    network = ae.networks.mlp((8,), "tanh", **options)
    return ae.autoencoder(network, network, bottleneck, ae.likelihoods.gaussian(), event_shape=(6,))


X = jnp.asarray(RNG.normal(size=(4, 6)), jnp.float32)
LABEL = jnp.array([0, 2, -1, 1])


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_permuting_a_batch_permutes_its_densities(name):
    model = model_of(TABLE[name][0])
    variables = model.init(jax.random.key(0), X[0])
    keys = keys_lib.for_examples(jax.random.key(1), 0, jnp.arange(4))
    order = np.array([2, 0, 3, 1])

    def densities(x, keys):
        outputs, _ = model.forward(variables, ae.Batch(x), keys, samples=2, train=True)
        context = ae.Context(model, variables, ae.Batch(x), keys, jnp.int32(0), 4)
        kl = ae.terms.kl().terms[0].per_example(outputs, context)
        return outputs.z, outputs.log_qz, outputs.log_pz, kl, outputs.level_kl

    run = fast.jit(densities)
    plain, permuted = run(X, keys), run(X[order], jax.tree.map(lambda k: k[order], keys))
    plain, permuted = jax.tree.leaves(plain), jax.tree.leaves(permuted)
    for one, other in zip(plain, permuted, strict=True):
        np.testing.assert_allclose(other, one[order], rtol=1e-4, atol=1e-4)
    log_qz, log_pz, kl, *by_level = plain[1:]
    if by_level:
        np.testing.assert_allclose(kl, by_level[0].sum(-1).mean(1), rtol=1e-5)
        return
    q = model.posterior(variables, X)
    prior = model.prior(variables)
    closed = ae.distributions.kl_divergence(jax.tree.map(lambda v: v[0], q), prior)
    expected = np.mean(log_qz - log_pz, axis=1)[0] if closed is None else closed
    np.testing.assert_allclose(kl[0], expected, rtol=1e-4)


def test_a_vamp_prior_is_the_mixture_of_its_pseudo_inputs_posteriors():
    model = model_of(B.gaussian(2, prior=ae.priors.vamp(pseudo_inputs=3, deviation=1.0)))
    z = np.array([0.3, -0.7])

    def look(key):
        variables = model.init(key, X[0])
        log_prob = lambda params: model.prior(variables._replace(params=params)).log_prob(z)
        inputs = variables.params["bottleneck"]["inputs"]
        value, gradient = jax.value_and_grad(log_prob)(variables.params)
        return inputs, model.posterior(variables, inputs), value, gradient

    inputs, q, value, gradient = fast.jit(look)(jax.random.key(0))
    assert inputs.shape == (3, 6)
    loc, log_var = (np.asarray(leaf, np.float64) for leaf in q)
    each = -0.5 * ((z - loc) ** 2 / np.exp(log_var) + log_var + np.log(2 * np.pi)).sum(-1)
    assert float(value) == pytest.approx(special.logsumexp(each) - np.log(3), 1e-5)
    assert np.abs(gradient["bottleneck"]["inputs"]).max(axis=1).min() > 0
    assert np.abs(gradient["encoder"]["output"]["kernel"]).max() > 0


def test_a_prior_conditioned_on_a_label_is_held_against_its_own_examples():
    prior = ae.priors.conditional(3, ae.priors.mixture(components=1))
    model = model_of(B.gaussian(2, prior=prior))
    keys = keys_lib.for_examples(jax.random.key(1), 0, jnp.arange(4))

    def look(key, extras):
        variables = model.init(key, X[0])
        outputs, _ = model.forward(variables, ae.Batch(X, extras=extras), keys)
        return variables.params["bottleneck"]["loc"][:, 0], outputs.z[:, 0], outputs.log_pz[:, 0]

    loc, z, log_pz = fast.jit(look)(jax.random.key(0), {"label": LABEL})
    assert loc.shape == (4, 2)
    away = np.asarray(z) - np.asarray(loc)[[0, 2, 3, 1]]  # the last row: no label
    expected = -0.5 * (away**2 + np.log(2 * np.pi)).sum(-1)
    np.testing.assert_allclose(log_pz, expected, rtol=1e-4)
    (found,) = ae.data.conditions.of_model(model)
    assert (found.part, found.name, found.num_classes) == ("bottleneck", "label", 3)
    with pytest.raises(ae.errors.ConfigError, match="the prior is conditioned on"):
        jax.eval_shape(look, jax.random.key(0), {})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: B.hyperspherical(1), "at least 2, got 1: the unit sphere of one dimension"),
        (lambda: B.poincare(2, curvature=0.0), "curvature must be above 0, got 0.0"),
        (lambda: B.poincare(2, curvature=-1.0), "curvature must be above 0, got -1.0"),
        (lambda: B.poincare(50, curvature=4.0), "take at most 1.2"),
        (lambda: B.poincare((2, 2)), r"latent_dim must be one number, got \(2, 2\)"),
        (lambda: B.full_gaussian((2, 2)), r"a full covariance is of vectors"),
        (lambda: B.low_rank_gaussian(3, rank=3), "rank must be below latent_dim=3, got 3"),
        (lambda: B.student_t(3, degrees=0.0), "degrees must be a positive number, got 0.0"),
        (lambda: B.flow(1, "realnvp"), "splits its vector in two, which size 1 does not allow"),
        (lambda: B.flow(3, "realnpv"), "did you mean 'realnvp'"),
        (lambda: B.flow(3, context=-1), "context must be a whole number of at least 0, got -1"),
        (lambda: B.gaussian(1, prior=ae.priors.flow("realnvp")), "size 1 does not allow"),
        (lambda: B.gaussian((2, 3), prior="flow"), "take latent_dim=6"),
        (lambda: B.gaussian(3, prior="uniform_sphere"), "density on unit spheres, the posterior"),
        (lambda: B.hyperspherical(3, prior="standard_normal"), "density on vectors, the posterior"),
        (
            lambda: B.poincare(2, prior=ae.priors.wrapped_normal(0.5)),
            "the ball of curvature -0.5, the posterior on the ball of curvature -1",
        ),
        (lambda: ae.priors.mixture(components=0), "components must be a positive whole number"),
        (lambda: ae.priors.vamp(deviation=-1.0), "deviation must not be negative"),
        (lambda: ae.priors.conditional(3, "vamp"), "cannot be one of posteriors"),
        (lambda: B.gaussian(2, prior=ae.priors.conditional(3, "laplace")), "one that is learned"),
    ],
)
def test_bad_input_is_refused_in_one_line(make, message):
    with pytest.raises(ae.errors.AeJaxError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_vamp_prior_of_tokens_is_refused():
    bottleneck = B.gaussian(2, prior="vamp")
    with pytest.raises(ae.errors.PartError, match="must be numbers, got dtype int32"):
        bottleneck.init(jax.random.key(0), jnp.zeros(3, jnp.int32))
