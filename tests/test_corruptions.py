"""Corruptions: one table of properties for all, moments over 1e5 draws, exact masks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import corruptions
from tests.reference import corruptions as reference

DRAWS = 100_000
LIMIT = 5.0  # standard errors; one of the thousand comparisons below passes 5 in 1,700 runs

NOISES = {
    "gaussian": corruptions.gaussian(0.5, mean=0.2),
    "uniform": corruptions.uniform(-0.1, 0.7),
    "multiplicative": corruptions.multiplicative(0.4),
}
REPLACEMENTS = {
    "masking": corruptions.masking(0.3, value=-1.0),
    "salt_and_pepper": corruptions.salt_and_pepper(0.3, low=-2.0, high=3.0),
    "block_masking": corruptions.block_masking(fraction=0.5, value=7.0),
    "patch_block_masking": corruptions.patch_block_masking(2, 0.6, 2, value=7.0),
    "patch_masking": corruptions.patch_masking(2, 0.6, value=7.0),
    "token_masking": corruptions.token_masking(0.3, mask_token=99),
    "token_swapping": corruptions.token_swapping(0.5),
}
ALL = NOISES | REPLACEMENTS | {"none": corruptions.none()}
SHAPES = [(3,), (3, 2, 5, 2)]


def example(name, shape, seed=0):
    """Tokens for what takes tokens alone, floats for the others; no two entries equal."""
    values = np.random.default_rng(seed).permutation(np.prod(shape)).reshape(shape) + 100
    return jnp.asarray(values, jnp.int32 if name == "token_masking" else jnp.float32)


@functools.cache
def compiled(corruption):
    return jax.jit(jax.vmap(corruption, (0, None, None)))


def draw(corruption, x, count, observed=None):
    """Draws for one x; a mask is always given, for each kind of call compiles on its own."""
    observed = np.ones(x.shape, bool) if observed is None else observed
    return compiled(corruption)(jax.random.split(jax.random.key(0), count), x, observed)


def assert_moments(samples, mean, variance, fourth):
    """Sample mean and variance, each entry against its standard error over independent draws."""
    samples = np.float64(samples)
    count = len(samples)
    assert (np.abs(samples.mean(0) - mean) <= LIMIT * np.sqrt(variance / count)).all()
    spread = np.square(samples - mean).mean(0)
    error = np.sqrt((fourth - variance**2) / count)
    assert (np.abs(spread - variance) <= LIMIT * error + 1e-6 * variance).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ALL)
class TestEveryCorruption:
    def test_shape_and_dtype_without_implicit_promotion(self, name, shape):
        dtypes = [jnp.uint8, jnp.int32]
        if name != "token_masking":
            dtypes = [jnp.float32, jnp.bfloat16, jnp.float16]
        for dtype in dtypes:
            x = example(name, shape).astype(dtype)
            with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
                corrupted, info = jax.eval_shape(ALL[name], jax.random.key(0), x, x > 0)
            assert (corrupted.shape, corrupted.dtype) == (shape, dtype)
            assert ("mask" in info) == (name in REPLACEMENTS)
            if "mask" in info:
                assert (info["mask"].shape, info["mask"].dtype) == (shape, bool)

    def test_the_mask_says_what_was_replaced(self, name, shape):
        x = example(name, shape)
        corrupted, info = draw(ALL[name], x, 20)
        if name in REPLACEMENTS:
            np.testing.assert_array_equal(info["mask"], corrupted != x)
        elif name == "none":
            np.testing.assert_array_equal(corrupted, np.broadcast_to(x, corrupted.shape))
        else:
            assert (corrupted != x).all()

    def test_unobserved_entries_stay(self, name, shape):
        x = example(name, shape)
        observed = np.random.default_rng(1).random(shape) < 0.5
        corrupted, info = map(jax.device_get, draw(ALL[name], x, 20, observed))
        same = np.broadcast_to(x, corrupted.shape)
        np.testing.assert_array_equal(corrupted[:, ~observed], same[:, ~observed])
        assert not np.any(info.get("mask", False) & ~observed)

    def test_vmap_is_a_loop_and_no_mask_means_all_observed(self, name, shape):
        x = example(name, shape)
        alone = jax.jit(ALL[name])
        together = jax.device_get(draw(ALL[name], x, 20))
        for i, key in enumerate(jax.random.split(jax.random.key(0), 20)[:3]):
            one, entry = jax.tree.leaves(alone(key, x, None)), jax.tree.leaves(together)
            for a, b in zip(one, entry, strict=True):
                np.testing.assert_allclose(a, b[i], rtol=1e-6)


@pytest.mark.parametrize("name", [*NOISES, *REPLACEMENTS])
def test_draws_of_different_keys_are_independent(name):
    """Entry j of one draw against entry j of the next: no correlation."""
    corrupted, info = draw(ALL[name], example(name, (4, 4)), DRAWS)
    changes = np.float64(info.get("mask", corrupted)).reshape(DRAWS, 16)
    changes = (changes - changes.mean(0)) / changes.std(0)
    assert (np.abs((changes[1:] * changes[:-1]).sum(0)) < LIMIT * np.sqrt(DRAWS)).all()


X = np.array([0.0, 1.0, -2.0, 0.25, 10.0], np.float32)


def test_gaussian_moments():
    noisy, _ = draw(NOISES["gaussian"], X, DRAWS)
    assert_moments(np.float64(noisy) - X, *reference.normal_moments(0.2, 0.5))


def test_uniform_moments():
    noisy, _ = draw(NOISES["uniform"], X, DRAWS)
    noise = np.float64(noisy) - X
    assert noise.min() >= -0.1 - 1e-5
    assert noise.max() <= 0.7 + 1e-5
    assert_moments(noise, *reference.uniform_moments(-0.1, 0.7))


def test_multiplicative_moments():
    x = np.array([1.0, -2.0, 0.25, 10.0], np.float32)
    noisy, _ = draw(NOISES["multiplicative"], x, DRAWS)
    assert_moments(np.float64(noisy) / x, *reference.normal_moments(1.0, 0.4))
    np.testing.assert_array_equal(NOISES["multiplicative"](jax.random.key(0), jnp.zeros(3))[0], 0)


@pytest.mark.slow
def test_entries_of_one_example_are_independent():
    for name in (*NOISES, "masking", "salt_and_pepper"):
        noisy = np.float64(draw(ALL[name], X[1:], DRAWS)[0])
        correlation = np.corrcoef(noisy.T) - np.eye(4)
        assert (np.abs(correlation) < LIMIT / np.sqrt(DRAWS)).all(), name


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_masking_moments(rate):
    masked, info = draw(corruptions.masking(rate, value=-1.5), X, DRAWS)
    for j, entry in enumerate(X):
        outcomes = [(-1.5, rate), (entry, 1 - rate)]
        assert_moments(masked[:, j], *reference.discrete_moments(outcomes))
    assert_moments(info["mask"], *reference.discrete_moments([(1.0, rate), (0.0, 1 - rate)]))


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_salt_and_pepper_moments(rate):
    noisy, _ = draw(corruptions.salt_and_pepper(rate, low=-2.0, high=3.0), X, DRAWS)
    for j, entry in enumerate(X):
        outcomes = [(-2.0, rate / 2), (3.0, rate / 2), (entry, 1 - rate)]
        assert_moments(noisy[:, j], *reference.discrete_moments(outcomes))


def test_token_masking_rate_and_dtype():
    tokens = jnp.arange(6, dtype=jnp.uint8)
    masked, _ = draw(corruptions.token_masking(0.15, mask_token=255), tokens, DRAWS)
    assert masked.dtype == jnp.uint8
    outcomes = [(1.0, 0.15), (0.0, 0.85)]
    assert_moments(masked == 255, *reference.discrete_moments(outcomes))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "size", "sides"),
    [
        ((9,), 4, (4,)),
        ((6, 2), 5, (5,)),
        ((5, 7, 3), (2, 3), (2, 3)),
        ((3, 4, 3, 2), (1, 2, 3), (1, 2, 3)),
    ],
)
def test_every_place_of_a_block_is_equally_likely(shape, size, sides):
    x = jnp.zeros(shape)
    masked, info = draw(corruptions.block_masking(size=size, value=1.0), x, DRAWS)
    masks = np.asarray(info["mask"])
    np.testing.assert_array_equal(masked, masks)
    if len(shape) > 1:  # all channels or none
        assert (masks == masks[..., :1]).all()
        masks = masks[..., 0]
    places = reference.block_masks(masks.shape[1:], sides)
    codes = lambda m: np.packbits(m.reshape(len(m), -1), axis=1)
    seen, counts = np.unique(codes(masks), axis=0, return_counts=True)
    np.testing.assert_array_equal(seen, np.unique(codes(places), axis=0))
    rate = 1 / len(places)
    assert (np.abs(counts - DRAWS * rate) <= LIMIT * np.sqrt(DRAWS * rate * (1 - rate))).all()


@pytest.mark.parametrize(
    ("shape", "fraction", "sides"),
    [((10,), 0.3, (3,)), ((8, 8, 3), 0.25, (4, 4)), ((7, 5, 1), 0.5, (5, 4)), ((4, 1), 0.2, (1,))],
)
def test_blocks_by_fraction_keep_the_proportions_of_x(shape, fraction, sides):
    _, info = corruptions.block_masking(fraction=fraction)(jax.random.key(0), jnp.ones(shape))
    channels = 1 if len(shape) == 1 else shape[-1]
    assert info["mask"].sum() == np.prod(sides) * channels


@pytest.mark.parametrize(
    ("shape", "patch", "sides", "rate", "count"),
    [
        ((12,), 3, (3,), 0.5, 2),
        ((13,), 3, (3,), 0.5, 2),  # 5 patches, round(2.5) is 2
        ((8, 8, 3), 4, (4, 4), 0.75, 3),
        ((7, 5, 2), (3, 2), (3, 2), 0.4, 4),  # 3 × 3 patches, the last ones cut
        ((4, 3, 5, 1), (2, 3, 2), (2, 3, 2), 0.9, 5),
    ],
)
def test_patches_are_an_exact_number_and_equally_likely(shape, patch, sides, rate, count):
    x = jnp.zeros(shape)
    masked, info = draw(corruptions.patch_masking(patch, rate, value=1.0), x, DRAWS // 10)
    chosen, masks = np.asarray(info["patch_mask"]), np.asarray(info["mask"])
    flat = chosen.reshape(len(chosen), -1)
    assert (flat.sum(1) == count).all()
    share = count / flat.shape[1]
    assert_moments(flat, *reference.discrete_moments([(1.0, share), (0.0, 1 - share)]))
    np.testing.assert_array_equal(masked, masks)
    if len(shape) > 1:
        assert (masks == masks[..., :1]).all()
        masks = masks[..., 0]
    for i in range(5):
        np.testing.assert_array_equal(
            masks[i], reference.patch_mask(chosen[i], sides, masks.shape[1:])
        )


@pytest.mark.parametrize(
    ("shape", "patch", "rate", "count"),
    [pytest.param((12,), 1, 0.5, 6, marks=pytest.mark.slow), ((12, 9, 1), 1, 0.25, 27)],
)
def test_blocks_of_patches_are_an_exact_number_and_lie_together(shape, patch, rate, count):
    def neighbours(corruption):
        _, info = draw(corruption, jnp.zeros(shape), 200)
        chosen = np.asarray(info["patch_mask"])
        assert (chosen.reshape(200, -1).sum(1) == count).all()
        assert 0 < chosen.mean(0).min() <= chosen.mean(0).max() < 1
        return (chosen[:, 1:] & chosen[:, :-1]).sum()

    blocks = neighbours(corruptions.patch_block_masking(patch, rate, 2))
    assert blocks > 1.3 * neighbours(corruptions.patch_masking(patch, rate))


def test_swapping_keeps_the_multiset_and_moves_the_chosen():
    tokens = jnp.array([5, 5, 1, 2, 3, 9, 7, 7])
    swapped, info = draw(corruptions.token_swapping(0.4), tokens, DRAWS)
    np.testing.assert_array_equal(np.sort(swapped, axis=1), np.tile(np.sort(tokens), (DRAWS, 1)))
    moved = info["mask"].sum(1)
    assert (moved != 1).all()
    # A position moves if it is chosen and any of the seven others is.
    rate = 0.4 * (1 - 0.6**7)
    assert_moments(info["mask"], *reference.discrete_moments([(1.0, rate), (0.0, 1 - rate)]))
    stayed = ~np.asarray(info["mask"])
    np.testing.assert_array_equal(np.where(stayed, swapped, 0), np.where(stayed, tokens, 0))


def test_swapping_everything_draws_every_cycle_equally_often():
    swapped, info = draw(corruptions.token_swapping(1.0), jnp.arange(4), DRAWS)
    assert info["mask"].all()
    cycles, counts = np.unique(swapped, axis=0, return_counts=True)
    assert len(cycles) == 6  # (4 − 1)! cyclic permutations
    assert (np.abs(counts - DRAWS / 6) < LIMIT * np.sqrt(DRAWS * 5 / 36)).all()
    assert (cycles != np.arange(4)).all()


@pytest.mark.parametrize(
    ("corruption", "shift"),
    [
        (corruptions.gaussian(0.0), 0.0),
        (corruptions.uniform(1, 1), 1.0),
        (corruptions.token_swapping(0.0), 0.0),
    ],
)
def test_no_noise_is_exact(corruption, shift):
    np.testing.assert_array_equal(draw(corruption, X, 3)[0], np.tile(X + np.float32(shift), (3, 1)))


def test_gradients_pass_where_x_was_kept():
    x, key = jnp.arange(1.0, 21.0), jax.random.key(1)
    gradient = lambda corruption: jax.grad(lambda x: jnp.sum(corruption(key, x, None)[0]))(x)
    _, info = ALL["masking"](key, x, None)
    assert 0 < info["mask"].sum() < 20
    np.testing.assert_array_equal(gradient(ALL["masking"]), ~info["mask"])
    np.testing.assert_array_equal(gradient(ALL["gaussian"]), np.ones(20))


def test_double_precision_noise_is_drawn_in_double_precision():
    with jax.enable_x64(True):
        x = jnp.zeros(1000, jnp.float64)
        noisy, _ = corruptions.gaussian(1.0)(jax.random.key(0), x)
        assert noisy.dtype == jnp.float64
        assert (noisy != noisy.astype(jnp.float32)).mean() > 0.99


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: corruptions.gaussian(-0.1), "std must not be negative, got -0.1"),
        (lambda: corruptions.gaussian(float("nan")), "std must not be negative, got nan"),
        (lambda: corruptions.multiplicative(-1), "std must not be negative, got -1"),
        (lambda: corruptions.uniform(1.0, 0.0), "low must not exceed high, got 1.0 and 0.0"),
        (lambda: corruptions.masking(1.1), r"rate must lie in \[0, 1\], got 1.1"),
        (lambda: corruptions.salt_and_pepper(-0.1), r"rate must lie in \[0, 1\], got -0.1"),
        (lambda: corruptions.salt_and_pepper(0.1, 1, 0), "low must not exceed high, got 1 and 0"),
        (lambda: corruptions.token_masking(2, 0), r"rate must lie in \[0, 1\], got 2"),
        (lambda: corruptions.token_masking(0.1, 0.5), "mask_token must be a whole number, got 0.5"),
        (lambda: corruptions.token_swapping(float("nan")), r"rate must lie in \[0, 1\], got nan"),
        (lambda: corruptions.patch_masking(4, 1.5), r"rate must lie in \[0, 1\], got 1.5"),
        (lambda: corruptions.patch_block_masking(4, 0.5, 0), "blocks must be a positive whole"),
        (lambda: corruptions.patch_masking(0, 0.5), "patch must be positive whole numbers, got 0"),
        (lambda: corruptions.block_masking(), "give size or fraction, not both, got None and None"),
        (lambda: corruptions.block_masking(2, 0.5), "give size or fraction, not both, got 2 and"),
        (lambda: corruptions.block_masking(size=(2, 0)), r"size must be positive .* \(2, 0\)"),
        (lambda: corruptions.block_masking(fraction=2), r"fraction must lie in \[0, 1\], got 2"),
    ],
)
def test_factories_refuse_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("corruption", "x", "message"),
    [
        (corruptions.gaussian(1.0), jnp.arange(3), "noise needs floating x, got int32"),
        (corruptions.token_masking(0.1, 0), jnp.ones(3), "needs integer x, got float32"),
        (corruptions.masking(0.1, 0.5), jnp.arange(3), "fit x of dtype int32, got 0.5"),
        (corruptions.masking(0.1, 300), jnp.ones(3, jnp.uint8), "fit x of dtype uint8, got 300"),
        (corruptions.block_masking(5), jnp.ones((4, 6, 1)), r"\(5, 5\) does not fit .*\(4, 6\)"),
        (corruptions.block_masking((2, 2)), jnp.ones((4, 1)), r"positions \(4,\), got \(2, 2\)"),
        (corruptions.patch_masking((2,), 0.5), jnp.ones((4, 4, 1)), r"\(4, 4\), got \(2,\)"),
        (corruptions.patch_masking(2, 0.5), jnp.ones(()), "rank 1 or more, got shape"),
        (
            corruptions.patch_masking(4, 0.1),
            jnp.ones((8, 8, 1)),
            r"rate=0.1 hides 0 of 4 patches.*nearest is 0.25, in all 0.25 .* to 0.75 \(3\)",
        ),
        (
            corruptions.patch_masking(4, 0.9),
            jnp.ones((8, 8, 1)),
            "rate=0.9 hides 4 of 4 patches, which leaves nothing to see: the nearest is 0.75",
        ),
        (corruptions.patch_masking(2, 0.0), jnp.ones((4, 4, 1)), "rate=0 hides 0 of 4 patches"),
        (corruptions.patch_masking(2, 1.0), jnp.ones((4, 4, 1)), "rate=1 hides 4 of 4 patches"),
        (corruptions.patch_masking(8, 0.5), jnp.ones((8, 8, 1)), "is one patch; take smaller"),
        (
            corruptions.block_masking(fraction=0.001),
            jnp.ones((4, 4, 1)),
            r"\(0, 0\) covers none of \(4, 4\): .* must lie above 0.0156 and below 0.766",
        ),
        (corruptions.block_masking(fraction=0.99), jnp.ones((4, 4, 1)), "covers all"),
        (corruptions.block_masking(4), jnp.ones((4, 4, 1)), "covers all .* take a smaller size"),
    ],
)
def test_corruptions_refuse_what_they_cannot_corrupt(corruption, x, message):
    with pytest.raises(ValueError, match=message):
        corruption(jax.random.key(0), x, None)


@pytest.mark.parametrize("name", [*NOISES, *REPLACEMENTS])
def test_a_mask_of_observed_entries_has_the_shape_of_x(name):
    with pytest.raises(ValueError, match=r"x's shape \(4, 3\), got \(4, 1\)"):
        ALL[name](jax.random.key(0), example(name, (4, 3)), jnp.ones((4, 1), bool))
