"""One test for each trap of digits that are lost on the way to a device, named after it."""

import numpy as np
import pytest

import ae_jax as ae
from ae_jax.errors import DataError
from tests import test_numpy_integers as integers
from tests.data import test_facts as facts
from tests.data import test_intake as intake
from tests.data.test_intake import near_and_far  # noqa: F401


@pytest.mark.parametrize("source", ["float64", "csv", "npy", "parquet", "grain"])
def test_numbers_are_centred_before_they_are_float32(tmp_path, source):
    make = intake.SOURCES[source]
    intake.test_whatever_they_come_from_data_far_from_0_keep_their_digits(
        tmp_path, make, "streaming"
    )


def test_a_constant_identifier_does_not_hide_the_other_columns():
    x = np.stack([np.full(40, 2.0**60), np.arange(40)], 1)
    z = ae.data.spec.choose_preprocessing(ae.data.from_arrays(x)).apply(x)
    assert np.ptp(z[:, 0]) == 0
    assert len(np.unique(z[:, 1])) == 40


def test_integers_do_not_wrap():
    intake.test_integers_of_64_bits_beyond_32_do_not_wrap()


def test_what_no_float_holds_is_refused():
    ids = 2**60 + np.arange(80).reshape(40, 2)
    with pytest.raises(DataError, match=r"hold 115292150460684\d+ in column 0"):
        intake.planned(ids)


def test_the_byte_order_of_a_file_does_not_matter():
    for dtype in (">f4", ">i2"):
        intake.test_any_dtype_of_numbers_will_do(dtype)


def test_a_whole_number_is_one_whoever_counted_it():
    integers.test_config_sections_hold_plain_ones()


def test_data_are_looked_at_once():
    facts.test_a_run_looks_at_its_data_once_and_at_their_support_once_more("gaussian")
