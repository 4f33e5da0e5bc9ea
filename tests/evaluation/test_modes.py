"""Which modes are generated, against counts by hand."""

import numpy as np
import pytest

from ae_jax.errors import DataError
from ae_jax.evaluation import mode_coverage

REAL = np.repeat(["bag", "boot", "coat", "dress"], [40, 30, 20, 10])


def test_what_is_generated_in_the_datas_shares_covers_all_of_it():
    assert mode_coverage(REAL, np.tile(REAL, 3)) == {"modes": 1.0, "mode_distance": 0.0}


@pytest.mark.parametrize(
    ("numbers", "modes", "distance"),
    [
        ((100, 0, 0, 0), 0.25, 0.6),
        ((50, 47, 2, 1), 1.0, 0.27),  # a tenth of each share is enough
        ((50, 48, 1, 1), 0.75, 0.28),
    ],
)
def test_modes_count_from_a_tenth_of_their_share_on(numbers, modes, distance):
    generated = np.repeat(["bag", "boot", "coat", "dress"], numbers)
    found = mode_coverage(REAL, np.random.default_rng(0).permutation(generated))
    assert found == pytest.approx({"modes": modes, "mode_distance": distance})


def test_what_is_of_none_of_the_datas_modes_counts_as_far():
    found = mode_coverage([0, 1, 0, 1], [0, 1, 7, 7])
    assert found == {"modes": 1.0, "mode_distance": 0.5}


def test_what_is_no_mode_of_each_example_is_refused():
    with pytest.raises(DataError, match=r"generated must be the mode .*got \(2, 3\)"):
        mode_coverage(REAL, np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"real must be the mode"):
        mode_coverage([], REAL)
