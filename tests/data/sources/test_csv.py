"""Tables in CSV and Parquet: kinds, codes, missing values, and cells that do not fit."""

import csv
import datetime
import io
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ae_jax as ae
from ae_jax.data.source import in_memory
from ae_jax.errors import ConfigError, DataError, MissingFileError, UnknownNameError
from ae_jax.types import Column

TABLE = """age,sex,visits,income,species
31,f,2,1.5e3,setosa
NA,m,0,-2.25,virginica
40.5,,3,nan,setosa

17, f ,1,0,versicolor
"""
X = np.array([[31, 0, 2, 1500], [0, 1, 0, -2.25], [40.5, 0, 3, 0], [17, 0, 1, 0]], np.float32)
OBSERVED = np.array([[1, 1, 1, 1], [0, 1, 1, 1], [1, 0, 1, 0], [1, 1, 1, 1]], bool)


def write(folder, text=TABLE, encoding="utf-8"):
    path = folder / "t.csv"
    path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return path


def load(path, **options):
    return ae.data.load(f"csv:{path}", **({"test_fraction": 0} | options))


def test_kinds_are_inferred_and_missing_values_are_zero_and_unobserved(tmp_path):
    dataset = load(write(tmp_path), label="species")
    assert (dataset.kind, dataset.source) == ("table", f"csv:{tmp_path}/t.csv")
    assert dataset.columns == (
        Column("age", "number"),
        Column("sex", "category", ("f", "m")),
        Column("visits", "number"),
        Column("income", "number"),
    )
    train = in_memory(dataset.train)
    np.testing.assert_array_equal(train.x, X)
    np.testing.assert_array_equal(train.observed, OBSERVED)
    np.testing.assert_array_equal(train.extras["label"], [0, 2, 0, 1])
    assert (train.x.dtype, train.extras["label"].dtype) == (np.float32, np.int32)


def test_columns_keep_the_files_order_and_their_given_kinds(tmp_path):
    columns = {"visits": "count", "age": "number", "species": "category"}
    dataset = load(write(tmp_path), columns=columns)
    kinds = [(column.name, column.kind) for column in dataset.columns]
    assert kinds == [("age", "number"), ("visits", "count"), ("species", "category")]
    np.testing.assert_array_equal(dataset.train.x[:, :2], X[:, [0, 2]])
    assert dataset.train.extras == {}
    named = load(write(tmp_path), columns=["income", "sex"])
    np.testing.assert_array_equal(named.train.x, X[:, [1, 3]])


def test_numbers_may_be_declared_a_category(tmp_path):
    dataset = load(write(tmp_path), columns={"visits": "category"})
    assert dataset.columns[0].categories == ("0", "1", "2", "3")
    np.testing.assert_array_equal(dataset.train.x[:, 0], [2, 0, 3, 1])


def test_without_missing_values_there_is_no_mask(tmp_path):
    assert load(write(tmp_path), columns=["visits"]).train.observed is None


@pytest.mark.parametrize(
    ("column", "expected"),
    [("3\n10\n2\n", np.array([3, 10, 2], np.int32)), ("3\n1.5\n2\n", [3, 1.5, 2])],
)
def test_a_label_of_numbers_keeps_its_values(tmp_path, column, expected):
    rows = "\n".join(f"{i},{v}" for i, v in enumerate(column.split()))
    label = load(write(tmp_path, "a,y\n" + rows), label="y").train.extras["label"]
    np.testing.assert_array_equal(label, expected)


def test_the_split_is_split_masks_and_both_parts_share_their_codes(tmp_path):
    rows = [f"{i},{'abc'[i % 3]}" for i in range(60)]
    dataset = load(write(tmp_path, "number,word\n" + "\n".join(rows)), test_fraction=0.3)
    mask = ae.data.split_mask(60, 0.3)
    expected = np.stack([np.arange(60), np.arange(60) % 3], axis=1)
    np.testing.assert_array_equal(dataset.test.x, expected[mask])
    np.testing.assert_array_equal(dataset.train.x, expected[~mask])


def test_other_delimiters_symbols_line_ends_and_a_byte_order_mark(tmp_path):
    text = '\ufeffa;b\r\n1;"x;\ny"\r\n?;z\r\n'
    dataset = load(write(tmp_path, text), delimiter=";", missing=["?"])
    assert dataset.columns[1].categories == ("x;\ny", "z")
    np.testing.assert_array_equal(dataset.train.x, [[1, 0], [0, 1]])
    np.testing.assert_array_equal(dataset.train.observed, [[True, True], [False, True]])


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
LETTERS = st.sampled_from("aé日,;\"'#\U0001f600")


@settings(deadline=None, max_examples=30)
@given(
    numbers=st.lists(st.none() | FLOATS, min_size=1, max_size=9).filter(any),
    words=st.lists(st.text(LETTERS), min_size=9, max_size=9),
)
def test_what_the_standard_library_writes_reads_back(tmp_path_factory, numbers, words):
    words = [f"w{word}" for word in words[: len(numbers)]]
    stream = io.StringIO()
    rows = [("n", "w"), *(("" if n is None else repr(n), w) for n, w in zip(numbers, words))]  # noqa: B905
    csv.writer(stream).writerows(rows)
    path = write(tmp_path_factory.mktemp("csv"), stream.getvalue())
    dataset = load(path, columns={"n": "number", "w": "category"})
    got, observed = dataset.train.x, dataset.train.observed
    seen = np.array([n is not None for n in numbers])
    np.testing.assert_array_equal(got[:, 0], [n or 0 for n in numbers])
    np.testing.assert_array_equal(seen if observed is None else observed[:, 0], seen)
    decoded = [dataset.columns[1].categories[int(code)] for code in got[:, 1]]
    assert decoded == [w.strip() for w in words]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"columns": ["agee"]}, UnknownNameError, "no column 'agee'; did you mean 'age'?"),
        ({"label": "specie"}, UnknownNameError, "no column 'specie'; did you mean 'spec"),
        ({"columns": {"age": "numbr"}}, UnknownNameError, "column 'age': no kind is called 'numbr'"
         "; did you mean 'number'?"),
        ({"columns": ["age", "sex"], "label": "sex"}, ConfigError, "'sex' is the label and among "
         "columns: it would leak into x"),
        ({"columns": []}, ConfigError, "t.csv' has no columns left for x"),
        ({"columns": {"sex": "number"}}, DataError, "t.csv', line 2, column 'sex': expected a "
         "finite number, got 'f'; if it stands for a missing value, add it to missing"),
        ({"columns": {"income": "count"}}, DataError, "line 2, column 'income': expected a count"),
        ({"label": "sex"}, DataError, "t.csv', line 4: the label 'sex' is missing"),
    ],
)  # fmt: skip
def test_wrong_columns(tmp_path, options, error, match):
    text = TABLE.replace("1.5e3", "1.5")
    with pytest.raises(error, match=match.replace("?", r"\?")):
        load(write(tmp_path, text), **options)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "t.csv' is empty"),
        ("a,b\n", "t.csv' has no rows below its header"),
        ("\n1,2\n", r"line 1 must name the columns, got \[\]"),
        ("1,2\n3,4\n", r"line 1 must name the columns, got \['1', '2'\]"),
        ("a,b,a\n1,2,3\n", "line 1: a column's name 'a' is empty or not unique"),
        ("a,\n1,2\n", "line 1: a column's name '' is empty or not unique"),
        ("a,b\n1,2\n\n3\n", r"line 4 has 1 cells, the header 2: \['3'\]"),
        ("a,b\n1,2\n3,4,5\n", "line 3 has 3 cells, the header 2"),
        ('a,b\n1,"2\n3,4\n', "line 3: unexpected end of data"),
        ("a,b\n1,2\n3,inf\n", "line 3, column 'b': expected a finite number, got 'inf'"),
        ("a,b\n1,2\n3,1e39\n", "line 3, column 'b': expected a finite number, got '1e39'"),
        ("a,b\n1,\n3,NA\n", "column 'b' has no values"),
        (b"a,b\n1,\xe9t\xe9\n", r"t.csv' is not UTF-8: byte 0xe9 at offset 6: .*iconv"),
    ],
)
def test_a_malformed_file(tmp_path, text, match):
    with pytest.raises(DataError, match=match):
        load(write(tmp_path, text))


@pytest.mark.parametrize("other", ["", f"{2**60 - 8}"], ids=["missing", "present"])
def test_whole_numbers_that_float64_does_not_tell_apart_are_refused(tmp_path, other):
    numbers = [str(2**60 + i) for i in range(8)] + [other]
    text = "a,b\n" + "".join(f"{i},{number}\n" for i, number in enumerate(numbers))
    with pytest.raises(DataError, match="column 'b': expected digits that float64 holds"):
        load(write(tmp_path, text))


def test_free_text_is_not_taken_for_a_category(tmp_path):
    path = write(tmp_path, "n,words\n" + "\n".join(f"{i},word{i}" for i in range(1001)))
    with pytest.raises(
        DataError, match="column 'words' has 1001 different words in 1001 rows: leave it"
    ):
        load(path)
    assert len(load(path, columns={"words": "category"}).columns[0].categories) == 1001


def test_a_missing_file(tmp_path):
    write(tmp_path)
    with pytest.raises(MissingFileError, match=r"t.tsv' does not exist; did you mean 't.csv'\?"):
        load(tmp_path / "t.tsv")


# ---- Parquet -------------------------------------------------------------------------------------


@pytest.fixture
def arrow():
    return pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")


def test_a_parquet_table_reads_like_its_csv(tmp_path, arrow):
    pa, pq = arrow
    columns = {
        "age": [31.0, None, 40.5, 17.0],
        "sex": pa.array(["f", "m", None, "f"]).dictionary_encode(),
        "visits": pa.array([2, 0, 3, 1], pa.int8()),
        "income": [1500.0, -2.25, float("nan"), 0.0],
        "species": ["setosa", "virginica", "setosa", "versicolor"],
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    dataset = ae.data.load(f"parquet:{tmp_path}/t.parquet", label="species", test_fraction=0)
    expected = load(write(tmp_path), label="species")
    assert dataset.columns == expected.columns
    np.testing.assert_array_equal(dataset.train.x, X)
    np.testing.assert_array_equal(dataset.train.observed, OBSERVED)
    np.testing.assert_array_equal(dataset.train.extras["label"], [0, 2, 0, 1])


@pytest.mark.parametrize("fixed", [False, True])
def test_a_parquet_column_of_vectors(tmp_path, arrow, fixed):
    pa, pq = arrow
    x = np.arange(40, dtype=np.float32).reshape(10, 4)
    kind = pa.list_(pa.float32(), 4) if fixed else pa.list_(pa.float32())
    columns = {"code": pa.array(x.tolist(), kind), "label": np.arange(10), "name": ["n"] * 10}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet", row_group_size=3)
    dataset = ae.data.parquet(tmp_path / "t.parquet", x="code", test_fraction=0.3)
    mask = ae.data.split_mask(10, 0.3)
    assert dataset.train.x.dtype == np.float32
    np.testing.assert_array_equal(dataset.train.x, x[~mask])
    np.testing.assert_array_equal(dataset.test.extras["label"], np.flatnonzero(mask))
    assert set(dataset.train.extras) == {"label"}


def test_wrong_parquet_files_and_columns(tmp_path, arrow):
    pa, pq = arrow
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"code": [[1.0, 2.0], [3.0]], "n": [1, 2], "w": ["a", "b"]}), path)
    with pytest.raises(
        DataError, match="row 1, column 'code': expected 2 numbers as in row 0, got 1"
    ):
        ae.data.parquet(path, x="code")
    with pytest.raises(DataError, match="column 'n': expected lists of numbers, got int64"):
        ae.data.parquet(path, x="n")
    with pytest.raises(UnknownNameError, match=r"no column 'cod'; did you mean 'code'\?"):
        ae.data.parquet(path, x="cod")
    with pytest.raises(UnknownNameError, match=r"no column 'cod'; did you mean 'code'\?"):
        ae.data.parquet(path, columns=["cod"])
    with pytest.raises(DataError, match="column 'code' holds list<.*expected numbers or text"):
        ae.data.parquet(path)
    with pytest.raises(DataError, match="t.parquet', row 0, column 'w': expected a finite number"):
        ae.data.parquet(path, columns={"w": "number"})
    with pytest.raises(ConfigError, match="columns and label are of tables"):
        ae.data.parquet(path, x="code", label="n")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="t.parquet' is not a whole Parquet file"):
        ae.data.parquet(path)


def write_parquet(folder, arrow, **columns):
    pa, pq = arrow
    pq.write_table(pa.table(columns), folder / "t.parquet")
    return folder / "t.parquet"


def test_a_parquet_table_of_every_kind_of_column(tmp_path, arrow):
    pa, _ = arrow
    path = write_parquet(
        tmp_path,
        arrow,
        price=pa.array([Decimal("1.50"), None, Decimal("-2.25")]),
        flag=[True, None, False],
        word=pa.DictionaryArray.from_arrays(pa.array([0, None, 1]), pa.array(["x", "y"])),
        code=pa.array([3, 4, None], pa.uint8()).dictionary_encode(),
        half=pa.array(np.float16([0.5, 1, 2])),
        day=[datetime.date(2024, 1, 5)] * 3,
    )
    dataset = ae.data.parquet(path, drop=["day"], test_fraction=0)
    assert [c.categories for c in dataset.columns] == [(), ("False", "True"), ("x", "y"), (), ()]
    np.testing.assert_array_equal(
        dataset.train.x, [[1.5, 1, 0, 3, 0.5], [0, 0, 0, 4, 1], [-2.25, 0, 1, 0, 2]]
    )
    np.testing.assert_array_equal(
        dataset.train.observed, [[1, 1, 1, 1, 1], [0, 0, 0, 1, 1], [1, 1, 1, 0, 1]]
    )
    kept = ae.data.parquet(path, kinds={"code": "category"}, drop=["day"], test_fraction=0)
    assert kept.columns[3].categories == ("3", "4")


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ([datetime.datetime(2024, 1, 5)], r"'c' holds timestamp\[us\]; expected numbers or t"),
        ([datetime.date(2024, 1, 5)], r"'c' holds date32\[day\]; .*leave it out, drop=\['c'\]"),
        ([datetime.timedelta(1)], "'c' holds duration"),
        ([b"x"], "'c' holds binary"),
        ([{"a": 1}], "'c' holds struct<"),
        ([[1.0]], "'c' holds list<.*, if it holds vectors, take it for x"),
        ([None], r"'c' has no values; leave it out, drop=\['c'\]"),
        (["1", "2", "N/A"], r"'c' is mostly numbers \(2 of 3\), but not all \('N/A' in row 2\)"),
        ([1.0, float("inf")], "row 1, column 'c': expected a finite number, got inf"),
    ],
)  # fmt: skip
def test_a_parquet_column_that_is_no_column_of_a_table(tmp_path, arrow, values, match):
    with pytest.raises(DataError, match=match) as raised:
        ae.data.parquet(write_parquet(tmp_path, arrow, c=values))
    assert "\n" not in str(raised.value)


def test_words_of_a_parquet_table_may_stand_for_missing_values(tmp_path, arrow):
    path = write_parquet(tmp_path, arrow, c=["1", "2", "N/A"])
    for missing in ("N/A", ["N/A"]):
        train = ae.data.parquet(path, missing=missing, test_fraction=0).train
        np.testing.assert_array_equal(train.observed[:, 0], [True, True, False])


def test_null_within_parquet_vectors_is_missing(tmp_path, arrow, caplog):
    path = write_parquet(tmp_path, arrow, x=[[1, None], [2, 3]], y=[1, None], z=[5, 6])
    train = ae.data.parquet(path, x="x", test_fraction=0).train
    np.testing.assert_array_equal(train.x, [[1, 0], [2, 3]])
    np.testing.assert_array_equal(train.observed, [[True, False], [True, True]])
    assert set(train.extras) == {"z"}
    assert "column 'y' has nulls: it does not become an extra" in caplog.text


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ([None, [1.0, 2.0]], "row 0, column 'x': expected 2 numbers as in row 1, got null"),
        ([[1.0], []], "row 1, column 'x': expected 1 numbers as in row 0, got 0"),
        ([["a"]], "'x': expected lists of numbers, got list<.*string>"),
        ([[[1.0]]], "'x': expected lists of numbers, got list<.*list<"),
        ([[], []], "'x': expected lists of numbers, got list<.*null>"),
        ([[datetime.date(2024, 1, 5)]], "'x': expected lists of numbers, got list<.*date32"),
    ],
)
def test_a_parquet_column_that_is_no_vectors(tmp_path, arrow, values, match):
    with pytest.raises(DataError, match=match):
        ae.data.parquet(write_parquet(tmp_path, arrow, x=values), x="x")


def test_parquet_columns_of_one_name(tmp_path, arrow):
    pa, pq = arrow
    pq.write_table(pa.Table.from_arrays([pa.array([1])] * 2, names=["a", "a"]), tmp_path / "t")
    with pytest.raises(DataError, match="has 2 columns called 'a'$"):
        ae.data.parquet(tmp_path / "t")


def test_without_pyarrow_the_error_names_the_fix(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "t.parquet").touch()
    with pytest.raises(MissingFileError, match=r"pip install 'ae_jax\[parquet\]'"):
        ae.data.parquet(tmp_path / "t.parquet")
