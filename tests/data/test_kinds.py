"""What a data set says of its values, held against what there is."""

import re

import numpy as np
import pytest

import ae_jax as ae
from ae_jax.data import kinds
from ae_jax.errors import ConfigError, DataError, UnknownNameError
from ae_jax.recipes import defaults
from ae_jax.runs import planning
from ae_jax.types import Column
from tests import small

WIDTH = 4
COUNTS = np.arange(240).reshape(60, WIDTH) % 7
NETWORK = ae.networks.mlp((4,))


def refused(data, **declared):
    """Raises what planning a run on data declared to be so raises."""
    dataset = ae.data.as_dataset(data)._replace(**declared)
    recipe = ae.recipes.vae(2, encoder=NETWORK, decoder=NETWORK)
    ae.fit(recipe, dataset, steps=2, batch_size=8, progress=False)


def changed(value, x=COUNTS):
    """The examples with one that training holds changed."""
    x = np.array(x, np.float64)
    x[1, 2] = value
    return x


def test_every_kind_that_can_be_declared_has_its_parts_and_its_check():
    assert set(kinds.VALUES) == set(defaults.KINDS)
    assert set(kinds.COLUMN_KINDS) == set(defaults.COLUMN_LIKELIHOOD)


DECLARATIONS = [
    ({"kind": "cuont"}, UnknownNameError, "kind cannot be 'cuont'; did you mean 'count'?"),
    ({"kind": "Binary"}, UnknownNameError, "kind cannot be 'Binary'; did you mean 'binary'?"),
    ({"kind": ""}, UnknownNameError, "kind cannot be ''"),
    ({"kind": "number"}, UnknownNameError, "kind cannot be 'number'"),
    ({"kind": "tokens"}, ConfigError, "kind='tokens' needs num_classes"),
    ({"kind": "tokens", "num_classes": 0}, ConfigError, "num_classes must be a positive whole"),
    ({"kind": "tokens", "num_classes": 2.5}, ConfigError, "num_classes must be a positive whole"),
    ({"num_classes": 10}, ConfigError, "num_classes=10 is of kind='tokens', got kind=None"),
    ({"kind": "count", "num_classes": 10}, ConfigError, "got kind='count'"),
    ({"kind": "table"}, ConfigError, "kind='table' needs columns"),
    ({"columns": (Column("a", "number"),)}, ConfigError, "1 columns, but examples of shape (4,)"),
    ({"columns": ("a", "b", "c", "d")}, ConfigError, "columns must be a row of Columns"),
    (
        {"kind": "table", "columns": (Column("a", "nubmer"),) * WIDTH},
        UnknownNameError,
        "column 'a': kind cannot be 'nubmer'; did you mean 'number'?",
    ),
    (
        {"kind": "table", "columns": (Column("a", "category"),) * WIDTH},
        ConfigError,
        "column 'a' of kind 'category' has 0 categories",
    ),
]


@pytest.mark.parametrize(("declared", "error", "message"), DECLARATIONS)
def test_a_declaration_that_cannot_be_is_refused_with_the_nearest(declared, error, message):
    dataset = ae.data.as_dataset(COUNTS)._replace(**declared)
    with pytest.raises(error, match=re.escape(message)):
        ae.data.as_dataset(dataset)
    if set(declared) == {"kind"} and error is UnknownNameError:
        with pytest.raises(error):
            ae.spec_of(dataset)


def test_a_spec_of_no_kind_has_no_parts():
    with pytest.raises(UnknownNameError, match="did you mean 'binary'"):
        ae.recipes.vae(2).build(ae.Spec((4,), "binray"))


def test_a_declared_spec_of_a_config_is_held_to_the_same():
    spec = {"shape": [4], "dtype": "uint8", "num_train": 64, "kind": "real", "num_classes": 3}
    fields = {"spec": spec, "preprocessing": {"name": "none"}}
    with pytest.raises(ConfigError, match="num_classes=3 is of kind='tokens', got kind='real'"):
        planning.plan_without_data(small.config(data=fields))


CATEGORY = (Column("a", "category", ("x", "y")),) + (Column("b", "number"),) * (WIDTH - 1)
COUNT = (Column("n", "count"),) * WIDTH
BITS = COUNTS % 2
VALUES = [
    (changed(0.5, BITS), {"kind": "binary"}, "'binary', but hold 0.5 at (1, 2)", "0 or 1"),
    (changed(2, BITS), {"kind": "binary"}, "hold 2 at (1, 2)", "0 or 1"),
    (
        changed(2, BITS).astype(np.uint8),
        {"kind": "binary"},
        "hold 1, after preprocessing 0.00392157, at (0, 1)",
        "0 or 1",
    ),
    (changed(-3), {"kind": "count"}, "hold -3 at (1, 2)", "a count 0, 1, 2, …"),
    (changed(1.5), {"kind": "count"}, "hold 1.5 at (1, 2)", "a count"),
    (COUNTS, {"kind": "tokens", "num_classes": 6}, "hold 6 at (1, 2)", "a token 0 … 5"),
    (changed(-1), {"kind": "tokens", "num_classes": 7}, "hold -1 at (1, 2)", "0 … 6"),
    (changed(0.5), {"kind": "tokens", "num_classes": 7}, "hold 0.5 at (1, 2)", "0 … 6"),
    (COUNTS, {"kind": "table", "columns": CATEGORY}, "hold 4 at (1, 0), column 'a'", "categories"),
    (changed(-1), {"kind": "table", "columns": COUNT}, "at (1, 2), column 'n'", "whole number"),
]


@pytest.mark.parametrize(("data", "declared", "found", "expected"), VALUES, ids=range(len(VALUES)))
def test_a_value_that_its_kind_does_not_allow_is_named_with_its_place(
    data, declared, found, expected
):
    with pytest.raises(DataError) as caught:
        refused(data, **declared)
    assert found in str(caught.value)
    assert expected in str(caught.value)
    assert "the training data are declared" in str(caught.value)


def test_the_test_split_is_held_to_its_kind_as_well():
    dataset = ae.data.from_arrays(COUNTS, test=changed(-1))
    with pytest.raises(DataError, match=r"the test data are .* 'count', but hold -1 at \(1, 2\)"):
        refused(dataset, kind="count")


def test_grey_levels_that_preprocessing_makes_bits_of_are_binary():
    x = np.stack([BITS * 255] * 2, axis=-1).astype(np.uint8)
    dataset = ae.data.as_dataset(x)._replace(kind="binary")
    config = small.config(data={"source": None})
    recipe = ae.recipes.vae(2, encoder=NETWORK, decoder=NETWORK)
    spec = planning.resolve(config, recipe, dataset).spec
    assert spec == ae.Spec((WIDTH, 2), "binary")


def test_entries_that_are_not_observed_are_of_any_kind():
    missing = np.zeros((2, 3), bool)
    kinds.check_values(np.where(missing, 9.0, 0.0), ae.Spec((3,), "binary"), "training")
    x = np.array([[0.5], [1.0]])
    kinds.check_values(x, ae.Spec((1,), "binary"), "training", valid=np.array([False, True]))
