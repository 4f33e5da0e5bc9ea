"""Denoising in dB against scikit-image, noise of the asked kind, and what a linear probe reads."""

import dataclasses

import jax
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

import ae_jax as ae
from ae_jax import evaluation
from ae_jax.data.source import Records
from ae_jax.errors import DataError, UnknownNameError

RANGE = 200.0
X = np.random.default_rng(1).integers(0, RANGE, (300, 5, 4, 1)).astype(np.float32)
LABEL = (X[:, 0, 0, 0] > RANGE / 2).astype(np.int32)


@pytest.fixture(scope="module")
def run():
    """An autoencoder that copies: linear, to a code of all 20 pixels."""
    linear = ae.networks.linear()
    recipe = ae.recipes.denoising(
        20, encoder=linear, decoder=linear, corruption=ae.corruptions.gaussian(0.1)
    )
    options = {"steps": 2, "batch_size": 8, "progress": False}
    run = ae.fit(
        recipe,
        X,
        test=X[:250],
        preprocessing={"name": "scale", "low": 0.0, "high": RANGE},
        **options,
    )
    copy = lambda leaf: np.eye(20, dtype=np.float32) if leaf.ndim == 2 else np.zeros_like(leaf)
    variables = ae.Variables(jax.tree.map(copy, run.variables.params), {})
    return dataclasses.replace(run, variables=variables, display_range=(0.0, RANGE))


def test_psnr_is_that_of_scikit_image():
    again = X + np.random.default_rng(2).normal(size=X.shape) * 7
    got = evaluation.psnr(X, again, 0.0, RANGE)
    want = [
        peak_signal_noise_ratio(a.astype(np.float64), b, data_range=RANGE)
        for a, b in zip(X, again, strict=True)
    ]
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert evaluation.psnr(X[:1], X[:1], 0.0, RANGE)[0] == np.inf


def test_noise_has_the_deviation_asked_for_in_the_model_s_units(run):
    records = Records(X)
    for corruption, std in ((None, 0.1), (ae.corruptions.gaussian(0.3), 0.3)):
        noise = (evaluation.corrupt(run, records, corruption) - X) / RANGE
        assert noise.std() == pytest.approx(std, rel=0.05)
    node = {"name": "gaussian", "std": 0.3}
    same = [evaluation.corrupt(run, records, node, seed=seed) for seed in (5, 5, 6)]
    np.testing.assert_array_equal(same[0], same[1])
    assert np.abs(same[0] - same[2]).mean() > 0.1 * RANGE
    np.testing.assert_allclose(evaluation.corrupt(run, records, "none"), X, rtol=1e-6)
    with pytest.raises(UnknownNameError, match="gaussian"):
        evaluation.corrupt(run, records, {"name": "gausian", "std": 1.0})


def test_a_model_that_copies_denoises_nothing(run):
    source = ae.data.from_arrays(X, test=X[:250]).test
    got = evaluation.denoising(run, source)
    assert got["psnr_denoised"] == pytest.approx(got["psnr_corrupted"], abs=1e-3)
    assert got["psnr_corrupted"] == pytest.approx(20.22, abs=0.2)  # E[-10 log₁₀(0.01 χ²₂₀ / 20)]


def test_a_probe_reads_from_a_copy_what_a_line_separates_and_noise_costs_it(run):
    labelled = [
        ae.data.Arrays(X[part], extras={"label": LABEL[part]})
        for part in (slice(200), slice(200, 300))
    ]
    got = evaluation.linear_probe(run, *labelled, corruption={"name": "gaussian", "std": 1.0})
    assert got["probe_accuracy"] > 0.9
    assert 0.4 < got["probe_accuracy_corrupted"] < 0.8
    assert set(evaluation.linear_probe(run, *labelled, num=50)) == {"probe_accuracy"}
    with pytest.raises(DataError, match="no label 'lable'; did you mean 'label'"):
        evaluation.linear_probe(run, *labelled, label="lable")


def test_a_corruption_is_traced_once(run):
    traced = []

    def part(key, x, observed=None):
        traced.append(x.shape)
        return x + 1, {}

    for num, seed in ((5, 0), (5, 1), (9, 1)):
        seen = evaluation.corrupt(run, Records(X[:num], {}), part, seed)
        np.testing.assert_allclose(seen, X[:num] + RANGE, rtol=1e-6)
    assert traced == [X.shape[1:]]


def test_missing_entries_and_unreadable_examples_count_for_nothing(run):
    observed = np.ones(X[:40].shape, bool)
    observed[:, 1] = False
    gaps = np.where(observed, X[:40], np.nan)
    node = {"name": "gaussian", "std": 0.3}
    found = evaluation.denoising(run, ae.data.Arrays(gaps, observed=observed), node)
    seen = evaluation.corrupt(run, Records(gaps, observed=observed), node)
    error = np.mean((seen - X[:40])[observed].reshape(40, -1) ** 2, axis=1)
    want = np.mean(10 * np.log10(RANGE**2 / error))
    assert found["psnr_denoised"] == pytest.approx(want, abs=1e-4)  # the run copies
    assert found["psnr_corrupted"] == pytest.approx(want, abs=1e-4)

    valid = np.arange(60) < 40
    broken = np.where(valid.reshape(-1, 1, 1, 1), X[:60], 0)
    some = ae.data.Arrays(broken, {"label": LABEL[:60]}, valid=valid)
    all_of = ae.data.Arrays(X[:40], {"label": LABEL[:40]})
    assert evaluation.denoising(run, some, node) == evaluation.denoising(run, all_of, node)
    probes = [evaluation.linear_probe(run, part, part) for part in (some, all_of)]
    assert probes[0] == probes[1]


def test_columns_are_put_into_the_order_of_training():
    table, names = X[:300, :, 0, 0].copy(), "abcde"
    columns = tuple(ae.types.Column(name, "number") for name in names)
    linear = ae.networks.linear()
    recipe = ae.recipes.autoencoder(2, encoder=linear, decoder=linear)
    whole = ae.data.Arrays(table, {"label": LABEL}, columns=columns)
    run = ae.fit(recipe, whole, steps=1, batch_size=8, progress=False)
    turned = ae.data.Arrays(table[:, ::-1].copy(), {"label": LABEL}, columns=columns[::-1])
    node = {"name": "gaussian", "std": 0.3}
    assert evaluation.denoising(run, turned, node) == evaluation.denoising(run, whole, node)
    assert evaluation.linear_probe(run, whole, turned) == evaluation.linear_probe(run, whole, whole)
