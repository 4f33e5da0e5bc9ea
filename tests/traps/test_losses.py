"""One test for each trap of other libraries' losses, named after it.

Where a trap has its test beside the part that it concerns, that test is called from here.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ae_jax as ae
from ae_jax import keys as keys_lib
from ae_jax import terms
from ae_jax.types import Coder
from tests import fast
from tests.bottlenecks import test_gaussian, test_topk, test_vector_quantized
from tests.evaluation import test_likelihood
from tests.losses import test_bounds as bounds
from tests.losses import test_sparsity as sparsity
from tests.terms import test_bounds as bound_terms
from tests.terms import test_dead_units as dead_units
from tests.terms import test_divergence as divergence_terms
from tests.terms import test_quantization as quantization_terms
from tests.terms import test_sparsity as sparsity_terms
from tests.terms.setting import gradients, setting


def constant(value):
    """A coder that emits one value everywhere, whatever it is given."""

    def bind(shape):
        emitted = jnp.full(shape, value, jnp.float32)
        return Coder(lambda key, x: ({}, {}), lambda params, state, x, **_: (emitted, {}, state))

    return bind


def losses_of(width, latent_dim, batch):
    """Reconstruction and KL of a VAE that gives every pixel and latent the same."""
    bottleneck, likelihood = ae.bottlenecks.gaussian(latent_dim), ae.likelihoods.bernoulli()
    encoder = constant(0.7)(bottleneck.feature_shape)
    decoder = constant(-0.4)(likelihood.parameter_shape((width,)))
    model = ae.autoencoder(encoder, decoder, bottleneck, likelihood)

    def metrics():
        x, variables = ae.Batch(jnp.ones((batch, width))), ae.Variables({}, {})
        keys = keys_lib.for_examples(jax.random.key(0), 0, jnp.arange(batch))
        outputs, _ = model.forward(variables, x, keys)
        context = ae.Context(model, variables, x, keys, jnp.int32(0), batch)
        return (terms.reconstruction() + terms.kl())(outputs, context)[1]

    return fast.jit(metrics)()


def test_a_mean_over_pixels_for_one_part_and_a_sum_over_latents_for_the_other():
    """Keras #3383: sums over both, a mean over the batch alone, so that β = 1 is the ELBO."""
    one = losses_of(width=1, latent_dim=1, batch=2)
    many = losses_of(width=12, latent_dim=5, batch=6)
    np.testing.assert_allclose(many["reconstruction"], 12 * one["reconstruction"], rtol=1e-6)
    np.testing.assert_allclose(many["kl"], 5 * one["kl"], rtol=1e-6)
    np.testing.assert_allclose(one["reconstruction"], np.log1p(np.exp(0.4)), rtol=1e-6)
    closed = 0.5 * (0.49 + np.exp(0.7) - 1 - 0.7)
    np.testing.assert_allclose(one["kl"], closed, rtol=1e-5)


def test_a_weight_stored_and_never_applied_or_a_kl_of_the_wrong_sign():
    """Lightning-bolts #328, PyTorch-VAE #68; `check_term` and `check_recipe` ask it of all."""
    made = setting("gaussian")
    vae = lambda beta: ae.recipes.vae(3, beta=beta).objective
    found = gradients(made, one=vae(1.0), two=vae(2.0), five=vae(5.0), kl=terms.kl())
    one, two, five, kl = (jax.tree.leaves(found[name]) for name in ("one", "two", "five", "kl"))
    for once, twice, often, pull in zip(one, two, five, kl, strict=True):
        np.testing.assert_allclose(twice - once, pull, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(often - once, 4 * pull, rtol=1e-3, atol=1e-5)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(found["kl"])) > 1e-2
    _, metrics = vae(5.0)(made.outputs, made.context)
    total = metrics["reconstruction"] + 5 * metrics["kl"]
    np.testing.assert_allclose(metrics["loss"], total, rtol=1e-6)
    assert metrics["kl"] > 0


def test_a_capacity_written_as_a_clamp():
    """PyOD: below its capacity the KL must be drawn up with all of γ, not left at zero."""
    divergence_terms.test_capacity_pulls_the_kl_to_a_target_that_rises_linearly(10_000, 1.0)
    made = setting("gaussian")
    found = gradients(made, capacity=terms.capacity(25.0, gamma=7.0), kl=terms.kl())
    jax.tree.map(
        lambda up, kl: np.testing.assert_allclose(up, -7 * kl, rtol=1e-4, atol=1e-6),
        found["capacity"],
        found["kl"],
    )


def test_cross_entropy_that_overflows():
    """Flax's VAE example: NaN from logit 88 on."""
    logits, x = (v.ravel() for v in np.meshgrid([-1e4, -88.0, 0, 88.0, 1e4], [0.0, 0.5, 1.0]))
    log_prob = ae.likelihoods.bernoulli().log_prob
    one = lambda y, x: log_prob({}, y, x, None)
    value, slope = fast.jit(jax.vmap(jax.value_and_grad(one)))(
        logits.astype(np.float32), x.astype(np.float32)
    )
    exact = x * stats.logistic.logcdf(logits) + (1 - x) * stats.logistic.logcdf(-logits)
    np.testing.assert_allclose(value, exact, rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(slope, x - stats.logistic.cdf(logits), rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize(
    ("likelihood", "bad"),
    [
        (ae.likelihoods.bernoulli(), 255.0),
        (ae.likelihoods.bernoulli(), -0.5),
        (ae.likelihoods.continuous_bernoulli(), 1.5),
        (ae.likelihoods.categorical(num_classes=3), 3.0),
        (ae.likelihoods.poisson(), -1.0),
    ],
)
def test_cross_entropy_of_data_outside_the_support(likelihood, bad):
    """Whole runs are refused in `test_bad_input.py`."""
    with pytest.raises(ae.errors.DataError, match=rf"{bad:g} at \(1, 1\)"):
        likelihood.validate(np.array([[0.0, 1.0], [1.0, bad]], np.float32))


@pytest.mark.parametrize("how", ["dynamic", pytest.param("fixed", marks=pytest.mark.slow)])
def test_grey_levels_compared_with_binarised_ones(how):
    """Which of them a likelihood is of stands in the config and in the report."""
    x = np.random.default_rng(0).integers(0, 256, (40, 6)).astype(np.uint8)
    steps = [{"name": "scale", "low": 0, "high": 255}, {"name": "binarise", "how": how}]
    run = ae.fit(ae.recipes.vae(2), x, preprocessing=steps, steps=1, batch_size=8, progress=False)
    assert run.config.model.likelihood["name"] == "bernoulli"
    for declared in (run.config.data.preprocessing, run.summary["preprocessing"]):
        assert declared["parts"][1]["name"] == "binarise"
        assert declared["parts"][1]["how"] == how


def test_sampling_with_the_variance_for_the_standard_deviation():
    test_gaussian.test_samples_have_the_mean_and_the_variance_of_the_posterior()


@pytest.mark.parametrize("raw", [-100.0, 100.0])
def test_a_log_variance_that_overflows(raw):
    test_gaussian.test_samples_density_and_divergence_are_finite_for_any_features(raw)


@pytest.mark.parametrize("variance", ["fixed", "global", "predicted"])
def test_a_gaussian_likelihood_without_its_constants(variance):
    """pythae #104; and PyTorch-Lightning-VAE #5, its variance silently 1."""
    likelihood = ae.likelihoods.gaussian(variance=variance, scale=0.3)
    x, mean = np.float32([0.5, -1.0, 2.0]), np.float32([0.25, -1.0, 2.5])
    y = jnp.asarray(np.concatenate([mean, np.zeros(3)]) if variance == "predicted" else mean)
    got = likelihood.log_prob(likelihood.init(jax.random.key(0)), jnp.float32(y), x, None)
    np.testing.assert_allclose(got, stats.norm.logpdf(x, mean, 0.3).sum(), rtol=1e-5)


def test_an_importance_weighted_bound_that_is_a_mean_of_logs_or_a_surrogate():
    """PyTorch-VAE #34, #53: the metric is the bound, whichever gradient was asked for."""
    bound_terms.test_values_are_those_of_the_reference()
    bound_terms.test_the_doubly_reparameterised_gradient_differs_in_the_encoder_alone()


def test_importance_weights_that_are_not_detached():
    bounds.test_normalized_weights_sum_to_one_and_carry_no_gradient()


@pytest.mark.parametrize("k", [1, 17])
def test_a_number_of_samples_that_is_ignored(k):
    """pythae's get_nll: k exactly, in chunks; `log_likelihood` is in nats and rises with fit."""
    test_likelihood.test_k_samples_are_drawn_no_more_and_no_fewer(k)


def test_a_log_likelihood_of_the_wrong_sign():
    test_likelihood.test_with_the_true_posterior_the_bound_is_exact_for_few_samples()


def test_a_mean_activation_over_the_shard_or_after_the_divergence():
    """Wblgers #1; `test_testing.py` has the error that a mean over one device makes."""
    sparsity.test_kl_of_the_mean_is_not_the_mean_of_kls()
    sparsity_terms.test_rho_hat_is_the_mean_over_valid_examples_of_each_unit_of_each_layer()


def test_a_mean_activation_outside_zero_and_one():
    """jadhavhninad #1: ReLU units are refused; at 0 and 1 value and gradient are finite."""
    for kind in ("identity", "gaussian"):
        made = setting(kind)
        with pytest.raises(ae.errors.PartError, match=r"needs a code in \(0, 1\)"):
            terms.sparsity()(made.outputs, made.context)
    made = setting("sparse", encoder=ae.networks.mlp((8,), "relu"))
    with pytest.raises(ae.errors.PartError, match="'hidden_0' has relu units"):
        terms.sparsity(layers=("hidden_0",))(made.outputs, made.context)
    for rho_hat in (0.0, 1.0):
        value, slope = jax.value_and_grad(ae.losses.sparsity_kl, 1)(0.05, jnp.float32(rho_hat))
        assert np.isfinite(value)
        assert np.isfinite(slope)


def test_an_auxiliary_loss_that_counts_the_bias_twice_or_is_not_detached():
    """Sparsify #132 and #57, dictionary_learning #34: one gradient test for each."""
    dead_units.test_the_bias_of_the_decoder_is_not_counted_twice()
    dead_units.test_the_residual_is_a_constant()
    dead_units.test_the_gradient_goes_through_the_chosen_dead_units_alone()
    sparsity.test_the_auxiliary_gradient_goes_through_the_chosen_dead_units_alone()


def test_topk_of_leading_dimensions_with_another_k_at_test_or_ties():
    """SAELens #570, #571, BatchTopK #5."""
    test_topk.test_the_same_k_in_training_and_evaluation_and_on_leading_axes()
    test_topk.test_ties_go_to_the_lowest_index()


@pytest.mark.parametrize("decay", [0.99, None])
def test_a_quantisation_loss_summed_over_the_batch(decay):
    """pythae #125: the commitment would grow with the batch."""
    quantization_terms.test_the_loss_does_not_grow_with_the_batch(decay)


@pytest.mark.devices(4)
def test_codebook_averages_replacements_and_counters_kept_per_device():
    """vector-quantize-pytorch #17 and #222, espnet #6284, bionemo #1619."""
    test_vector_quantized.test_the_codebook_is_the_moving_average_of_the_papers_appendix(4)
    test_vector_quantized.test_dead_codes_are_replaced_by_the_same_on_every_number_of_devices(4)
    test_vector_quantized.test_a_replaced_code_starts_anew_where_the_vectors_are()
    test_topk.test_units_count_the_examples_since_they_were_used_anywhere(2)


def test_codebook_averages_updated_before_quantising():
    """pytorch-vq-vae #5: quantise, loss, then update."""
    test_vector_quantized.test_the_step_quantises_with_the_old_codes_and_updates_after()


def test_free_bits_as_a_mask():
    """bn-vae #2: a dimension below λ costs λ."""
    divergence_terms.test_free_bits_are_a_maximum_after_the_batch_mean()
    divergence_terms.test_dimensions_below_the_free_bits_have_no_gradient()
