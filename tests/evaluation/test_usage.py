"""Active units, KL by dimension and mutual information against closed forms and plain NumPy."""

import jax
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import ae_jax as ae
from ae_jax.distributions import DiagonalGaussian, PointMass, standard_normal
from ae_jax.evaluation import latent_usage, usage
from tests import small

RNG = np.random.default_rng(0)


def posterior(n=50, shape=(2, 3)):
    return DiagonalGaussian(
        RNG.normal(size=(n, *shape)).astype(np.float32),
        RNG.uniform(-4, 0.5, size=(n, *shape)).astype(np.float32),
    )


def test_kl_of_each_dimension_is_that_of_two_normals():
    q = posterior()
    p = DiagonalGaussian(RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3)))
    found = latent_usage(q, p)
    grid = np.linspace(-12, 12, 20_001)
    for j, (row, column) in enumerate(np.ndindex(2, 3)):
        expected = []
        for mean, log_var in zip(q.loc[:, row, column], q.log_var[:, row, column], strict=True):
            own = stats.norm(mean, np.exp(log_var / 2))
            prior = stats.norm(p.loc[row, column], np.exp(p.log_var[row, column] / 2))
            density = own.pdf(grid)
            terms = density * (own.logpdf(grid) - prior.logpdf(grid))
            expected.append(np.trapezoid(terms, grid))
        assert found.kl[j] == pytest.approx(np.mean(expected), rel=1e-4)


def test_kl_of_all_dimensions_is_the_kl_of_the_objective():
    q = posterior()
    total = jax.vmap(ae.distributions.kl_divergence, (0, None))(q, standard_normal((2, 3)))
    assert latent_usage(q, standard_normal((2, 3))).kl.sum() == pytest.approx(
        float(total.mean()), rel=1e-5
    )


def test_a_unit_is_active_if_its_mean_varies_by_more_than_a_hundredth():
    deviations = np.array([0.0, 0.09, 0.11, 1.0])
    loc = np.tile([-1.0, 1.0], 20)[:, None] * deviations + 3
    q = DiagonalGaussian(loc, np.zeros_like(loc))
    found = latent_usage(q, standard_normal((4,)))
    np.testing.assert_allclose(found.variance_of_means, deviations**2, atol=1e-12)
    assert found.active.tolist() == [False, False, True, True]
    plain = found.to_dict()
    assert (plain["active_units"], plain["units"]) == (2, 4)
    assert len(plain["kl_per_dimension"]) == 4


def test_a_collapsed_posterior_has_no_active_unit_no_kl_and_no_information():
    zeros = np.zeros((300, 5))
    found = latent_usage(DiagonalGaussian(zeros, zeros), standard_normal((5,)))
    assert not found.active.any()
    assert np.abs(found.kl).max() == 0
    assert found.mutual_information == pytest.approx(0, abs=1e-9)


def test_information_saturates_at_the_logarithm_of_the_number_of_examples():
    far = DiagonalGaussian(100.0 * np.arange(64)[:, None], np.zeros((64, 1)))
    found = latent_usage(far, standard_normal((1,)))
    assert found.mutual_information == pytest.approx(np.log(64))
    assert found.information_note == (
        "a lower bound: 64 examples can show no more than log 64 = 4.159 nats"
    )
    plain = found.to_dict()
    assert plain["mutual_information_limit"] == pytest.approx(np.log(64))
    assert plain["mutual_information_note"] == found.information_note


@pytest.mark.parametrize(("spread", "binds"), [(1.0, False), (3.0, False), (30.0, True)])
def test_information_is_called_a_lower_bound_where_the_limit_binds(spread, binds):
    """½ log(1 + s²) of 64 means over normal quantiles: 0.3, 1.2, and 3.4 of at most 4.2 nats."""
    loc = spread * stats.norm.ppf((np.arange(64)[:, None] + 0.5) / 64)
    found = latent_usage(DiagonalGaussian(loc, np.zeros_like(loc)), standard_normal((1,)))
    assert (found.information_note is not None) == binds
    assert found.mutual_information < found.information_limit


def test_information_of_a_gaussian_channel():
    """Means N(0, s²) and unit noise: I = ½ log(1 + s²), within sampling error of 4,000 examples."""
    spread = np.array([1.0, 0.5])
    loc = np.random.default_rng(1).normal(size=(4_000, 2)) * spread  # 0 would be the noise's own
    found = latent_usage(DiagonalGaussian(loc, np.zeros_like(loc)), standard_normal((2,)))
    expected = 0.5 * np.log1p(spread**2).sum()
    assert found.mutual_information == pytest.approx(expected, abs=0.05)


def test_information_against_every_pair_written_out(monkeypatch):
    q = posterior(30)
    whole = latent_usage(q, standard_normal((2, 3)), seed=5).mutual_information
    noise = np.random.default_rng(5).standard_normal((30, 6))
    loc, scale = (np.reshape(v, (30, 6)).astype(float) for v in (q.loc, np.exp(q.log_var / 2)))
    z = loc + scale * noise
    pairs = stats.norm(loc, scale).logpdf(z[:, None]).sum(-1)  # [sample, posterior]
    expected = np.mean(np.diag(pairs) - (logsumexp(pairs, axis=1) - np.log(30)))
    assert whole == pytest.approx(expected, rel=1e-5)
    monkeypatch.setattr(usage, "BLOCK", 100)  # three rows at a time
    pieces = latent_usage(q, standard_normal((2, 3)), seed=5).mutual_information
    assert pieces == pytest.approx(whole, rel=1e-12)


def test_codes_without_a_density_are_refused():
    with pytest.raises(ae.errors.PartError, match="but the posterior is PointMass"):
        latent_usage(PointMass(np.zeros((3, 2))), standard_normal((2,)))
    with pytest.raises(ae.errors.PartError, match="but the prior is NoneType"):
        latent_usage(posterior(), None)


def test_a_run_reports_the_posteriors_of_its_test_split():
    run = small.train(steps=1)
    found = run.latent_usage()
    q = run.model.posterior(run.variables, run.preprocessing.apply(small.arrays()[small.TRAIN :]))
    expected = latent_usage(q, standard_normal((2,)))
    np.testing.assert_allclose(found.kl, expected.kl, rtol=1e-4)
    np.testing.assert_allclose(found.variance_of_means, expected.variance_of_means, rtol=1e-4)
    again = run.latent_usage(small.arrays()[small.TRAIN :])
    np.testing.assert_array_equal(again.kl, found.kl)
