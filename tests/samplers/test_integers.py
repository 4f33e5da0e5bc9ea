"""Samplers of a quantised latent's integers: masses, draws, and the runs that keep them."""

import dataclasses
import itertools
import math

import jax
import numpy as np
import pytest
import scipy.stats
from etils import epath

import ae_jax as ae
from ae_jax.samplers.sampler import drawn, scored
from tests import small, untrained
from tests.samplers import toys

EVERY = np.array(list(itertools.product(range(toys.SIZE), repeat=3)))
NUM = 3000


def masses(name, by_label, label):
    state = toys.fitted_on_integers(name, by_label)
    logs = scored(toys.INTEGERS[name], state, EVERY, np.full(len(EVERY), label))
    return np.exp(np.asarray(logs, np.float64))


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "by_label"),
    [
        ("unigram", True),
        pytest.param("unigram", False, marks=SLOW),
        pytest.param("code_transformer", True, marks=SLOW),
        pytest.param("code_transformer", False, marks=SLOW),
    ],
)
def test_masses_add_up_to_one_and_draws_follow_them(name, by_label):
    label = 2 * by_label
    want = masses(name, by_label, label)
    assert want.sum() == pytest.approx(1, abs=1e-5)
    sampler, state = toys.INTEGERS[name], toys.fitted_on_integers(name, by_label)
    codes = drawn(sampler, state, jax.random.key(3), np.arange(NUM), np.full(NUM, label))
    assert codes.dtype == np.int32
    seen = np.bincount(np.asarray(codes) @ [9, 3, 1], minlength=27)
    expected = NUM * want
    likely = expected > 5
    rest = lambda counts: np.append(counts[likely], counts[~likely].sum() + 1e-9)
    scaled = rest(expected) * NUM / rest(expected).sum()
    assert scipy.stats.chisquare(rest(seen), scaled, sum_check=False).pvalue > 1e-3


def test_a_unigrams_masses_are_the_smoothed_shares_of_each_place():
    codes, labels = toys.integers()
    state = toys.fitted_on_integers("unigram", True)
    for label in range(toys.SIZE):
        own = codes[labels == label]
        counts = np.stack([(own == n).sum(axis=0) for n in range(toys.SIZE)], axis=1) + 0.5
        np.testing.assert_allclose(
            np.exp(state["log_shares"][label]),
            counts / counts.sum(axis=1, keepdims=True),
            rtol=1e-5,
        )


@SLOW
def test_a_transformer_learns_that_the_last_integer_is_the_sum_of_the_others():
    codes, _ = toys.integers()
    bits = lambda name: -np.log2(masses(name, False, 0)[codes @ [9, 3, 1]]).mean()
    share = np.bincount(codes[:, 0]) / len(codes)
    entropy = -2 * np.sum(share * np.log2(share))  # of the two that are free
    assert bits("code_transformer") < entropy + 0.1
    assert bits("unigram") > entropy + 1
    told = masses("code_transformer", True, 1)
    assert told[EVERY[:, 0] == 1].sum() > 0.95  # the label is the first integer


@SLOW
def test_few_draws_are_the_first_of_many_and_jit_and_vmap_change_nothing():
    sampler, state = (
        toys.INTEGERS["code_transformer"],
        toys.fitted_on_integers("code_transformer", True),
    )
    key, labels = jax.random.key(5), np.arange(5) % 3
    many = np.asarray(drawn(sampler, state, key, np.arange(5), labels))
    np.testing.assert_array_equal(sampler.sample(state, key, 3, labels[:3]), many[:3])
    logs = scored(sampler, state, many, labels)
    np.testing.assert_allclose(sampler.log_prob(state, many, labels), logs, rtol=1e-4, atol=1e-4)


def test_other_numbers_than_the_codes_are_refused_in_one_line():
    key, codes, sampler = jax.random.key(0), toys.integers()[0], ae.samplers.unigram()
    fit = ae.samplers.code_transformer().fit
    refused = {
        "codes of integers, got float64": lambda: sampler.fit(codes + 0.5, key, size=3),
        "in 0 to 1, got 0 to 2": lambda: sampler.fit(codes, key, size=2),
        "size must be a positive whole number": lambda: sampler.fit(codes, key),
        "transformer over codes needs at least 20 codes, got 19": lambda: fit(
            codes[:19], key, size=3
        ),
    }
    for message, call in refused.items():
        with pytest.raises(ae.errors.AeJaxError) as caught:
            call()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


RECIPES = {
    "vector_quantized": ae.recipes.vq_vae((2, 2), num_codes=8),
    "fsq": ae.recipes.fsq_vae((2, 2), levels=3),
    "residual": ae.recipes.residual_vq_vae((2, 2), levels=3, num_codes=4),
    "grouped": ae.recipes.Recipe(
        ae.bottlenecks.grouped((2, 4), 2, of={"name": "fsq", "levels": 3}),
        ae.terms.reconstruction(),
        likelihood=ae.likelihoods.gaussian(),
    ),
}


def run_in(workdir, name="fsq", data=None):
    data = small.arrays()[: small.TRAIN] if data is None else data
    run = untrained.run_of(RECIPES[name], data)
    return dataclasses.replace(run, workdir=epath.Path(workdir))


@pytest.mark.parametrize(
    "name",
    ["residual", *(pytest.param(n, marks=SLOW) for n in RECIPES if n != "residual")],
)
def test_a_prior_over_integers_is_kept_with_any_quantiser_and_its_draws_are_decoded(name, tmp_path):
    run, x = run_in(tmp_path, name), small.arrays()[: small.TRAIN]
    fitted = ae.samplers.fit(run, x, "unigram", name="prior")
    loaded = ae.samplers.load(run, "prior")
    small.assert_identical(loaded.state, fitted.state)
    assert loaded.size == run.model.bottleneck.codes.size
    drawn = loaded.sample(5, seed=1)
    assert drawn.shape == (5, *run.model.bottleneck.codes.shape)
    made = run.sample(5, seed=1, sampler=loaded)
    np.testing.assert_allclose(made, run.decode_codes(drawn), rtol=1e-6)
    around = run.sample(5, seed=1, sampler=loaded, observations=True) - made
    assert 0.5 < around.std() < 2  # the Gaussian's unit variance
    numbers = run.codes(x)
    flat = numbers.reshape(len(x), -1)
    log_shares = loaded.state["log_shares"][0].astype(np.float64)
    want = [log_shares[np.arange(flat.shape[1]), code].sum() for code in flat]
    np.testing.assert_allclose(loaded.log_prob(numbers), want, rtol=1e-5)


@SLOW
def test_a_transformer_is_kept_and_told_a_label(tmp_path):
    x = small.arrays()[: small.TRAIN] + 8 * (np.arange(small.TRAIN) % 2)[:, None]
    labels = 3 + 4 * (np.arange(small.TRAIN) % 2)
    run = run_in(tmp_path, "residual", x)
    sampler = ae.samplers.code_transformer(8, 1, 2, steps=100)
    fitted = ae.samplers.fit(run, (x, {"label": labels}), sampler, condition="label")
    loaded, told = ae.samplers.load(run, "code_transformer"), {"label": np.tile([3, 7], 20)}
    np.testing.assert_array_equal(
        loaded.sample(40, 2, extras=told), fitted.sample(40, 2, extras=told)
    )
    rates = ae.samplers.code_rates(run, loaded, (x, {"label": labels}))
    numbers = run.codes(x)
    want = -loaded.log_prob(numbers, extras={"label": labels}).mean() / math.log(2) / 6
    assert rates.sampler == pytest.approx(want, rel=1e-5)
    shares = [np.bincount(numbers[..., i].ravel(), minlength=4) / (2 * len(x)) for i in range(3)]
    entropies = [scipy.stats.entropy(share, base=2) for share in shares]
    assert rates.unigram == pytest.approx(np.mean(entropies), rel=1e-6)
    assert rates.uniform == 2.0


def test_what_does_not_fit_a_sampler_of_integers_is_refused(tmp_path):
    run, x = run_in(tmp_path), small.arrays()[: small.TRAIN]
    plain = untrained.run_of(ae.recipes.autoencoder(2), x)
    fitted = ae.samplers.fit(run, x, "unigram")
    refused = {
        "'identity' does not quantise": lambda: ae.samplers.fit(plain, x, "unigram"),
        "codes='means', got codes='samples'": lambda: ae.samplers.fit(
            run, x, "unigram", codes="samples"
        ),
        "codes must be [n, 2], got (4, 3)": lambda: fitted.log_prob(np.zeros((4, 3), int)),
        "in 0 to 8, got 9 to 9": lambda: fitted.log_prob(np.full((4, 2), 9)),
        "is one of vectors": lambda: ae.samplers.code_rates(
            plain, ae.samplers.fit(plain, x, components=1), x
        ),
    }
    for message, call in refused.items():
        with pytest.raises(ae.errors.AeJaxError) as caught:
            call()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
