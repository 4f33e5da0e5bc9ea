"""Residual quantisation: each level the nearest code of the rest, and levels that are left out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ae_jax as ae
from tests import fast
from tests.bottlenecks.updates import states
from tests.reference import quantization as reference

SHAPE, LEVELS, CODES, DECAY = (2, 3), 3, 5, 0.8
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 16, *SHAPE)).astype(np.float32)
MASK = RNG.random((2, 16)) < 0.6


def made(**options):
    options = {"decay": DECAY, "dead_below": 0.0} | options
    return ae.bottlenecks.residual_quantized(SHAPE, LEVELS, CODES, **options)


def test_each_level_takes_the_code_nearest_to_what_is_left():
    bottleneck = made()
    params, state = bottleneck.init(jax.random.key(0))
    weights = RNG.normal(size=SHAPE).astype(np.float32)

    def weighted(features):
        q = bottleneck.posterior(params, state, features)
        pull = jnp.sum(jax.vmap(ae.losses.commitment)(q.features, q.codes))
        return jnp.sum(weights * q.value), (q, pull)

    def run(features):
        to_value, (q, _) = jax.grad(weighted, has_aux=True)(features)
        return to_value, q, jax.grad(lambda f: weighted(f)[1][1])(features)

    to_value, q, to_pull = fast.jit(run)(X[0, 0])
    codebooks = np.asarray(state["codebook"])
    numbers, rests = reference.residual(X[0, 0], codebooks)
    np.testing.assert_array_equal(q.numbers, numbers)
    np.testing.assert_allclose(q.features, rests, rtol=1e-5, atol=1e-6)
    codes = np.stack([book[n] for book, n in zip(codebooks, numbers.T, strict=True)])
    np.testing.assert_allclose(q.value, codes.sum(0), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(to_value, weights)  # once, not once a level
    np.testing.assert_allclose(to_pull, 2 * (rests - codes).sum(0), rtol=1e-4, atol=1e-5)
    fewer = bottleneck.codes.latent(params, state, q.numbers[..., :2])
    np.testing.assert_allclose(fewer, codes[:2].sum(0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("devices", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_every_codebook_is_the_moving_average_of_its_residuals(devices):
    found = states(made(), X, MASK, devices)
    wanted = [{name: np.float64(leaf) for name, leaf in found[0].items()}]
    for x, valid in zip(X, MASK, strict=True):
        old = wanted[-1]
        _, rests = reference.residual(x[valid], old["codebook"])
        rows = [
            reference.moving_average(tuple(old[n][i] for n in old), rests[i], DECAY)
            for i in range(LEVELS)
        ]
        wanted.append({n: np.stack([row[j] for row in rows]) for j, n in enumerate(old)})
    for name, leaf in found[-1].items():
        np.testing.assert_allclose(leaf, wanted[-1][name], rtol=1e-4, atol=1e-5)


def test_levels_are_left_out_by_their_probability_and_uniformly():
    bottleneck = made(dropout=0.6)
    params, state = bottleneck.init(jax.random.key(0))
    features = jnp.asarray(X[0, 0])
    keys = jax.random.split(jax.random.key(1), 2000)

    def draw(key):
        q = bottleneck.posterior(params, state, features)
        return bottleneck.latent(params, state, q, key, train=True)

    q = bottleneck.posterior(params, state, features)
    sums = np.cumsum(q.codes, axis=0)
    z = np.asarray(fast.jit(jax.vmap(draw))(keys))
    gaps = np.abs(z[:, None] - sums).sum((2, 3))
    assert gaps.min(1).max() < 1e-5
    counts = np.bincount(gaps.argmin(1), minlength=LEVELS)
    wanted = np.array([0.2, 0.2, 0.6]) * 2000  # 0.6 / 3 each, and 0.4 more of all
    assert stats.chisquare(counts, wanted).pvalue > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": 0}, "levels must be a positive whole number, got 0"),
        ({"num_codes": 0}, "num_codes must be a positive whole number, got 0"),
        ({"decay": 1.0}, r"decay must lie in \[0, 1\) or be None, got 1.0"),
        ({"dropout": 1.5}, r"dropout must lie in \[0, 1\], got 1.5"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ae.errors.ConfigError, match=message):
        ae.bottlenecks.residual_quantized(3, **arguments)
