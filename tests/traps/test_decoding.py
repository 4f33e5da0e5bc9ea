"""Traps of decoding: a bound's second pass, sequences drawn one by one, masks forgotten."""

import pytest

from tests import test_generation as generation
from tests.evaluation import test_masked
from tests.terms import test_decoding as decoding_terms


@pytest.mark.slow  # its test runs in the quick suite beside the part
def test_a_bound_whose_second_decoding_forgets_target_key_and_train():
    """Moses #7: one way to decode inside terms."""
    name = "target, key and train"
    decoding_terms.test_a_bound_that_decodes_again_is_the_bound_of_the_forward_pass(name, True)
    decoding_terms.test_nothing_but_the_model_applies_a_decoder()


def test_an_autoregressive_decoder_whose_positions_are_drawn_independently():
    """NeuralDialog-CVAE #9: every sequence as often as it is probable."""
    generation.test_every_sequence_is_drawn_as_often_as_it_is_probable("a user's, rastered")


@pytest.mark.slow  # its test runs in the quick suite beside the part
def test_a_masked_autoencoder_evaluated_without_its_mask():
    """mae #118, #146, #194: as in training, told of the mask, and judged by what was hidden."""
    run = test_masked.run_of(test_masked.masked())
    test_masked.test_denoising_is_judged_by_the_holes_filled_in_and_by_them_alone(run)
