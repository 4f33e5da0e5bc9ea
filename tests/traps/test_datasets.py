"""One test for each trap of data sets, kinds, labels and what users hand over."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse

import ae_jax as ae
from ae_jax import keys
from ae_jax.errors import AeJaxError, ConfigError, DataError, UnknownNameError
from tests import small, untrained
from tests.data import test_conditions, test_frames, test_given, test_kinds, test_suggestions
from tests.frames import Frame


def test_masked_arrays_lose_their_mask():
    """netcdf4-python #1092: the mask is `observed`, and what is masked is never read."""
    x = np.ma.masked_greater(np.array([[1.0, 2.0], [3.0, 1e20]] * 20), 1e10)
    dataset = ae.data.as_dataset(x, x[:4])
    for split in (dataset.train, dataset.test):
        found = split.read(np.arange(len(split)))
        np.testing.assert_array_equal(found.observed, found.x != 0)
        assert found.x.max() == 3
    mean = ae.spec_of(dataset), ae.data.spec.choose_preprocessing(dataset).node
    assert dict(mean[1].kwargs)["mean"] == (2.0, 2.0)  # not that of the filled values


def test_a_mask_and_observed_contradict():
    """Combined, or refused with the place."""
    test_given.test_a_mask_and_observed_are_combined(bool)
    test_given.test_a_mask_that_is_none_or_contradicts_is_refused(*test_given.WRONG_MASKS[0])


def test_a_misspelt_kind_is_silently_gaussian():
    """Refused with the nearest, wherever a kind enters."""
    for arguments in test_kinds.DECLARATIONS[:4]:
        test_kinds.test_a_declaration_that_cannot_be_is_refused_with_the_nearest(*arguments)
    test_kinds.test_a_spec_of_no_kind_has_no_parts()


def test_a_kind_contradicts_the_data():
    """The value and its place are named."""
    for arguments in test_kinds.VALUES[:5]:
        test_kinds.test_a_value_that_its_kind_does_not_allow_is_named_with_its_place(*arguments)


def test_labels_beyond_the_classes_mean_none():
    """cpa #42: refused with the range; -1 is no label."""
    run = untrained.run_of(
        test_conditions.recipe(), (test_conditions.X, {"label": test_conditions.LABEL})
    )
    with pytest.raises(
        DataError, match="holds 12345 at 0; .* knows classes 0 … 4 .*-1 for no label"
    ):
        run.sample(1, extras={"label": [12345]})
    none, first = (run.sample(1, extras={"label": [label]}) for label in (-1, 0))
    assert (none != first).any()


def test_the_test_data_are_ignored_when_the_data_are_a_data_set():
    """They replace its test split: the same figure as for an array."""
    x = small.arrays()
    dataset = ae.data.as_dataset(ae.data.from_arrays(x), x[:5] + 100)
    np.testing.assert_array_equal(dataset.test.read(np.arange(5)).x, x[:5] + 100)


def test_extras_do_not_reach_the_test_split():
    """A pair takes them there; without them it is refused before anything is compiled."""
    test_given.test_a_test_split_replaces_that_of_whatever_is_given("pair", "pair")
    test_conditions.test_a_test_split_without_the_condition_is_refused_with_what_to_do()


def test_a_seed_is_folded_to_32_bits():
    """2**32 would be 0 again."""
    for seed in (2**32, 2**40, -1):
        with pytest.raises(
            ConfigError, match="seed must be a whole number from 0 to 2\\*\\*32 - 1"
        ):
            keys.root(seed)


def test_columns_in_another_order_are_read_as_if_they_were_in_this_one():
    """scikit-learn warned of it for years: matched by name."""
    test_frames.test_columns_are_matched_by_name_with_their_masks()
    test_frames.test_codes_of_categories_are_those_of_training()


def test_a_sparse_matrix_or_a_column_of_words_fails_far_from_its_cause():
    """One line names shape and dtype, or the column."""
    with pytest.raises(DataError, match=r"shape \(9, 4\) and dtype float64: pass x.toarray\(\)"):
        ae.data.as_dataset(sparse.random(9, 4, format="csc"))
    with pytest.raises(DataError, match="column 'b' of the data has dtype <U1, e.g. 'x'"):
        ae.data.as_dataset(Frame({"a": [1.0, 2.0], "b": ["x", "y"]}))


def test_a_path_without_its_kind():
    """The form that says it is suggested."""
    for name in ("x.csv", "photos/"):
        test_suggestions.test_the_kind_is_told_from_the_name(name)


@pytest.mark.parametrize("data", [jnp.ones(()), {}, iter([]), "photo.heic", [["a"]], [], 3])
def test_whatever_is_no_data_is_one_line_of_the_family(data):
    """Never a traceback from within NumPy or JAX."""
    with pytest.raises(AeJaxError) as caught:
        ae.fit(small.vae(), data, progress=False)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, DataError | UnknownNameError)
