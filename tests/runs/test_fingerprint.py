"""A fingerprint is the same wherever the data lie, and another for every change of them."""

import numpy as np
import pytest

import ae_jax as ae
from ae_jax.data.source import Arrays, Subset
from ae_jax.runs.fingerprint import SAMPLE, changes, fingerprint


def arrays(size=200, **changed):
    rng = np.random.default_rng(0)
    fields = {
        "x": rng.normal(size=(size, 3)).astype(np.float32),
        "extras": {"label": np.arange(size, dtype=np.int32) % 7},
        "observed": rng.random((size, 3)) < 0.8,
    }
    return Arrays(**{**fields, **changed})


def of(train, test=None):
    return fingerprint(ae.data.Dataset(train, train if test is None else test))


class Counting(Subset):
    """A source that counts what is read."""

    def read(self, index):
        Counting.read_so_far += len(index)
        return super().read(index)


def test_it_is_the_same_in_memory_in_a_file_and_streamed(tmp_path):
    whole = arrays()
    np.save(tmp_path / "x.npy", whole.x)
    mapped = arrays(x=np.load(tmp_path / "x.npy", mmap_mode="r"))
    places = np.random.default_rng(1).permutation(200)
    shuffled = Arrays(*whole.read(places))
    back = Subset(shuffled, np.argsort(places))
    assert of(whole) == of(mapped) == of(back) == of(arrays(x=whole.x.astype(">f4")))


@pytest.mark.parametrize("size", [1, 63, 64, 65, 100_000])
def test_few_records_are_read(size):
    Counting.read_so_far = 0
    x = np.zeros((size, 2), np.float32)
    of(Counting(Arrays(x), np.arange(size)), Arrays(x[:1]))
    assert Counting.read_so_far == min(size, SAMPLE)


def altered(leaf, place, value):
    leaf = leaf.copy()
    leaf[place] = value
    return leaf


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": 90}, "train: 200 -> 90 examples"),
        ({"x": altered(arrays().x, 0, 9.0)}, "train: other values"),
        ({"x": altered(arrays().x, -1, 9.0)}, "train: other values"),
        ({"x": arrays().x[::-1]}, "train: other values"),
        ({"x": arrays().x.astype(np.float64)}, "train: x float32[3] -> float64[3]"),
        ({"extras": {"label": np.arange(200, dtype=np.int32) % 5}}, "train: other values"),
        ({"extras": {}}, "train: extras.label int32[] -> absent"),
        ({"observed": np.ones((200, 3), bool)}, "train: other values"),
        ({"observed": None}, "train: observed bool[3] -> absent"),
    ],
)
def test_every_change_is_named(change, said):
    test = arrays()
    assert changes(of(arrays(), test), of(arrays(**change), test)) == [said]


def test_splits_that_come_or_go_are_named():
    both, one = of(arrays()), fingerprint(ae.data.Dataset(arrays(), arrays(0)))
    assert changes(both, one) == ["test: gone"]
    assert changes(one, both) == ["test: new"]
    assert changes(both, both) == []


def test_missing_entries_and_lost_records_are_not_looked_at():
    x, observed, valid = arrays().x, arrays().observed, np.arange(200) > 0
    hidden = np.where(observed, x, np.nan).astype(np.float32)
    assert of(arrays(x=hidden)) == of(arrays(x=np.where(observed, x, 7).astype(np.float32)))
    assert of(arrays(valid=valid)) == of(arrays(x=altered(x, 0, 3.0), valid=valid))
