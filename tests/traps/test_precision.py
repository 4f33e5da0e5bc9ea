"""One test for each trap of digits and gradients that vanish without a word, named after it.

Where a trap has its test beside the part that it concerns, that test is called from here.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ae_jax import losses, terms
from tests import fast
from tests.evaluation import test_usage as usage
from tests.losses import test_counts as counts
from tests.losses import test_divergences as divergences
from tests.losses import test_reconstruction as reconstruction
from tests.losses import test_structural as structural
from tests.losses import test_structure as structure
from tests.runs import test_rehearsal as rehearsal


def test_poisson_log_probability_at_large_counts():
    """scvi-tools #2965: off by 0.07 nats at 1e5 and by 27 at 1e7, of a value of about 10."""
    count = np.float32([1e3, 1e5, 1e7])
    log_rate = np.log(count)
    got = fast.jit(jax.vmap(losses.poisson_nll))(count, log_rate)
    expected = -stats.poisson.logpmf(count, np.exp(log_rate.astype(float)))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3)


def test_a_negative_binomial_without_gradient_at_large_counts():
    counts.test_the_negative_binomials_gradient_at_ten_million()


def test_a_divergence_that_is_the_rounding_of_its_terms():
    divergences.test_categorical_kl_does_not_cancel_near_uniform(1e-6)


def test_a_large_delta_drowns_hubers_gradient():
    reconstruction.test_huber_with_a_large_delta_is_half_the_squared_error(1e8)


def test_an_absolute_value_pushes_zeros():
    """The slope of `jnp.abs` at 0 is 1 for weights, codes, errors and divergences alike."""
    structure.test_weights_of_zero_have_no_gradient_under_l1()
    zero, one = jnp.zeros(1), jnp.ones(1)
    for loss, given in (
        (losses.l1, (zero,)),
        (lambda z: losses.l0_surrogate(z, 3.0), (zero,)),
        (lambda y: losses.absolute_error(one, y), (one,)),
        (lambda y: losses.huber(one, y), (one,)),
        (lambda y: losses.laplace_nll(one, y, zero), (one,)),
        (lambda kl: losses.capacity(kl[0], 1.0, 5.0), (one,)),
    ):
        assert fast.jit(jax.grad(loss))(*given) == 0


def test_a_smallest_side_that_is_too_small():
    structural.test_the_smallest_side_is_stated_and_enough(5)


@pytest.mark.parametrize("name", ["mlp", "linen", "nnx"])
def test_batch_statistics_of_one_example(name):
    """vamb #5; a test loss of 1e14, and "finished"."""
    rehearsal.test_batch_statistics_of_one_example_are_refused(name)


def test_a_term_that_trains_nothing():
    rehearsal.test_distances_to_a_most_probable_class_are_refused(terms.squared_error())


def test_a_capped_estimate_reported_as_the_information():
    usage.test_information_saturates_at_the_logarithm_of_the_number_of_examples()
