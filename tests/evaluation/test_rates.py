"""Rate, distortion and bits a dimension against closed forms of a linear-Gaussian model."""

import functools

import jax
import numpy as np
import pytest
from scipy import stats

import ae_jax as ae
from ae_jax.data import preprocessing
from ae_jax.evaluation.rates import examples
from ae_jax.runs.run import Run
from tests import small
from tests.evaluation import test_likelihood as linear

RNG = np.random.default_rng(0)
W, B = linear.weights()
CENTRE, SPREAD = RNG.normal(size=small.WIDTH) * 3, RNG.uniform(0.5, 4, small.WIDTH)
X = linear.X  # in the model's units
DATA = (X * SPREAD + CENTRE).astype(np.float64)
VARIANCE = 1 / (1 + (W**2).sum(0) / linear.SIGMA**2)
RATES = ae.evaluation.rate_distortion


def as_run(model, variables, part=None, shape=(small.WIDTH,), devices=1, columns=None):
    """A Run that never trained."""
    config = ae.config.complete(small.config(devices=devices, training={"batch_size": 16}))
    part = part or preprocessing.none()
    spec = ae.Spec(part.event_shape(shape), "table" if columns else "real", columns=columns)
    return Run(model, None, variables, config, part, spec, shape, 100, (0.0, 1.0))


@functools.cache
def standardised(devices=1):
    """The model of `test_likelihood`, its encoder off the true posterior, on data not standard."""
    run = linear.run(False)
    part = preprocessing.standardise(CENTRE.tolist(), SPREAD.tolist())
    return as_run(run.model, run.variables, part, devices=devices)


def test_bits_of_a_density_are_those_of_the_data_in_their_own_units():
    run = as_run(
        *(linear.run(True).model, linear.run(True).variables), standardised().preprocessing
    )
    bound = ae.evaluation.likelihood_bound(run, DATA, samples=2)
    scale = np.diag(SPREAD)
    cov = scale @ (W @ W.T + linear.SIGMA**2 * np.eye(small.WIDTH)) @ scale
    exact = stats.multivariate_normal(CENTRE + SPREAD * B, cov).logpdf(DATA)
    np.testing.assert_allclose(bound.coded, exact, rtol=1e-4)
    bits = -exact.mean() / np.log(2) / small.WIDTH
    assert bound.bits_per_dim == pytest.approx(bits, rel=1e-4)
    assert bound.what == "density"
    assert "changes with the data's units" in bound.note
    np.testing.assert_allclose(bound.log_px, linear.exact_log_likelihood(), rtol=1e-4)


def test_rate_and_distortion_of_each_example_are_the_closed_forms():
    rates = RATES(standardised(), DATA, samples=4_000)
    loc = (X - B) @ (W * VARIANCE / linear.SIGMA**2) + linear.SHIFT
    variance = VARIANCE * np.exp(linear.WIDER)
    rate = 0.5 * (variance + loc**2 - 1 - np.log(variance)).sum(1)
    np.testing.assert_allclose(rates.rate, rate, rtol=1e-4)
    error = ((X - B - loc @ W.T) ** 2).sum(1) + (variance * (W**2).sum(0)).sum()
    constant = small.WIDTH * np.log(2 * np.pi * linear.SIGMA**2)
    np.testing.assert_allclose(
        rates.distortion, (error / linear.SIGMA**2 + constant) / 2, rtol=0.05
    )
    assert rates.distortion.mean() == pytest.approx(
        ((error / linear.SIGMA**2 + constant) / 2).mean(), rel=0.005
    )


@pytest.mark.slow
def test_rate_and_distortion_are_the_negative_elbo_of_evaluation():
    run = small.train(steps=2)
    rates = run.evaluate()["neg_elbo"], sum(RATES(run, samples=2_000).to_dict().values())
    assert rates[0] == pytest.approx(rates[1], rel=0.02)


def test_four_devices_give_the_numbers_of_one_and_every_example_counts_once():
    one, four = (
        (RATES(run, DATA, samples=3), ae.evaluation.likelihood_bound(run, DATA, samples=3))
        for run in (standardised(), standardised(devices=4))
    )
    assert len(one[0].rate) == len(one[1].log_px) == len(DATA)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), tuple(one[0]), tuple(four[0])
    )
    for name in ("log_px", "coded", "dimensions"):
        np.testing.assert_allclose(getattr(one[1], name), getattr(four[1], name), rtol=1e-5)


def decodes(network_bias, likelihood, shape=(small.WIDTH,)):
    """A model whose decoder emits the same whatever z is, and whose posterior is the prior."""
    network = ae.networks.linear()
    recipe = ae.recipes.vae(2, encoder=network, decoder=network, likelihood=likelihood)
    model, _ = recipe.build(ae.Spec(shape, "real"))
    variables = model.init(jax.random.key(0), np.zeros(shape, np.float32))
    params = jax.tree.map(np.zeros_like, variables.params)
    params["decoder"]["output"]["bias"] = np.asarray(network_bias, np.float32)
    return model, variables._replace(params=params)


def test_integers_under_a_density_are_dequantised():
    """E over u of -log₂ N(x + u), u within ±½, adds 1/24σ² nats; it is above the bins' own mass."""
    mean, sigma = np.full(small.WIDTH, 0.4), 0.02
    model = decodes(mean, ae.likelihoods.gaussian(scale=sigma))
    run = as_run(*model, preprocessing.scale(0, 255))
    x = RNG.integers(90, 115, (4_000, small.WIDTH)).astype(np.uint8)
    bound = ae.evaluation.likelihood_bound(run, x, samples=1)
    spread = 255 * sigma
    nats = 0.5 * np.log(2 * np.pi * spread**2) + ((x - 102.0) ** 2 + 1 / 12) / (2 * spread**2)
    assert bound.bits_per_dim == pytest.approx(nats.mean() / np.log(2), rel=2e-3)
    bins = stats.norm(102, spread)
    mass = -np.log2(bins.cdf(x + 0.5) - bins.cdf(x - 0.5)).mean()
    assert mass - 1e-3 < bound.bits_per_dim < mass * 1.01
    assert bound.what == "dequantised"
    floats = ae.evaluation.likelihood_bound(run, x.astype(np.float32), samples=1)
    assert floats.what == "density"
    np.testing.assert_allclose(floats.log_px, bound.log_px)


def test_bits_of_a_mass_know_no_units():
    logit = np.log(0.3 / 0.7)
    run = as_run(*decodes(np.full(4, logit), ae.likelihoods.bernoulli(), (4,)), shape=(4,))
    bound = ae.evaluation.likelihood_bound(run, np.array([[0, 0, 1, 1], [1, 1, 1, 1]]), samples=1)
    assert bound.bits_per_dim == pytest.approx(-(2 * np.log2(0.7) + 6 * np.log2(0.3)) / 8)
    assert (bound.what, bound.note) == ("mass", None)
    scaled = as_run(run.model, run.variables, preprocessing.scale(0, 255), shape=(4,))
    again = ae.evaluation.likelihood_bound(scaled, 255 * np.eye(4, dtype=np.uint8), samples=1)
    assert again.bits_per_dim == pytest.approx(-(3 * np.log2(0.7) + np.log2(0.3)) / 4)


def test_missing_entries_and_padding_are_no_dimensions():
    mean, observed = np.zeros(5), np.array([[True, False, True]] * 6)
    part = preprocessing.chain([preprocessing.scale(0, 2), preprocessing.pad([(1, 1)])])
    run = as_run(*decodes(mean, ae.likelihoods.gaussian(), (5,)), part, shape=(3,))
    x = RNG.normal(size=(6, 3)).astype(np.float32)
    bound = ae.evaluation.likelihood_bound(run, ae.data.Arrays(x, observed=observed), samples=1)
    assert (bound.dimensions == 2).all()
    shown = stats.norm(0, 1).logpdf(x[:, [0, 2]] / 2) - np.log(2)
    padding = 2 * stats.norm.logpdf(0)
    np.testing.assert_allclose(bound.coded, shown.sum(1) + padding, rtol=1e-5)


def test_columns_of_both_kinds_count_each_in_its_way():
    columns = [("gaussian", 2), ({"name": "categorical", "num_classes": 3}, 1)]
    likelihood = ae.likelihoods.mixed(columns)
    assert likelihood.discrete == (False, False, True)
    model = decodes(np.zeros(5), likelihood, (3,))
    run = as_run(*model, preprocessing.standardise([0, 0, 0], [2.0, 4.0, 1.0]), shape=(3,))
    x = np.concatenate([RNG.normal(size=(7, 2)), RNG.integers(0, 3, (7, 1))], 1)
    bound = ae.evaluation.likelihood_bound(run, x, samples=1)
    expected = stats.norm(0, [2, 4]).logpdf(x[:, :2]).sum(1) - np.log(3)
    np.testing.assert_allclose(bound.coded, expected, rtol=1e-5)


def untrained(recipe, devices=1):
    """A Run of a recipe at its first weights, for the small data."""
    recipe = recipe._replace(encoder=ae.networks.linear(), decoder=ae.networks.linear())
    model, _ = recipe.build(ae.Spec((small.WIDTH,), "real"))
    variables = model.init(jax.random.key(0), np.zeros(small.WIDTH, np.float32))
    return as_run(model, variables, devices=devices)


def test_a_code_of_a_codebook_costs_the_logarithm_of_its_size():
    rates = RATES(untrained(ae.recipes.vq_vae((3, 2), num_codes=8)), small.arrays()[:5])
    np.testing.assert_allclose(rates.rate, 3 * np.log(8), rtol=1e-6)


def nothing_to_count(run, x):
    """The bits of a bound that has none: it is there, and its table leaves them out."""
    bound = ae.evaluation.likelihood_bound(run, x, samples=1)
    assert set(bound.to_dict()) == {"neg_log_likelihood_k1"}
    return bound.bits_per_dim


def test_what_has_no_meaning_is_refused():
    plain = untrained(ae.recipes.autoencoder(2))
    for measured in (RATES, ae.evaluation.likelihood_bound):
        with pytest.raises(
            ae.errors.PartError, match=r"need densities of .*, as those of ae.recipes.vae"
        ):
            measured(plain, DATA)
        with pytest.raises(ae.errors.ConfigError, match="samples must be a positive whole number"):
            measured(standardised(), DATA, samples=0)
    binary = preprocessing.binarise("threshold")
    run = as_run(*decodes(np.zeros(4), ae.likelihoods.gaussian(), (4,)), binary, shape=(4,))
    with pytest.raises(ae.errors.PartError, match="need preprocessing with a derivative"):
        nothing_to_count(run, np.eye(4, dtype=np.float32))
    bounded = decodes(np.zeros(4), ae.likelihoods.continuous_bernoulli(), (4,))
    run = as_run(*bounded, preprocessing.scale(0, 255), shape=(4,))
    with pytest.raises(ae.errors.PartError, match="needs values in .0, 1."):
        nothing_to_count(run, np.zeros((3, 4), np.uint8))
    with pytest.raises(ae.errors.DataError, match="dimensions above 0, got"):
        ae.evaluation.bits_per_dim(np.zeros(0), 3)


def test_examples_that_cannot_be_read_take_their_extras_with_them():
    valid = np.arange(len(DATA)) != 1
    split = ae.data.Arrays(DATA, {"label": np.arange(len(DATA))}, valid=valid)
    (records, places), *_ = examples(standardised(), split)
    np.testing.assert_array_equal(records.x, DATA[valid])
    np.testing.assert_array_equal(records.extras["label"], np.flatnonzero(valid))
    assert len(places) == valid.sum()
