"""Reconstruction terms against NumPy, averaged over latent samples and observed entries."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

import ae_jax as ae
from ae_jax import terms
from tests.reference import reconstruction as oracles
from tests.reference import structural
from tests.terms.setting import double, evaluate, setting

WEIGHTS = (0.4, 0.6)


def expected(made, oracle, **options):
    """The mean over samples of the oracle between x and the likelihood's mean, `[b]`."""
    batch = made.context.batch
    x, means = double(batch.x), expit(double(made.outputs.parameters))
    rows = zip(x, means, np.asarray(batch.observed), strict=True)
    return [np.mean([oracle(x, y, seen, **options)[0] for y in ys]) for x, ys, seen in rows]


def test_distances_are_those_of_the_likelihoods_mean():
    made = setting("gaussian")
    got = evaluate(
        made,
        squared_error=terms.squared_error(),
        absolute_error=terms.absolute_error(),
        huber=terms.huber(delta=0.25),
        cosine_distance=terms.cosine(),
    )
    for name, value in got.items():
        options = {"delta": 0.25} if name == "huber" else {}
        wanted = expected(made, getattr(oracles, name), **options)
        np.testing.assert_allclose(value, wanted, rtol=2e-6, err_msg=name)


def test_without_a_mask_every_entry_counts():
    made = setting("gaussian")
    batch = made.context.batch._replace(observed=jnp.ones_like(made.context.batch.observed))
    full = made._replace(context=made.context._replace(batch=batch))
    batch = batch._replace(observed=None)
    none = made._replace(context=made.context._replace(batch=batch))
    got = evaluate(none, it=terms.squared_error())["it"]
    np.testing.assert_allclose(got, expected(full, oracles.squared_error), rtol=2e-6)


def test_reconstruction_is_the_mean_over_samples():
    made = setting("gaussian")
    got = evaluate(made, reconstruction=terms.reconstruction())["reconstruction"]
    wanted = expected(made, lambda x, p, seen: (-_bernoulli(x, p)[seen].sum(), 0))
    np.testing.assert_allclose(got, wanted, rtol=2e-6)


def _bernoulli(x, p):
    return x * np.log(p) + (1 - x) * np.log1p(-p)


@functools.cache
def masked():
    """The forward pass of a variational code whose encoder does not see half of the entries."""
    return setting("gaussian", corruption=ae.corruptions.patch_masking(3, 0.5))


def hidden(made, cost):
    """The mean over samples of a cost of logits, over hidden entries that were observed, `[b]`."""
    outputs, batch = made.outputs, made.context.batch
    counted = np.asarray(outputs.info["mask"]) & np.asarray(batch.observed)
    rows = zip(double(outputs.parameters), double(batch.x), counted, strict=True)
    return [np.mean([cost(y, x, seen)[0] for y in ys]) for ys, x, seen in rows]


def test_masked_reconstruction_is_of_what_was_hidden_alone():
    made = masked()
    got = evaluate(made, it=terms.masked_reconstruction())["it"]
    np.testing.assert_allclose(got, hidden(made, oracles.binary_cross_entropy), rtol=2e-6)
    mask = np.asarray(made.outputs.info["mask"])
    assert 0 < mask.mean() < 1
    batch = made.context.batch
    for where, same in ((~mask, True), (mask, False)):  # x changed where it was seen, or hidden
        x = jnp.where(where, 1 - batch.x, batch.x)
        context = made.context._replace(batch=batch._replace(x=x))
        changed = evaluate(made._replace(context=context), it=terms.masked_reconstruction())["it"]
        assert np.array_equal(changed, got) == same


def test_masked_reconstruction_needs_a_mask():
    with pytest.raises(ae.errors.PartError, match="needs a corruption that says .* tells nothing"):
        evaluate(setting("gaussian"), it=terms.masked_reconstruction())


def test_structural_similarities_see_observed_entries_alone():
    made = setting("identity", (22, 23, 2), ae.networks.linear(), ae.networks.linear())
    got = evaluate(made, ssim=terms.ssim(data_range=2.0), ms_ssim=terms.ms_ssim(weights=WEIGHTS))
    wanted = {
        "ssim": expected(made, structural.ssim_loss, data_range=2.0),
        "ms_ssim": expected(made, structural.ms_ssim_loss, data_range=1.0, weights=WEIGHTS),
    }
    for name, value in got.items():
        np.testing.assert_allclose(value, wanted[name], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (terms.ssim(), r"shape|rank"),
        (terms.ms_ssim(), r"shape|rank"),
    ],
)
def test_bad_arguments_are_refused_before_compilation(objective, message):
    with pytest.raises(ValueError, match=message):
        evaluate(setting("gaussian"), bad=objective)
