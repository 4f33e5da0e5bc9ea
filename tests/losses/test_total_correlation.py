"""The β-TCVAE decomposition against the published formulas, enumeration, and itself in shards."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from ae_jax.losses import total_correlation
from tests.losses.properties import Case
from tests.losses.row_properties import BatchCoupledProperties
from tests.reference import total_correlation as reference

NUM_TRAIN = 50
# Unequal, so that no part can stand in for another: their sum alone knows nothing of estimators.
PART_WEIGHTS = np.array([1.0, 3.0, 7.0])


def posteriors(rng):
    mean, log_var = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    return mean + np.exp(log_var / 2) * rng.normal(size=(5, 3)), mean, log_var


def extreme_posteriors():
    rng = np.random.default_rng(1)
    mean, noise = rng.normal(size=(2, 5, 3))
    zero = np.zeros((5, 3))
    yield zero, zero, zero
    for log_var in (-10.0, 10.0, 50.0):
        yield mean + np.exp(log_var / 2) * noise, mean, zero + log_var
    yield noise, 1e3 * mean, zero
    yield zero, zero, zero - 100.0
    yield noise, mean, zero - 100.0  # squared distances overflow, but for the bound
    yield zero, zero, np.linspace(-100.0, 100.0, 15).reshape(5, 3)


def case(estimator):
    def function(z, mean, log_var, valid=None):
        parts = total_correlation.gaussian_kl_decomposition(
            z, mean, log_var, num_train=NUM_TRAIN, estimator=estimator, valid_columns=valid
        )
        return sum(w * jnp.sum(part) for w, part in zip(PART_WEIGHTS.tolist(), parts, strict=True))

    def oracle(*arrays):
        values, scales = reference.decomposition(*arrays, num_train=NUM_TRAIN, estimator=estimator)
        return float((PART_WEIGHTS @ values).sum()), float((PART_WEIGHTS @ scales).sum())

    return Case(estimator, function, oracle, posteriors, extreme_posteriors)


class TestProperties(BatchCoupledProperties):
    cases = tuple(map(case, total_correlation.ESTIMATORS))


jitted = jax.jit(
    total_correlation.gaussian_kl_decomposition, static_argnames=("num_train", "estimator")
)


def decompose(*arrays, num_train=NUM_TRAIN, **options):
    parts = jitted(*arrays, num_train=num_train, **options)
    return np.stack(parts).astype(np.float64)


@pytest.mark.parametrize("estimator", total_correlation.ESTIMATORS)
def test_each_part_of_each_example_equals_the_published_formula(estimator):
    arrays = posteriors(np.random.default_rng(5))
    expected, scales = reference.decomposition(*arrays, num_train=NUM_TRAIN, estimator=estimator)
    parts = decompose(*arrays, estimator=estimator)
    assert (np.abs(parts - expected) <= 1e-5 * scales).all()


@pytest.mark.parametrize("estimator", total_correlation.ESTIMATORS)
def test_parts_sum_to_the_monte_carlo_kl(estimator):
    z, mean, log_var = posteriors(np.random.default_rng(5))
    log_q = stats.norm.logpdf(z, mean, np.exp(log_var / 2)).sum(1)
    kl = log_q - stats.norm.logpdf(z).sum(1)
    parts = decompose(z, mean, log_var, estimator=estimator)
    np.testing.assert_allclose(parts.sum(0), kl, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["stratified", "symmetric"])
def test_stratified_estimates_of_q_are_unbiased(estimator):
    """The mean over all ordered batches that hold the example is the aggregate posterior."""
    rng = np.random.default_rng(0)
    num_train, batch_size = 6, 3
    mean, log_var = rng.normal(size=(2, num_train, 1))
    z = mean[:1] + 0.3
    log_q = stats.norm.logpdf(z, mean, np.exp(log_var / 2))
    others = itertools.permutations(range(1, num_train), batch_size - 1)
    batches = np.array([(0, *rest) for rest in others])

    def log_q_z(mean, log_var):
        parts = total_correlation.gaussian_kl_decomposition(
            z, mean, log_var, num_train=num_train, estimator=estimator, own=np.array([0])
        )
        return log_q[0, 0] - parts.mutual_information[0]

    estimates = np.exp(jax.vmap(log_q_z)(mean[batches], log_var[batches]))
    assert estimates.std() > 1e-3
    np.testing.assert_allclose(estimates.mean(), np.exp(log_q).mean(), rtol=1e-5)


def test_the_whole_training_set_gives_the_exact_aggregate_posterior():
    z, mean, log_var = posteriors(np.random.default_rng(2))
    log_q = stats.norm.logpdf(z[:, None], mean, np.exp(log_var / 2))
    joint = logsumexp(log_q.sum(-1), axis=1) - np.log(5)
    product = (logsumexp(log_q, axis=1) - np.log(5)).sum(-1)
    own = log_q.sum(-1).diagonal()
    prior = stats.norm.logpdf(z).sum(-1)
    parts = decompose(z, mean, log_var, num_train=5, estimator="symmetric")
    np.testing.assert_allclose(
        parts, [own - joint, joint - product, product - prior], rtol=1e-4, atol=1e-5
    )


def test_weighted_is_off_by_the_logarithm_of_the_training_set_where_posteriors_overlap():
    zero = np.zeros((5, 3))
    parts = decompose(zero, zero, zero, estimator="weighted")
    np.testing.assert_allclose(parts[0], np.log(NUM_TRAIN), rtol=1e-5)
    np.testing.assert_allclose(parts[1], 2 * np.log(NUM_TRAIN), rtol=1e-5)
    symmetric = decompose(zero, zero, zero, estimator="symmetric")
    np.testing.assert_allclose(symmetric, 0.0, atol=1e-5)


@pytest.mark.parametrize("estimator", total_correlation.ESTIMATORS)
@pytest.mark.parametrize("padding", [0, 2])
def test_shards_of_rows_against_gathered_columns_give_the_whole(estimator, padding):
    arrays = posteriors(np.random.default_rng(7))
    whole = decompose(*arrays, estimator=estimator)
    z, mean, log_var = (np.pad(a, ((0, padding), (0, 0)), constant_values=np.nan) for a in arrays)
    valid = np.arange(5 + padding) < 5
    shards = [
        decompose(
            z[rows], mean, log_var, estimator=estimator, own=np.array(rows), valid_columns=valid
        )
        for rows in ([0, 1, 2], range(3, 5 + padding))
    ]
    together = np.concatenate(shards, axis=1)
    np.testing.assert_allclose(together[:, :5], whole, rtol=1e-5, atol=1e-5)
    assert not together[:, 5:].any()


def test_order_of_the_batch_matters_to_the_stratified_estimator_alone():
    arrays = posteriors(np.random.default_rng(3))
    order = np.array([2, 0, 3, 4, 1])
    moved = {
        name: np.abs(
            decompose(*(a[order] for a in arrays), estimator=name)
            - decompose(*arrays, estimator=name)[:, order]
        ).max()
        for name in total_correlation.ESTIMATORS
    }
    assert moved["weighted"] < 1e-5
    assert moved["symmetric"] < 1e-5
    assert moved["stratified"] > 1e-3


def test_general_and_gaussian_forms_agree():
    z, mean, log_var = posteriors(np.random.default_rng(4))
    log_q = stats.norm.logpdf(z[:, None], mean, np.exp(log_var / 2))
    pairs = total_correlation.pairwise_gaussian_log_prob(z, mean, log_var)
    np.testing.assert_allclose(pairs, log_q, rtol=1e-5, atol=1e-5)
    general = total_correlation.kl_decomposition(
        log_q, stats.norm.logpdf(z).sum(-1), num_train=NUM_TRAIN
    )
    np.testing.assert_allclose(general, decompose(z, mean, log_var), rtol=1e-4, atol=1e-5)


def test_a_batch_beyond_the_training_set_stays_finite():
    arrays = posteriors(np.random.default_rng(4))
    for estimator in total_correlation.ESTIMATORS:
        assert np.isfinite(decompose(*arrays, num_train=1, estimator=estimator)).all()
        with pytest.raises(ValueError, match="aggregate posterior needs a batch of 2 .* got 1"):
            decompose(*(a[:1] for a in arrays), num_train=1, estimator=estimator)


ROWS = np.zeros((4, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"estimator": "stratifed"}, "called 'stratifed'; did you mean 'stratified'"),
        ({"num_train": 0}, "num_train must be a positive whole number, got 0"),
        ({"z": np.zeros((4, 3))}, r"z \(4, 3\), mean \(4, 2\)"),
        ({"z": np.zeros((3, 2))}, r"z \(3, 2\), mean \(4, 2\)"),
        ({"own": np.zeros(3, int)}, r"own must have shape \(4,\), one column a row, got \(3,\)"),
        ({"valid_columns": np.ones(3, bool)}, r"valid_columns must have shape \(4,\)"),
    ],
)
def test_bad_arguments(call, message):
    arguments = {"z": ROWS, "mean": ROWS, "log_var": ROWS, "num_train": 9} | call
    with pytest.raises(ValueError, match=message):
        total_correlation.gaussian_kl_decomposition(**arguments)


@pytest.mark.parametrize(
    ("log_q", "log_p", "message"),
    [
        ((3, 4, 2), (3,), "without own, rows and columns must be as many, got 3 and 4"),
        ((4, 4), (4,), r"log_q \(4, 4\), log_p \(4,\)"),
        ((4, 4, 2), (3,), r"log_q \(4, 4, 2\), log_p \(3,\)"),
    ],
)
def test_bad_shapes_of_the_general_form(log_q, log_p, message):
    decomposition = functools.partial(total_correlation.kl_decomposition, num_train=9)
    with pytest.raises(ValueError, match=message):
        decomposition(np.zeros(log_q), np.zeros(log_p))
