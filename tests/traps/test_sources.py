"""One test for each trap of other libraries' data, named after it; most call the one beside it."""

import numpy as np
import pytest

from tests.data.sources import test_cells as cells
from tests.data.sources import test_image_files as files
from tests.data.sources import test_pixels as pixels


@pytest.mark.parametrize("marker", ["NULL", "N/A", "?"])
def test_one_null_makes_a_number_column_a_category(tmp_path, marker):
    """SDV #1630, orange3 #3875: a column of 287 numbers became a category of 287 words."""
    cells.test_a_column_of_numbers_stays_one_with_each_marker_of_pandas(tmp_path, marker)


def test_one_odd_cell_makes_a_number_column_a_category(tmp_path):
    cells.test_a_column_that_is_mostly_numbers_is_neither_numbers_nor_words(tmp_path, "N.A.")


def test_decimal_commas_make_a_number_column_a_category(tmp_path):
    cells.test_a_decimal_comma_is_recognised_where_commas_delimit_nothing(tmp_path, ";")
    cells.test_a_comma_that_may_be_either_is_refused(tmp_path, ["1,234;a", "2,500;b"])


def test_a_semicolon_file_is_one_column_of_words(tmp_path):
    cells.test_the_delimiter_is_recognised(tmp_path, ";", "\r\n")


def test_pandas_index_becomes_a_feature_or_an_error(tmp_path):
    cells.test_an_index_that_numbers_the_rows_is_passed_over(tmp_path, "", 0)


def test_the_first_row_of_a_file_without_header_is_lost(tmp_path):
    cells.test_a_first_line_of_values_is_not_taken_for_names(tmp_path, "5.1,setosa\n4.9,setosa\n")


def test_dates_become_a_category_of_as_many_words(tmp_path):
    cells.test_dates_and_times_are_refused(tmp_path, "2024-01-05")


def test_only_the_first_frame_is_read(tmp_path):
    """ray #42643: the other frames of GIF and TIFF were passed over in silence."""
    pixels.test_frames_are_refused_unless_it_is_said_which(tmp_path, "gif")


def test_sixteen_and_32_bits_are_clipped(tmp_path):
    """Pillow #3011: 16 bits were halved, and 32-bit values clipped to 0 … 255."""
    for name in ("png", "tiff", "deep"):
        (tmp_path / name).mkdir()
    for suffix in ("png", "tiff"):
        pixels.test_sixteen_bits_are_kept(tmp_path / suffix, suffix)
    pixels.test_integers_and_floats_of_32_bits_keep_their_values(tmp_path / "deep", "int32")


def test_an_uncompressed_tiff_is_turned_wrongly(tmp_path):
    """Pillow 13.0 maps it into memory and turns it twice."""
    pixels.test_every_format_is_turned_upright(tmp_path, "tiff", "grey")


def test_linked_class_folders_are_absent(tmp_path):
    files.test_linked_class_folders_and_files_are_followed(tmp_path)


def test_checkpoints_of_notebooks_are_a_class(tmp_path):
    files.test_what_is_hidden_is_neither_image_nor_class(tmp_path, ".ipynb_checkpoints/a")


def test_train_and_test_are_classes(tmp_path):
    files.test_folders_called_train_and_test_are_splits(tmp_path, "train", "test")


def test_transparent_pixels_show_what_lies_below(tmp_path):
    pixels.test_transparent_pixels_are_kept_or_given_up_by_declaration(tmp_path)


def test_a_folder_of_colours_is_grey_because_its_first_image_is(tmp_path):
    files.write(tmp_path, a=pixels.BYTES[0][..., None], b=pixels.ALPHA[..., :3].copy())
    with pytest.raises(files.DataError, match="has colours and 'a.png' has none"):
        pixels.only(tmp_path)
    assert np.ptp(pixels.only(tmp_path, channels=3)[1], axis=-1).any()
