"""The bound on log p(x) against the exact density of a linear-Gaussian model."""

import functools

import jax
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import ae_jax as ae
from ae_jax import keys
from ae_jax.data.preprocessing import none
from ae_jax.evaluation.likelihood import no_weight
from ae_jax.runs.run import Run
from tests import small, untrained

SIGMA, LATENTS, WIDTH = 0.7, 2, small.WIDTH
X = small.arrays()[:40]
SHIFT, WIDER = 0.4, 0.5  # how far the encoder's posterior is from the true one


def weights():
    """W with orthogonal columns, so that the true posterior is diagonal, and b."""
    rng = np.random.default_rng(1)
    columns = np.linalg.qr(rng.normal(size=(WIDTH, LATENTS)))[0] * [1.5, 0.8]
    return columns, rng.normal(size=WIDTH)


@functools.cache
def run(exact):
    """z ~ N(0, I), x | z ~ N(W z + b, σ² I); the encoder is q = p(z | x), or somewhat off it."""
    network = ae.networks.linear()
    likelihood = ae.likelihoods.gaussian(scale=SIGMA)
    recipe = ae.recipes.vae(LATENTS, encoder=network, decoder=network, likelihood=likelihood)
    model, objective = recipe.build(ae.Spec((WIDTH,), "real"))
    w, b = weights()
    variance = 1 / (1 + (w**2).sum(0) / SIGMA**2)
    into = w * variance / SIGMA**2
    off = 0 if exact else 1
    bias = np.concatenate([-b @ into + off * SHIFT, np.log(variance) + off * WIDER])
    params = {
        "encoder": {"kernel": np.concatenate([into, np.zeros_like(into)], axis=1), "bias": bias},
        "decoder": {"kernel": w.T, "bias": b},
    }
    as_float = lambda part: {"output": {k: np.float32(v) for k, v in part.items()}}
    variables = model.init(jax.random.key(0), np.zeros(WIDTH, np.float32))
    params = {name: as_float(part) for name, part in params.items()}
    same = lambda new, old: new.shape == old.shape
    assert all(jax.tree.leaves(jax.tree.map(same, params, dict(variables.params))))
    config = ae.config.complete(small.config(recipe))
    return Run(
        model,
        objective,
        variables._replace(params=params),
        config,
        none(),
        ae.Spec((WIDTH,), "real"),
        (WIDTH,),
        100,
        (0.0, 1.0),
    )


@functools.cache
def exact_log_likelihood():
    w, b = weights()
    return stats.multivariate_normal(b, w @ w.T + SIGMA**2 * np.eye(WIDTH)).logpdf(X)


def log_weights(k, seed):
    """log p(x | z) p(z) / q(z | x) of k samples of the encoder that is off, `[n, k]`, in SciPy."""
    w, b = weights()
    variance = 1 / (1 + (w**2).sum(0) / SIGMA**2)
    loc = (X - b) @ (w * variance / SIGMA**2) + SHIFT
    scale = np.sqrt(variance * np.exp(WIDER))
    root = keys.stream(jax.random.key(seed), "evaluation")
    own = jax.vmap(lambda i: jax.random.fold_in(root, i))(np.arange(len(X)))
    draw = lambda key, i: jax.random.normal(jax.random.fold_in(key, i), (LATENTS,))
    noise = jax.vmap(jax.vmap(draw, (None, 0)), (0, None))(own, np.arange(k))
    z = loc[:, None] + scale * np.float64(noise)
    log_px = stats.norm(z @ w.T + b, SIGMA).logpdf(X[:, None]).sum(-1)
    log_pz, log_qz = stats.norm.logpdf(z).sum(-1), stats.norm(loc[:, None], scale).logpdf(z).sum(-1)
    return log_px + log_pz - log_qz


def test_with_the_true_posterior_the_bound_is_exact_for_few_samples():
    bound = run(True).log_likelihood(X, samples=2)
    np.testing.assert_allclose(bound, exact_log_likelihood(), rtol=1e-5)


@pytest.mark.parametrize("k", [1, 5, 17])
def test_k_samples_are_drawn_no_more_and_no_fewer(k):
    bound = run(False).log_likelihood(X, samples=k, seed=3)
    expected = logsumexp(log_weights(k, 3), axis=1) - np.log(k)
    np.testing.assert_allclose(bound, expected, rtol=1e-5)


def test_the_bound_rises_with_k_to_the_exact_log_likelihood():
    seeds = range(8)
    mean = lambda k: np.mean([run(False).log_likelihood(X, samples=k, seed=s) for s in seeds])
    one, five, many = mean(1), mean(5), mean(17)
    exact = exact_log_likelihood().mean()
    assert one < five < many < exact + 0.02
    # Var[w] / 2k of the importance weights, the bound's bias to first order (Burda et al. 2016).
    weights = np.exp(log_weights(5_000, 0) - exact_log_likelihood()[:, None])
    assert weights.mean() == pytest.approx(1, abs=0.02)
    assert exact - many == pytest.approx(weights.var(1).mean() / (2 * 17), rel=0.5)


def test_many_samples_reach_the_exact_log_likelihood_within_monte_carlo_error():
    k = 4_000
    error = run(False).log_likelihood(X, samples=k) - exact_log_likelihood()
    weights = np.exp(log_weights(5_000, 0) - exact_log_likelihood()[:, None])
    assert np.abs(error).max() < 5 * np.sqrt(weights.var(1).max() / k)
    assert np.abs(error.mean()) < 5 * np.sqrt(weights.var(1).mean() / k / len(X))


def test_five_thousand_samples_are_within_a_twentieth_of_a_nat_of_the_closed_form():
    bound = run(False).log_likelihood(X, samples=5_000)
    assert abs(bound.mean() - exact_log_likelihood().mean()) < 0.05
    assert np.abs(bound - exact_log_likelihood()).max() < 0.1


def test_memory_does_not_grow_with_k():
    model, variables = run(False).model, run(False).variables
    batch, rows = ae.Batch(X), jax.random.split(jax.random.key(0), len(X))

    def held(k):
        bound = lambda v, keys: ae.evaluation.log_likelihood(model, v, batch, keys, k)
        analysis = jax.jit(bound).lower(variables, rows).compile().memory_analysis()
        return analysis.temp_size_in_bytes

    assert 0 < held(5_000) <= 1.1 * held(500)


def test_the_total_of_many_weights_keeps_its_digits_where_their_logarithms_are_large():
    """At -1e5 nats what the 300th chunk adds to a float32 logarithm rounds to nothing."""
    total = lambda carry, _: (carry.add(jax.numpy.full(16, -1e5))[0], None)
    whole, _ = jax.lax.scan(total, no_weight(), None, length=5_000 // 16)
    np.testing.assert_allclose(whole.scaled, 16 * (5_000 // 16))
    assert float(whole.log) == pytest.approx(-1e5 + np.log(16 * (5_000 // 16)), abs=0.01)


def test_weights_of_zero_count_for_nothing_and_may_come_first():
    none = no_weight().add(jax.numpy.full(3, -np.inf))[0]
    assert float(none.log) == -np.inf
    rng = np.random.default_rng(0)
    log_weights = rng.normal(0, 50, (4, 7)).astype(np.float32)
    for row in log_weights:
        none = none.add(row)[0]
    assert float(none.log) == pytest.approx(logsumexp(log_weights), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("vae", True),
        ("hyperspherical_vae", True),
        ("vq_vae", True),
        ("autoencoder", False),
        ("wae_mmd", False),
        ("adversarial_autoencoder", False),
        ("bigan", False),
        ("gan", False),
    ],
)
def test_there_is_a_bound_where_codes_and_examples_have_densities(name, bound):
    run = untrained.run_of(getattr(ae.recipes, name)((4, 2) if name == "vq_vae" else 2), X)
    assert run.has_bound == bound
    if not bound:
        with pytest.raises(ae.errors.PartError, match="bounds on log p.x. need densities"):
            run.log_likelihood(X[:2], samples=1)
