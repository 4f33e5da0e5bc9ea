"""Divergences of the posterior, batch-coupled ones over the valid examples, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ae_jax import terms
from ae_jax.distributions import PointMass
from ae_jax.terms.aggregate import PRIOR_DRAW
from tests.reference import discrepancy, divergences, structure, total_correlation
from tests.terms.setting import NUM_TRAIN, VALID, double, evaluate, gradients, setting

BANDWIDTHS = (0.5, 2.0)


def moments(made):
    posterior = double(made.outputs.posterior)
    return posterior.loc[VALID], posterior.log_var[VALID]


def kl_per_dimension(made):
    mean, log_var = moments(made)
    return 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var)


def prior_draws(made):
    keys = jax.vmap(lambda key: jax.random.fold_in(key, PRIOR_DRAW))(made.context.keys.latent)
    return double(jax.vmap(lambda key: jax.random.normal(key, (3,)))(keys))[VALID]


def test_batch_coupled_values_are_those_of_the_valid_examples():
    made = setting("gaussian")
    z = double(made.outputs.z)[VALID, 0]
    mean, log_var = moments(made)
    lambdas = {"lambda_od": 3.0, "lambda_d": 5.0}
    kernel = {"kernel": "rbf", "bandwidths": BANDWIDTHS}
    got = evaluate(
        made,
        mmd=terms.mmd(**kernel),
        dip_i=terms.dip_i(**lambdas),
        dip_ii=terms.dip_ii(**lambdas),
    )
    wanted = {
        "mmd": discrepancy.mmd(z, prior_draws(made), unbiased=True, **kernel),
        "dip_i": structure.dip_vae_i(mean, **lambdas),
        "dip_ii": structure.dip_vae_ii(mean, log_var, **lambdas),
    }
    for name, (value, magnitude) in wanted.items():
        assert np.ptp(got[name]) == 0  # one number for the batch
        assert abs(got[name][0] - value) <= 1e-6 * magnitude, name


@pytest.mark.parametrize("estimator", ["weighted", "stratified", "symmetric"])
def test_the_decomposition_is_that_of_the_valid_examples(estimator):
    made = setting("gaussian")
    z, (mean, log_var) = double(made.outputs.z)[VALID, 0], moments(made)
    names = ("mutual_information", "total_correlation", "dimension_wise_kl")
    got = evaluate(made, **{name: getattr(terms, name)(estimator=estimator) for name in names})
    values, scales = total_correlation.decomposition(
        z, mean, log_var, num_train=NUM_TRAIN, estimator=estimator
    )
    for name, value, scale in zip(names, values, scales, strict=True):
        np.testing.assert_array_less(np.abs(got[name][VALID] - value), 1e-6 * scale, name)
    total = sum(got.values())[VALID]
    outputs = double(made.outputs._replace(posterior=None))
    np.testing.assert_allclose(total, (outputs.log_qz - outputs.log_pz)[VALID, 0], rtol=1e-5)


def test_free_bits_are_a_maximum_after_the_batch_mean():
    made = setting("gaussian")
    each = kl_per_dimension(made)
    threshold = float(np.median(each.mean(0)))
    got = evaluate(made, free=terms.free_bits(threshold=threshold))["free"]
    np.testing.assert_allclose(got, np.maximum(each.mean(0), threshold).sum(), rtol=2e-6)
    assert abs(got[0] / np.maximum(each, threshold).mean(0).sum() - 1) > 1e-3
    assert abs(got[0] / np.where(each.mean(0) > threshold, each.mean(0), 0).sum() - 1) > 1e-3


def test_dimensions_below_the_free_bits_have_no_gradient():
    made = setting("gaussian")
    ample = 10 * float(kl_per_dimension(made).mean(0).max())
    found = gradients(
        made, below=terms.free_bits(threshold=ample), above=terms.free_bits(threshold=0.0),
        kl=terms.kl(),
    )  # fmt: skip
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(found["below"]))
    jax.tree.map(
        lambda free, full: np.testing.assert_allclose(free, full, rtol=1e-5, atol=1e-8),
        found["above"],
        found["kl"],
    )


@pytest.mark.parametrize(("step", "risen"), [(0, 0.0), (30, 0.3), (100, 1.0), (10_000, 1.0)])
def test_capacity_pulls_the_kl_to_a_target_that_rises_linearly(step, risen):
    made = setting("gaussian")
    context = made.context._replace(step=jnp.int32(step))
    got = evaluate(made._replace(context=context), it=terms.capacity(5.0, steps=100, gamma=7.0))
    kl = kl_per_dimension(made).sum(1).mean()
    assert 5 > kl > 0.01
    np.testing.assert_allclose(got["it"], 7 * abs(kl - 5 * risen), rtol=2e-6)


def test_the_kl_of_the_standard_normal_is_never_negative_and_its_estimate_uses_its_samples():
    made = setting("gaussian")
    got = evaluate(made, kl=terms.kl(), two=terms.monte_carlo_kl(samples=2))
    posterior, outputs = double(made.outputs.posterior), double(made.outputs.log_qz)
    wanted = [
        divergences.kl_standard_normal(mean, log_var)[0]
        for mean, log_var in zip(posterior.loc, posterior.log_var, strict=True)
    ]
    np.testing.assert_allclose(got["kl"], wanted, rtol=2e-6)
    assert got["kl"].min() >= 0
    ratio = (outputs - double(made.outputs.log_pz))[:, :2]
    np.testing.assert_allclose(got["two"], ratio.mean(1), rtol=2e-6, atol=2e-6)


def test_the_kl_agrees_with_its_monte_carlo_estimate():
    made, draws = setting("gaussian"), 100_000
    posterior = double(made.outputs.posterior)
    loc, sigma = posterior.loc[:, None], np.exp(0.5 * posterior.log_var)[:, None]
    z = loc + sigma * np.random.default_rng(1).normal(size=(len(loc), draws, loc.shape[-1]))
    ratios = (stats.norm(loc, sigma).logpdf(z) - stats.norm.logpdf(z)).sum(-1)
    error = ratios.std(1) / np.sqrt(draws)
    closed = evaluate(made, kl=terms.kl())["kl"]
    assert (np.abs(ratios.mean(1) - closed) < 4.5 * error).all()
    assert (closed > 5 * error).any()


def test_without_a_closed_form_the_kl_is_the_mean_log_ratio():
    made = setting("gaussian")
    hidden = made.outputs._replace(posterior=PointMass(made.outputs.posterior.loc))
    got = evaluate(made._replace(outputs=hidden), kl=terms.kl())["kl"]
    ratio = double(made.outputs.log_qz) - double(made.outputs.log_pz)
    np.testing.assert_allclose(got, ratio.mean(1), rtol=2e-6, atol=2e-6)


def test_the_objective_of_a_vae_is_its_negative_elbo_over_valid_examples():
    made = setting("gaussian")
    loss, metrics = (terms.reconstruction() + 4.0 * terms.kl())(made.outputs, made.context)
    nll, kl = -double(made.outputs.log_px).mean(1)[VALID], kl_per_dimension(made).sum(1)
    wanted = [nll.mean(), kl.mean(), nll.mean() + 4 * kl.mean()]
    got = [metrics["reconstruction"], metrics["kl"], loss]
    np.testing.assert_allclose(got, wanted, rtol=2e-6)


@pytest.mark.parametrize(
    ("kind", "objective", "message"),
    [
        ("sparse", terms.mmd(), r"prior, e\.g\. .*identity\(8, prior='standard_normal'\)"),
        ("identity", terms.kl(), r"'kl' needs .*such as ae\.bottlenecks\.gaussian"),
        ("prior", terms.free_bits(1.0), "'free_bits' needs a diagonal-Gaussian posterior"),
        ("prior", terms.dip_i(), "'dip_i' needs a diagonal-Gaussian posterior"),
        ("prior", terms.total_correlation(), "needs a diagonal-Gaussian posterior"),
        ("prior", terms.monte_carlo_kl(), "'monte_carlo_kl' needs a bottleneck with a posterior"),
    ],
)
def test_bad_arguments_are_refused_before_compilation(kind, objective, message):
    with pytest.raises((ValueError, TypeError), match=message):
        evaluate(setting(kind), bad=objective)


def test_a_deterministic_code_with_a_prior_has_a_discrepancy():
    made = setting("prior")
    z = double(made.outputs.z)[VALID, 0]
    kernel = {"kernel": "imq", "bandwidths": BANDWIDTHS}
    got = evaluate(made, mmd=terms.mmd(**kernel))["mmd"][0]
    value, magnitude = discrepancy.mmd(z, prior_draws(made), unbiased=True, **kernel)
    assert abs(got - value) <= 1e-6 * magnitude
