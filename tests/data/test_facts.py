"""Facts against NumPy in float64, and how often data are read for them."""

import numpy as np
import pytest

import ae_jax as ae
from ae_jax.config import complete, for_recipe
from ae_jax.data import source as source_lib
from ae_jax.data import spec
from ae_jax.data.facts import SHARE, facts_of, look, loses
from ae_jax.data.source import Arrays, Subset
from ae_jax.errors import DataError
from ae_jax.recipes.recipe import Recipe
from ae_jax.runs import planning

RNG = np.random.default_rng(0)
ROWS = {
    "float32": RNG.normal(3, 2, (101, 3)).astype(np.float32),
    "float64 far from 0": 1.7e9 + RNG.uniform(0, 600, (101, 3)),
    "int64": RNG.integers(-(2**40), 2**40, (101, 3)),
    "uint64": RNG.integers(2**63, 2**63 + 2**40, (101, 3), np.uint64),
    "int16": RNG.integers(-999, 999, (101, 3), np.int16),
    "float16": RNG.normal(size=(101, 3)).astype(np.float16),
    "longdouble": RNG.normal(1e6, 1, (101, 3)).astype(np.longdouble),
}


@pytest.mark.parametrize("by_column", [True, False])
@pytest.mark.parametrize("piece", [8192, 10])
@pytest.mark.parametrize("x", ROWS.values(), ids=ROWS)
def test_facts_are_those_of_numpy(monkeypatch, x, piece, by_column):
    monkeypatch.setattr(source_lib, "PIECE", piece)
    facts, axis = look(Arrays(x), by_column), 0 if by_column else None
    wide = x if x.dtype.itemsize >= 8 else x.astype(np.float64)
    origin = wide.min()  # so that the reference keeps its digits too
    near = (wide - origin).astype(np.float64)
    std = near.std(axis)
    np.testing.assert_array_equal(facts.low, x.min(axis))
    np.testing.assert_array_equal(facts.high, x.max(axis))
    error = np.abs(facts.mean - (float(origin) + near.mean(axis)))
    assert np.all(error <= 1e-12 * std + 2e-16 * np.abs(facts.mean))
    np.testing.assert_allclose(facts.deviation, std, rtol=1e-9)
    lost = np.abs(x.astype(np.float64) - x.astype(np.float32)).max(axis)
    np.testing.assert_array_equal(facts.lost, lost)
    assert facts.levels is None
    assert not np.any(facts.missing)
    assert facts.whole == (x.dtype.kind in "iu")


@pytest.mark.parametrize("piece", [8192, 7])
def test_missing_entries_and_skipped_examples_count_for_nothing(monkeypatch, piece):
    monkeypatch.setattr(source_lib, "PIECE", piece)
    x = 1e9 + RNG.normal(size=(50, 3))
    seen, valid = RNG.random(x.shape) < 0.6, RNG.random(50) < 0.7
    seen[:, 2] = False
    facts = look(Arrays(np.where(seen, x, 0), observed=seen, valid=valid), by_column=True)
    for column in (0, 1):
        kept = x[valid & seen[:, column], column]
        assert (facts.low[column], facts.high[column]) == (kept.min(), kept.max())
        np.testing.assert_allclose(facts.deviation[column], (kept - 1e9).std(), rtol=1e-9)
        np.testing.assert_allclose(facts.mean[column] - 1e9, (kept - 1e9).mean(), atol=1e-6)
        np.testing.assert_allclose(facts.missing[column], 1 - len(kept) / valid.sum())
    assert (facts.low[2], facts.high[2], facts.missing[2]) == (0, 0, 1)


@pytest.mark.parametrize(
    ("x", "levels", "whole"),
    [
        (np.array([[0, 1], [1, 1]], np.uint8), (0, 1), True),
        (np.array([[False, True]]), (False, True), True),
        (np.array([[0.0, 255.0], [255.0, 0.0]]), (0, 255), True),
        (np.full((3, 2), 0.5), (0.5,), False),
        (np.array([[0.0, 0.5, 1.0]]), None, False),
    ],
    ids=["bytes", "booleans", "two floats", "one", "three"],
)
def test_levels_and_whole_numbers(x, levels, whole):
    facts = look(Arrays(x), by_column=False)
    assert (facts.levels, facts.whole) == (levels, whole)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named_with_its_place(bad):
    x = np.zeros((20_000, 2))
    x[12_345, 1] = bad
    with pytest.raises(DataError, match=rf"the training data .* {bad} at \(12345, 1\)"):
        look(Arrays(x), by_column=True)


def test_a_value_beyond_float32_is_lost_whole():
    facts = look(Arrays(np.array([[1e39, 1.0], [0.0, 0.0]])), by_column=True)
    assert facts.lost.tolist() == [np.inf, 0]
    assert facts.loses_in_float32


def test_the_share_is_of_the_rounding_of_float32():
    mean = SHARE * 2.0**24
    assert not loses(mean, 1.0)
    assert loses(mean * 1.001, 1.0)
    x = mean * 1.001 + RNG.normal(size=100_000)
    assert np.abs(x - x.astype(np.float32)).max() > SHARE / 2


class Counted(Arrays):
    """Arrays that count what is read of them."""

    rows = 0

    def read(self, index):
        Counted.rows += len(index)
        return super().read(index)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_a_run_looks_at_its_data_once_and_at_their_support_once_more(likelihood):
    x = RNG.random((20_000, 3)).astype(np.float32)
    config = complete(for_recipe(ae.recipes.vae(2, likelihood={"name": likelihood})))
    Counted.rows = 0
    dataset = ae.data.as_dataset(ae.data.Dataset(Counted(x), Arrays(x[:0])))
    plan = planning.resolve(config, Recipe.from_config(config), dataset)
    spec.display_range(plan.dataset)
    assert Counted.rows == len(x) + (len(x) if likelihood == "bernoulli" else 8192)


def test_facts_are_of_the_very_data():
    x = RNG.normal(size=(20, 2))
    dataset = ae.data.from_arrays(x, test_fraction=0)
    first = facts_of(dataset.train, True)
    assert facts_of(dataset.train, True) is first
    dataset.train.x[0] = 100
    again = ae.data.as_dataset(dataset)  # what `fit` does looks anew
    assert facts_of(again.train, True).high.max() == 100
    part = facts_of(Subset(dataset.train, np.arange(1, 20)), True)
    np.testing.assert_array_equal(part.high, x[1:].max(0))
