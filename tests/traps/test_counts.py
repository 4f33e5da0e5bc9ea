"""One test for each trap around counts and the scale of a table's numbers."""

import pytest

from tests.likelihoods import test_counts as counts
from tests.likelihoods import test_gaussian as gaussian


@pytest.mark.slow  # its test runs in the quick suite beside the part
def test_counts_enter_the_encoder_raw():
    """scvi-tools #441: the networks read their logarithms, the likelihood the counts."""
    counts.test_networks_read_log1p_of_counts_in_every_way_through_the_model()
    counts.test_decoders_that_read_the_target_read_log1p_of_it_and_the_likelihood_counts()


def test_one_count_column_ruins_a_table():
    """Only that column is shown as its logarithm, and starts at its mean."""
    counts.test_only_the_counts_of_a_table_are_shown_as_log1p()
    counts.test_a_likelihood_starts_at_the_means_of_the_training_data("poisson")


def test_a_library_size_that_is_ignored_where_x_is_known_or_not():
    """scVI: training and reconstruction take the example's own, decoding alone the stated one."""
    counts.test_an_examples_library_size_multiplies_its_means("negative_binomial", missing=True)


@pytest.mark.slow  # its test runs in the quick suite beside the part
def test_a_masked_loss_that_counts_its_targets_alone_into_the_library_size():
    counts.test_hidden_counts_are_explained_by_the_library_of_all_that_is_observed()


def test_a_learned_variance_that_runs_away_under_plain_sgd():
    gaussian.test_plain_sgd_does_not_run_away_with_a_variance_that_has_a_least()
