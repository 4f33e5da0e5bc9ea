"""Windows of a series against NumPy's sliding windows; the split in time; missing values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ae_jax as ae
from ae_jax.data.source import in_memory
from ae_jax.data.sources.files import ArrayFile
from ae_jax.data.spec import choose_preprocessing
from ae_jax.errors import ConfigError, DataError, MissingFileError, UnknownNameError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3)).astype(np.float32)


def sliding(x, window, stride):
    return np.lib.stride_tricks.sliding_window_view(x, window, axis=0)[::stride].swapaxes(1, 2)


@settings(deadline=None, max_examples=60)
@given(
    size=st.integers(1, 60),
    window=st.integers(1, 20),
    stride=st.integers(1, 25),
    fraction=st.sampled_from([0.0, 0.1, 0.4, 0.9]),
)
def test_windows_and_the_border_in_time(size, window, stride, fraction):
    x = np.arange(2 * size).reshape(size, 2)
    border = round(size * (1 - fraction))
    if border < window:
        with pytest.raises(DataError, match=f"has {size} steps, {border} of them for training"):
            ae.data.series(x, window, stride, fraction)
        return
    dataset = ae.data.series(x, window, stride, fraction)
    np.testing.assert_array_equal(in_memory(dataset.train).x, sliding(x[:border], window, stride))
    if size - border >= window:
        np.testing.assert_array_equal(
            in_memory(dataset.test).x, sliding(x[border:], window, stride)
        )
    else:
        assert len(dataset.test) == 0
        assert dataset.test.read(np.arange(0)).x.shape == (0, window, 2)


def test_files_and_arrays_are_alike(tmp_path):
    np.save(tmp_path / "s.npy", X)
    rows = "\n".join(",".join(map(repr, map(float, row))) for row in X)
    (tmp_path / "s.csv").write_text("a,b,c\n" + rows)
    dataset = ae.data.series(X, 7, 2)
    assert dataset.source is None
    for name in ("s.npy", "s.csv"):
        got = ae.data.load(f"series:{tmp_path / name}", window=7, stride=2)
        assert (got.kind, got.source) == ("series", f"series:{tmp_path / name}")
        for one, two in ((got.train, dataset.train), (got.test, dataset.test)):
            np.testing.assert_array_equal(in_memory(one).x, in_memory(two).x)
    mapped = ae.data.series(tmp_path / "s.npy", 7).train.values
    assert isinstance(mapped, ArrayFile)
    assert "_mapped" not in vars(mapped)
    some = ae.data.series(tmp_path / "s.csv", 7, columns=["c", "a"]).train
    np.testing.assert_array_equal(some.read(np.array([4])).x[0], X[4:11, [2, 0]])


def test_one_channel(tmp_path):
    np.save(tmp_path / "s.npy", X[:, 0])
    for path in (X[:, 0], tmp_path / "s.npy"):
        train = ae.data.series(path, 5, test_fraction=0).train
        np.testing.assert_array_equal(in_memory(train).x, sliding(X[:, :1], 5, 1))


def test_each_channel_is_standardised(tmp_path):
    x = X * [1, 10, 100] + [5, 0, -40]
    dataset = ae.data.series(x, 10, 10, test_fraction=0)
    got = np.asarray(choose_preprocessing(dataset).apply(in_memory(dataset.train).x))
    np.testing.assert_allclose(got.mean((0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(got.std((0, 1)), 1, atol=1e-5)


NAN = X.copy()
NAN[20, 1], NAN[31, 0] = np.nan, np.nan


def test_a_missing_value_is_an_error_that_names_its_place(tmp_path):
    train = ae.data.series(NAN, 5).train
    train.read(np.array([0, 15]))
    with pytest.raises(DataError, match="the series has no value at step 20, channel 1; impute it"):
        train.read(np.array([0, 18]))
    np.save(tmp_path / "s.npy", NAN)
    with pytest.raises(
        DataError, match="s.npy' has no value at step 31, channel 0; .*missing=True"
    ):
        ae.data.series(tmp_path / "s.npy", 5, 30).train.read(np.array([1]))
    (tmp_path / "s.csv").write_text("u,v\n" + "1,2\n" * 5 + "1,\n" + "1,2\n" * 5)
    with pytest.raises(DataError, match=r"no value at step 5, channel 1 \('v'\)"):
        ae.data.series(tmp_path / "s.csv", 3).train.read(np.array([4]))


def test_a_csv_is_read_as_a_table_is(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text(";u;v\n0;1,5;2\n1;NULL;3\n2;4,25;5\n")  # with pandas' index
    train = ae.data.load(f"series:{path}", window=3, missing=True, test_fraction=0).train
    assert train.channels == ("u", "v")
    got = train.read(np.arange(1))
    np.testing.assert_array_equal(got.x[0], [[1.5, 2], [0, 3], [4.25, 5]])
    np.testing.assert_array_equal(got.observed[0], [[1, 1], [0, 1], [1, 1]])
    path.write_text('1,"2,5"\n3,"4,5"\n')
    train = ae.data.series(path, 2, test_fraction=0, header=False, decimal=",").train
    np.testing.assert_array_equal(train.read(np.arange(1)).x[0], [[1, 2.5], [3, 4.5]])
    path.write_text("day,v\n2024-01-05,1\n2024-01-06,2\n")
    with pytest.raises(
        DataError, match="line 2, column 'day': expected a finite number, got '2024"
    ):
        ae.data.series(path, 2)
    assert ae.data.series(path, 2, test_fraction=0, columns=["v"]).train.channels == ("v",)
    with pytest.raises(ConfigError, match="delimiter, decimal, thousands and header are those of"):
        ae.data.series(X, 2, decimal=",")
    with pytest.raises(ConfigError, match="columns must be a list of names, got 'v'"):
        ae.data.series(path, 2, columns="v")


@pytest.mark.parametrize("dtype", ["m8[s]", "M8[s]", "U1", "c16", "f4,i4"])
def test_what_holds_no_numbers_is_no_series(tmp_path, dtype):
    np.save(tmp_path / "s.npy", np.zeros(20, dtype))
    for path, name in ((tmp_path / "s.npy", "s.npy'"), (np.zeros(20, dtype), "the series")):
        with pytest.raises(DataError, match=f"{name} must be numbers .time, channels., got"):
            ae.data.series(path, 2)


def test_missing_values_may_be_masked():
    train = ae.data.series(NAN, 5, missing=True, test_fraction=0).train
    got = in_memory(train)
    assert train.spec.observed.shape == (5, 3)
    np.testing.assert_array_equal(got.observed, ~np.isnan(sliding(NAN, 5, 1)))
    np.testing.assert_array_equal(got.x, np.nan_to_num(sliding(NAN, 5, 1)))
    assert ae.data.series(np.arange(9), 2, missing=True).train.read(np.arange(3)).observed.all()


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (
            np.zeros((9, 2, 2)),
            r"must be numbers \[time, channels\], got float64 of shape \(9, 2, 2\)",
        ),
        (np.zeros((9, 0)), r"of shape \(9, 0\)"),
        (np.array(["a"] * 9), "got <U1 of shape"),
        (np.zeros(0), r"got float64 of shape \(0,\)"),
    ],
)
def test_what_is_no_series(x, match):
    with pytest.raises(DataError, match=match):
        ae.data.series(x, 2)


def test_wrong_paths_and_options(tmp_path):
    (tmp_path / "s.csv").write_text("a,b\n1,2\n1,x\n")
    with pytest.raises(
        DataError, match="s.csv', line 3, column 'b': expected a finite number, got"
    ):
        ae.data.series(tmp_path / "s.csv", 1)
    with pytest.raises(UnknownNameError, match="no column 'd'. Known: a, b"):
        ae.data.series(tmp_path / "s.csv", 1, columns=["d"])
    with pytest.raises(MissingFileError, match=r"did you mean 's.csv'\?"):
        ae.data.series(tmp_path / "t.csv", 1)
    with pytest.raises(ConfigError, match=r"a series is a .npy or .csv file, got '.*s.mat'"):
        ae.data.series(tmp_path / "s.mat", 1)
    with pytest.raises(ConfigError, match="columns are those of a .csv file, got"):
        ae.data.series(X, 1, columns=["a"])
    with pytest.raises(ConfigError, match="window must be a positive whole number, got 0"):
        ae.data.series(X, 0)
    with pytest.raises(ConfigError, match="test_fraction must lie"):
        ae.data.series(X, 1, test_fraction=-0.5)
    with pytest.raises(ConfigError, match="no argument 'windw'; did you mean 'window'"):
        ae.data.load(f"series:{tmp_path}/s.csv", windw=3)
    with pytest.raises(IndexError, match="there are 45 windows"):
        ae.data.series(X, 1).train.read(np.array([45]))
