"""The categorical likelihood of tokens: indices of any dtype, padding, frequencies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax

import ae_jax as ae

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 5)).astype(np.float32)
TOKENS = np.array([0, 4, 2, 2, 1, 3])
LIKELIHOOD = ae.likelihoods.categorical(5)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.float32, np.int64])
def test_indices_of_any_dtype_give_the_cross_entropy(dtype):
    expected = np.log(softmax(LOGITS.astype(float), -1))[np.arange(6), TOKENS].sum()
    got = LIKELIHOOD.log_prob({}, LOGITS, TOKENS.astype(dtype), None)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_padding_may_hold_anything():
    observed = np.array([True, True, True, False, False, False])
    padded = np.where(observed, TOKENS, -1)
    expected = LIKELIHOOD.log_prob({}, LOGITS[:3], TOKENS[:3], None)
    got, gradient = jax.value_and_grad(LIKELIHOOD.log_prob, 1)({}, LOGITS, padded, observed)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert not gradient[3:].any()


@pytest.mark.parametrize("index", [-1, 5, 100])
def test_an_index_outside_is_not_taken_for_another(index):
    assert np.isnan(LIKELIHOOD.log_prob({}, LOGITS[:1], np.array([index]), None))


def test_mean_and_mode_are_the_most_probable_class():
    np.testing.assert_array_equal(LIKELIHOOD.mode({}, LOGITS), LOGITS.argmax(-1))
    np.testing.assert_array_equal(LIKELIHOOD.mean({}, LOGITS), LOGITS.argmax(-1))


def test_bfloat16_logits_do_not_round_the_index():
    y = jnp.zeros((1, 1000), jnp.bfloat16).at[0, 999].set(50)
    likelihood = ae.likelihoods.categorical(1000)
    assert likelihood.mode({}, y) == likelihood.sample({}, y, jax.random.key(0)) == 999


def test_samples_have_the_frequencies_of_the_softmax():
    keys = jax.random.split(jax.random.key(0), 20_000)
    draws = np.asarray(jax.jit(jax.vmap(LIKELIHOOD.sample, (None, None, 0)))({}, LOGITS, keys))
    for column, logits in zip(draws.T, LOGITS.astype(float), strict=True):
        counted = np.bincount(column.astype(int), minlength=5)
        assert stats.chisquare(counted, 20_000 * softmax(logits)).pvalue > 1e-4


@pytest.mark.parametrize(
    ("bad", "shown"), [(5, "5"), (-1, "-1"), (2.5, r"2\.5"), (255, "255"), (3.0000002, "3.0000002")]
)
def test_what_is_no_class_is_refused(bad, shown):
    tokens = np.array([[0, 1], [4, bad]], np.float32)
    match = rf"needs whole numbers in \[0, 4\], got {shown} at \(1, 1\) .*; raise num_classes"
    with pytest.raises(ae.errors.DataError, match=match):
        LIKELIHOOD.validate(tokens)


@pytest.mark.parametrize("wrong", [0, -3, 2.0, True])
def test_the_number_of_classes_is_checked(wrong):
    with pytest.raises(ae.errors.ConfigError, match=f"num_classes must be .*, got {wrong!r}"):
        ae.likelihoods.categorical(wrong)
