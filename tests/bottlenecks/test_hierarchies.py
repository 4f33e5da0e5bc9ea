"""Hierarchies of latents against their chain in NumPy, Monte Carlo and an exact marginal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import ae_jax as ae
from ae_jax import evaluation
from ae_jax.bottlenecks._top_down import TopDown, hierarchical, precision_weighted
from ae_jax.networks.common import Common
from tests import fast
from tests.networks.checks import drawn

B = ae.bottlenecks
LADDER, TOP_DOWN = B.ladder((3, 2), width=4), B.top_down((3, 2), width=4)
CONVOLUTIONAL = B.top_down(((2, 2, 1), (1, 1, 2)), width=4)
RNG = np.random.default_rng(0)
DRAWS = 20_000


def silu(x):
    return x * special.expit(x)


def layer(params, name, x):
    return x @ np.asarray(params[name]["kernel"], np.float64) + np.asarray(params[name]["bias"])


def moments(numbers):
    loc, raw = np.split(numbers, 2)
    return loc, np.exp(raw / 2)  # as long as raw is far from its bound


def ladder_chain(params, told, z):
    """Each level's prior and posterior moments, the bottom's first, and what decoders see."""
    top = moments(told[6:])
    h = z[1]
    for i in range(2):
        h = silu(layer(params, f"down_0_{i}", h))
    prior, own = moments(layer(params, "prior_0", h)), moments(told[:6])
    precision = 1 / own[1] ** 2 + 1 / prior[1] ** 2
    loc = (own[0] / own[1] ** 2 + prior[0] / prior[1] ** 2) / precision
    return [(prior, (loc, precision**-0.5)), ((np.zeros(2), np.ones(2)), top)], z[0]


def top_down_chain(params, told, z):
    top = moments(layer(params, "posterior_1", told[4:]))
    h = silu(layer(params, "down_0_0", layer(params, "latent_1", z[1])))
    prior = moments(layer(params, "prior_0", h))
    merged = silu(layer(params, "merge_0", np.concatenate([h, told[:4]])))
    change = moments(layer(params, "posterior_0", merged))
    posterior = (prior[0] + change[0], prior[1] * change[1])
    shown = h + layer(params, "latent_0", z[0])
    return [(prior, posterior), ((np.zeros(2), np.ones(2)), top)], shown


def kl(q, p):
    each = np.log(p[1] / q[1]) + (q[1] ** 2 + (q[0] - p[0]) ** 2) / (2 * p[1] ** 2) - 0.5
    return each.sum()


CHAINS = {"ladder": (LADDER, ladder_chain), "top_down": (TOP_DOWN, top_down_chain)}


def drawn_at_random(bottleneck):
    """Parameters without zeros, and features."""
    params = drawn(jax.eval_shape(bottleneck.init, jax.random.key(0))[0])
    rng = np.random.default_rng(1)
    return params, jnp.asarray(rng.normal(size=bottleneck.feature_shape), jnp.float32)


@pytest.mark.parametrize("name", CHAINS)
def test_densities_and_divergences_are_those_of_the_chain(name):
    bottleneck, chain = CHAINS[name]
    params, features = drawn_at_random(bottleneck)

    def look(params, features, key):
        q, p = bottleneck.posterior(params, {}, features), bottleneck.prior(params, {})
        made, mode = q.draw(key), bottleneck.latent(params, {}, q, None)
        again = made._replace(
            z=bottleneck.latent(params, {}, q, key),
            log_q=q.log_prob(made.z),
            shown=bottleneck.shown(params, {}, made.z),
        )
        return made, again, p.log_prob(made.z), mode

    made, again, log_p, mode = fast.jit(look)(params, features, jax.random.key(1))
    told = np.asarray(features, np.float64)
    z = np.split(np.asarray(made.z, np.float64), [3])
    levels, shown = chain(params, told, z)
    density = lambda laws: sum(
        stats.norm(*law).logpdf(v).sum() for law, v in zip(laws, z, strict=True)
    )
    wanted = density([q for _, q in levels]), density([p for p, _ in levels])
    np.testing.assert_allclose([made.log_q, log_p], wanted, rtol=2e-5)
    np.testing.assert_allclose(made.level_kl, [kl(q, p) for p, q in levels], rtol=2e-5)
    np.testing.assert_allclose(made.shown, shown, rtol=1e-5, atol=1e-5)
    for one, other in zip(made, again, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    top = chain(params, told, z)[0][1][1][0]
    below = chain(params, told, [z[0], top])[0][0][1][0]
    np.testing.assert_allclose(mode, np.concatenate([below, top]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bottleneck", [LADDER, CONVOLUTIONAL], ids=["dense", "convolutional"])
def test_the_divergence_of_each_level_is_its_mean_log_ratio(bottleneck):
    params, features = drawn_at_random(bottleneck)
    q = bottleneck.posterior(params, {}, features)

    def one(key):
        made = q.draw(key)
        levels = q.at(made.z).levels
        ratio = [v.posterior.log_prob(v.z) - v.prior.log_prob(v.z) for v in levels]
        return made.level_kl, jnp.stack(ratio)  # pyright: ignore[reportArgumentType]

    closed, ratio = fast.jit(jax.vmap(one))(jax.random.split(jax.random.key(2), DRAWS))
    off = np.asarray(ratio, np.float64) - closed
    assert (np.abs(off.mean(0)) < 3 * off.std(0) / np.sqrt(DRAWS)).all()
    assert (np.asarray(closed).mean(0) > 0.05).all()
    assert np.asarray(closed)[:, 0].std() > 1e-3  # that below hangs on what was drawn above
    assert np.ptp(np.asarray(closed)[:, 1]) == 0


@pytest.mark.parametrize(
    "bottleneck",
    [LADDER, pytest.param(CONVOLUTIONAL, marks=pytest.mark.slow)],
    ids=["dense", "convolutional"],
)
def test_gradients_are_finite_differences(bottleneck):
    def loss(whole, key):
        params, features = whole
        made = bottleneck.posterior(params, {}, features).draw(key)
        log_p = bottleneck.prior(params, {}).log_prob(made.z)
        weighed = jnp.sum(made.level_kl * jnp.arange(1.0, 3.0))
        return weighed + made.log_q - 0.5 * log_p + jnp.sum(jnp.sin(made.shown))

    with jax.enable_x64(True):
        whole = jax.tree.map(lambda v: np.asarray(v, np.float64), drawn_at_random(bottleneck))
        rng = np.random.default_rng(3)
        way = jax.tree.map(lambda v: rng.normal(size=v.shape), whole)
        run, key, step = fast.jit(jax.value_and_grad(loss)), jax.random.key(4), 1e-5
        moved = lambda by: jax.tree.map(lambda v, w: v + by * w, whole, way)
        ahead, behind = (float(run(moved(by), key)[0]) for by in (step, -step))
        slope = jax.tree.map(lambda g, w: np.sum(g * w), run(whole, key)[1], way)
        assert sum(jax.tree.leaves(slope)) == pytest.approx((ahead - behind) / (2 * step), 1e-6)


def linear_model():
    """z_2 ~ N(0, 1), z_1 and x linear in what is above them, and the exact moments of x."""
    how = {"merge": precision_weighted, "skip": False, "common": Common()}
    bottleneck = hierarchical(TopDown(((2,), (1,)), 3, 1, **how), ((4,), (2,)))
    network, likelihood = ae.networks.linear(), ae.likelihoods.gaussian(scale=0.7)
    model = ae.autoencoder(network, network, bottleneck, likelihood, event_shape=(3,))
    params = drawn(jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(3)).params)
    prior = params["bottleneck"]["prior_0"]
    prior["kernel"] = prior["kernel"].at[:, 2:].set(0)  # a variance that is the same everywhere
    encoder = params["encoder"]["output"]  # wide posteriors, so that no weight is far out
    encoder["kernel"] = 0.2 * encoder["kernel"]
    encoder["bias"] = jnp.array([0.1, -0.1, 2.0, 2.0, 0.1, 0.5])
    of = lambda part, name: [
        np.asarray(params[part][name][leaf], np.float64) for leaf in ("kernel", "bias")
    ]
    (down, down_bias), (up, bias) = of("bottleneck", "down_0_0"), of("bottleneck", "prior_0")
    (out, out_bias), (lead, log_var) = of("decoder", "output"), np.split(down_bias @ up + bias, 2)
    slope = (down @ up)[:, :2]
    covariance = out.T @ (slope.T @ slope + np.diag(np.exp(log_var))) @ out + 0.49 * np.eye(3)
    return model, ae.Variables(params, {}), lead @ out + out_bias, covariance


def test_importance_weights_average_to_the_exact_marginal():
    model, variables, mean, covariance = linear_model()
    x = RNG.multivariate_normal(mean, covariance, size=4)
    exact = stats.multivariate_normal(mean, covariance).logpdf(x)

    def moments_of(batch, keys):
        def add(total, made, key):
            weight = jnp.exp(made.log_weight)
            return total[0] + jnp.sum(weight), total[1] + jnp.sum(weight**2)

        start = jnp.zeros(()), jnp.zeros(())
        row = model, variables, batch, keys, DRAWS, start, add
        return evaluation.likelihood.over_importance_samples(*row)

    keys = jax.random.split(jax.random.key(5), 4)
    total, squares = fast.jit(moments_of)(ae.Batch(jnp.asarray(x, jnp.float32)), keys)
    weight = np.asarray(total, np.float64) / DRAWS
    error = np.sqrt((np.asarray(squares, np.float64) / DRAWS - weight**2) / DRAWS)
    assert (np.abs(weight - np.exp(exact)) < 3 * error).all()
    assert (error < 0.05 * weight).all()


def test_a_forward_pass_has_the_divergence_of_each_level_and_decodes_what_is_shown():
    network = ae.networks.mlp((8,), "tanh")
    parts = network, network, LADDER, ae.likelihoods.gaussian()
    model = ae.autoencoder(*parts, event_shape=(6,))
    x = np.random.default_rng(6).normal(size=(4, 6))
    batch = ae.Batch(jnp.asarray(x, jnp.float32))
    keys = ae.keys.for_examples(jax.random.key(1), 0, jnp.arange(4))

    def look(key):
        variables = model.init(key, batch.x[0])
        outputs, _ = model.forward(variables, batch, keys, samples=3)
        again = jax.vmap(lambda z: model.decode_parameters(variables, z), 1, 1)(outputs.z)
        context = ae.Context(model, variables, batch, keys, jnp.int32(0), 4)
        divergence = ae.terms.kl().terms[0].per_example(outputs, context)
        metrics = evaluation.metrics.evaluation_metrics(outputs, context)
        return variables, outputs, again, divergence, metrics

    variables, outputs, again, divergence, metrics = fast.jit(look)(jax.random.key(0))
    assert outputs.level_kl.shape == (4, 3, 2)
    np.testing.assert_allclose(outputs.parameters, again, rtol=1e-5, atol=1e-6)
    by_level = np.asarray(outputs.level_kl).mean(1)
    np.testing.assert_allclose(divergence, by_level.sum(-1), rtol=1e-6)
    least = float(by_level.mean())  # above one level's divergence and below the other's
    context = ae.Context(model, variables, batch, keys, jnp.int32(0), 4)
    bits = ae.terms.free_bits(threshold=least).terms[0].per_example(outputs, context)
    np.testing.assert_allclose(bits, np.maximum(by_level.mean(0), least).sum(), rtol=1e-6)
    assert by_level.mean(0).min() < 0.99 * least
    np.testing.assert_allclose(metrics["level_1_kl"], by_level[:, 0], rtol=1e-6)
    np.testing.assert_allclose(metrics["level_2_kl"], by_level[:, 1], rtol=1e-6)


def test_latents_that_add_up_start_beside_the_prior_however_many_levels_there_are():
    bottleneck = B.top_down((6, 5, 4, 3, 2), width=8, depth=2)
    features = jnp.asarray(10 * RNG.normal(size=bottleneck.feature_shape), jnp.float32)

    def look(key):
        params, _ = bottleneck.init(key)
        q = bottleneck.posterior(params, {}, features)
        made = q.draw(key)
        posteriors = [level.posterior for level in q.at(made.z).levels]
        return made, bottleneck.prior(params, {}).log_prob(made.z), posteriors

    made, log_p, posteriors = fast.jit(look)(jax.random.key(0))
    normal = stats.norm.logpdf(np.asarray(made.z, float)).sum()
    assert float(log_p) == pytest.approx(normal, rel=1e-5)  # each prior is N(0, I)
    for posterior in posteriors:
        np.testing.assert_array_equal(posterior.log_var, 0)
    wanted = [np.sum(np.square(posterior.loc)) / 2 for posterior in posteriors]
    np.testing.assert_allclose(made.level_kl, wanted, rtol=1e-5)
    assert (made.level_kl > 0.01).all()  # no level waits for the decoder to hear of it
    assert (made.level_kl < np.sum(np.square(features))).all()  # nor grows on the way down


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: B.ladder((4,)), r"levels must be two or more sizes, .*got \(4,\): one latent is"),
        (lambda: B.ladder(4), "levels must be two or more sizes"),
        (lambda: B.ladder((8, 8)), "level 2 has 8 dimensions above 8, take at most 7"),
        (lambda: B.ladder((8, 4, 5)), "level 3 has 5 dimensions above 4, take at most 3"),
        (lambda: B.ladder((8, (4, 4, 1))), "levels must be all numbers, of vectors, or all"),
        (lambda: B.ladder(((4, 2), (2, 1))), "levels must be all numbers, of vectors, or all"),
        (lambda: B.ladder((4, 0)), "latent_dim must be a positive whole number"),
        (
            lambda: B.top_down(((7, 7, 2), (7, 7, 2))),
            r"level 2 has \(7, 7\) positions above \(7, 7\), take \(4, 4\)",
        ),
        (lambda: B.top_down(((1, 1, 4), (1, 1, 2))), r"above \(1, 1\), which nothing can halve"),
        (lambda: B.top_down((4, 2), width=0), "width must be a positive whole number, got 0"),
        (lambda: B.top_down((4, 2), depth=0), "depth must be a positive whole number, got 0"),
        (lambda: B.top_down((4, 2), dtype="half"), "dtype cannot be 'half'"),
        (lambda: ae.networks.tapped_mlp((4, (2, 2, 1))), r"taps must be a row of sizes"),
        (lambda: ae.networks.tapped_conv((4, 2)), r"taps must be a row of images"),
        (
            lambda: ae.networks.tapped_mlp((8, 4)).bind((10,)),
            r"the taps \(8, 4\) are 12 numbers together, but \(10,\) are wanted",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
