"""What a column of a CSV file holds, and how the file is written: right, or refused in one line."""

import gzip

import numpy as np
import pytest

import ae_jax as ae
from ae_jax.data.sources.cells import MISSING, NUMBERLIKE, Notation
from ae_jax.errors import ConfigError, DataError, MissingFileError, UnknownNameError

PANDAS = """#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|None
n/a|nan|null""".replace("\n", "|").split("|")  # pandas 2.3's, beside the empty cell
RNG = np.random.default_rng(0)
NUMBERS = RNG.permutation(287) / 8 - 16


def write(folder, text, name="t.csv"):
    path = folder / name
    path.write_bytes(text.encode())
    return path


def load(path, **options):
    return ae.data.load(f"csv:{path}", **({"test_fraction": 0} | options))


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def column(odd, at=12):
    """287 numbers, of which one is not written as the others."""
    cells = [repr(float(v)) for v in NUMBERS]
    cells[at] = odd
    return "c,w\n" + "".join(f"{cell},{'ab'[i % 2]}\n" for i, cell in enumerate(cells))


@pytest.mark.parametrize("marker", ["", *PANDAS, "?"])
def test_a_column_of_numbers_stays_one_with_each_marker_of_pandas(tmp_path, marker):
    dataset = load(write(tmp_path, column(marker)))
    assert [c.kind for c in dataset.columns] == ["number", "category"]
    seen = np.arange(287) != 12
    np.testing.assert_array_equal(dataset.train.observed[:, 0], seen)
    np.testing.assert_array_equal(
        dataset.train.x[:, 0], np.where(seen, NUMBERS, 0).astype(np.float32)
    )
    assert set(MISSING) == {"", "?", *PANDAS}


@pytest.mark.parametrize("odd", ["N.A.", "-", "missing", "unknown", "1.2.3", "12 kg", "<0.1"])
def test_a_column_that_is_mostly_numbers_is_neither_numbers_nor_words(tmp_path, odd):
    path = write(tmp_path, column(odd))
    with pytest.raises(DataError) as raised:
        load(path)
    assert one_line(raised) == (
        f"'{path}', column 'c' is mostly numbers (286 of 287), but not all ('{odd}' in line 14): "
        f"if such cells stand for missing values, add them, missing=['{odd}']; if the column is "
        "one of words, kinds={'c': 'category'}"
    )
    assert not load(path, missing=odd).train.observed[12, 0]
    assert not load(path, missing=[odd]).train.observed[12, 0]
    words = load(path, kinds={"c": "category"}).columns
    assert (len(words[0].categories), words[1].name) == (287, "w")
    with pytest.raises(DataError, match="line 14, column 'c': expected a finite number"):
        load(path, columns={"c": "number"})


def test_the_first_rows_are_named_and_the_others_counted(tmp_path):
    cells = [str(i) if i % 5 else "none!" for i in range(1, 40)]
    path = write(tmp_path, "c\n" + "\n".join(cells) + "\n")
    match = r"\(32 of 39\), but not all \('none!' in line 6, 'none!' in line 11, 'none!' in line 16"
    with pytest.raises(DataError, match=match + r" and 4 more\).*missing=\['none!'\]"):
        load(path)


def test_half_the_cells_or_half_the_different_ones_are_most(tmp_path):
    rows = ["unknown"] * 60 + [f"{i}.5" for i in range(20)]  # a quarter numbers, 20 of 21 words
    with pytest.raises(DataError, match=r"mostly numbers \(20 of 80\)"):
        load(write(tmp_path, "c\n" + "\n".join(rows)))
    codes = ["A", "B", "C", "7"] * 9  # a quarter, and a quarter of the different ones
    dataset = load(write(tmp_path, "c\n" + "\n".join(codes)))
    assert dataset.columns[0].categories == ("7", "A", "B", "C")


@pytest.mark.parametrize(
    "cells",
    [
        ["1,5", "0,25"],
        ["1,234", "2,500"],
        ["1.234,5", "7.000,25"],
        ["1 234", "5 678"],
        ["1'234.5", "9'999.0"],
        ["12%", "7.5 %"],
        ["$5.00", "$7"],
        ["3 €", "4,5 €"],
        ["(5)", "(7.25)"],
        ["−5", "−6.5"],
        ["1_000", "2_000"],
    ],
)
def test_numbers_in_another_notation_are_never_words(tmp_path, cells):
    text = "c,w\n" + "".join(f'"{cell}",a\n' for cell in cells)
    with pytest.raises(DataError) as raised:
        load(write(tmp_path, text))
    message = one_line(raised)
    assert "column 'c' looks like numbers, but is not written as plain ones" in message
    assert f"{cells[0]!r} in line 2, {cells[1]!r} in line 3" in message
    assert "decimal=','" in message
    assert "kinds={'c': 'category'}" in message


@pytest.mark.parametrize("word", ["a", "1st", "3A", "1.2.3", "192.168.0.1", "x5", "10-20", "5/2"])
def test_words_that_begin_with_digits_are_words(word):
    assert not NUMBERLIKE.fullmatch(word)


@pytest.mark.parametrize(
    ("decimal", "thousands", "numbers"),
    [
        (".", ",", {"1,234": 1234, "-1,234,567.5": -1234567.5, "12": 12, ".5": 0.5, "1,23": None,
                    "1234,567": None, "1,2345": None, "1.5,000": None, "1e3": 1000, ",123": None}),
        (",", ".", {"1.234": 1234, "1.234,5": 1234.5, "0,25": 0.25, "1.5": None, "1,5,6": None,
                    "+7,5": 7.5, "1,5e2": 150}),
        (",", None, {"1,5": 1.5, "1.5": None, "1.000,5": None, "3": 3, "x": None, "1,": 1}),
        (".", " ", {"1 234.5": 1234.5, "1 23": None, "12 345": 12345}),
        (".", "'", {"1'000": 1000}),
    ],
)  # fmt: skip
def test_marks_that_are_declared(decimal, thousands, numbers):
    notation = Notation(decimal, thousands).check()
    assert {cell: notation.number(cell) for cell in numbers} == numbers


def test_declared_marks_in_a_file(tmp_path):
    path = write(tmp_path, 'c,w\n"1.234,5",a\n"-0,25",b\n7,a\n')
    x = load(path, decimal=",", thousands=".").train.x
    np.testing.assert_array_equal(x[:, 0], [1234.5, -0.25, 7])
    np.testing.assert_array_equal(load(path, thousands=".").train.x, x)
    path = write(tmp_path, 'c,w\n"1,234",a\n5,b\n')
    np.testing.assert_array_equal(load(path, thousands=",").train.x[:, 0], [1234, 5])
    np.testing.assert_array_equal(load(path, decimal=",").train.x[:, 0], np.float32([1.234, 5]))


# ---- delimiters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [",", ";", "\t", "|", " ", "   "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_delimiter_is_recognised(tmp_path, mark, end):
    rows = [["a", "b", "c"], ["1", "2.5", "-3"], ["4", "NA", "6"]]
    text = "\ufeff" + end.join(mark.join(row) for row in rows) + end
    dataset = load(write(tmp_path, text))
    assert [c.name for c in dataset.columns] == ["a", "b", "c"]
    np.testing.assert_array_equal(dataset.train.x, [[1, 2.5, -3], [4, 0, 6]])
    np.testing.assert_array_equal(dataset.train.observed, [[1, 1, 1], [1, 0, 1]])


def test_quoted_cells_may_hold_any_delimiter(tmp_path):
    text = 'n,w\n1,"a;b|c\td, ""e""\nf"\n2,x\n'
    assert load(write(tmp_path, text)).columns[1].categories == ('a;b|c\td, "e"\nf', "x")


def test_two_delimiters_or_spaces_between_words_must_be_told_apart(tmp_path):
    path = write(tmp_path, "a,b;c\n1,2;3\n4,5;6\n")
    with pytest.raises(DataError, match=r"by ',' \(2 columns\) or ';' \(2 columns\): say which"):
        load(path)
    path = write(tmp_path, "size kind\n5.1 setosa\n4.9 virginica\n")
    with pytest.raises(DataError, match=r"2 columns delimited by spaces or one column of words"):
        load(path)
    assert load(path, delimiter=" ").columns[1].categories == ("setosa", "virginica")
    assert load(path, delimiter=",").columns[0].categories == ("4.9 virginica", "5.1 setosa")
    tabs = write(tmp_path, "a\tb\n1\t2\n")
    np.testing.assert_array_equal(load(tabs, delimiter="\\t").train.x, [[1, 2]])


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_decimal_comma_is_recognised_where_commas_delimit_nothing(tmp_path, mark):
    rows = [["a", "b"], ["1,5", "2,250"], ["-0,25", "3"], ["1e2", "NULL"]]
    dataset = load(write(tmp_path, "\n".join(mark.join(row) for row in rows)))
    np.testing.assert_array_equal(dataset.train.x, [[1.5, 2.25], [-0.25, 3], [100, 0]])


@pytest.mark.parametrize(
    "rows", [["1,234;a", "2,500;b"], ["1,5;2.5", "2,5;3.5"]], ids=["thousands", "both"]
)
def test_a_comma_that_may_be_either_is_refused(tmp_path, rows):
    with pytest.raises(DataError, match="column 'x' looks like numbers, but is not written as"):
        load(write(tmp_path, "\n".join(["x;y", *rows])))


# ---- headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "Unnamed: 0", '""'])
@pytest.mark.parametrize("first", [0, 1])
def test_an_index_that_numbers_the_rows_is_passed_over(tmp_path, name, first):
    rows = "".join(f"{i + first},{v},x\n" for i, v in enumerate([2.5, 3.5, 4.5]))
    dataset = load(write(tmp_path, f"{name},a,b\n{rows}"))
    assert [c.name for c in dataset.columns] == ["a", "b"]
    np.testing.assert_array_equal(dataset.train.x[:, 0], [2.5, 3.5, 4.5])


def test_another_index_gets_a_name(tmp_path):
    dataset = load(write(tmp_path, ",a\n3,1\n7,2\n4,5\n"))
    assert [c.name for c in dataset.columns] == ["index", "a"]
    assert load(tmp_path / "t.csv", drop=["index"]).train.x.tolist() == [[1], [2], [5]]
    with pytest.raises(DataError, match="name 'index' is empty or not unique"):
        load(write(tmp_path, ",index\n3,1\n7,2\n"))
    with pytest.raises(DataError, match="name '' is empty or not unique"):
        load(write(tmp_path, "a,,b\n3,1,2\n7,2,5\n"))


def test_a_delimiter_at_the_end_of_every_line(tmp_path):
    dataset = load(write(tmp_path, "a,b,\n1,2,\n3,5,\n"))
    np.testing.assert_array_equal(dataset.train.x, [[1, 2], [3, 5]])


@pytest.mark.parametrize(
    "text",
    [
        "1,2\n3,4\n",
        "5.1,3.5,setosa\n4.9,3,virginica\n",
        "5,3,setosa\n4,2,setosa\n",
        "p,x\np,x\ne,s\n",
    ],
)
def test_a_first_line_of_values_is_not_taken_for_names(tmp_path, text):
    path = write(tmp_path, text)
    with pytest.raises(DataError, match="line 1 must name the columns, got .* header=False if"):
        load(path)
    dataset = load(path, header=False)
    assert len(dataset.train) == text.count("\n")
    assert [c.name for c in dataset.columns] == ["0", "1", "2"][: len(dataset.columns)]


def test_names_may_be_numbers(tmp_path):
    dataset = load(write(tmp_path, "country,2019,2020\nx,1,2\ny,3,4\n"))
    assert [c.name for c in dataset.columns] == ["country", "2019", "2020"]
    dataset = load(write(tmp_path, "0.25,0.75\n1,2\n3,4\n"), header=True)
    assert [c.name for c in dataset.columns] == ["0.25", "0.75"]


# ---- dates, booleans, codes, and what else is no number ------------------------------------------


@pytest.mark.parametrize(
    "date",
    ["2024-01-05", "2024/1/5", "5.1.2024", "01/05/2024", "01-05-24", "2024-01", "5 Jan 2024",
     "Jan 5, 2024", "2024-01-05T10:30:00Z", "2024-01-05 10:30:00.5+01:00", "10:30", "10:30:15 PM"],
)  # fmt: skip
def test_dates_and_times_are_refused(tmp_path, date):
    path = write(tmp_path, f'd,n\n"{date}",1\n"{date}",2\n')
    with pytest.raises(DataError) as raised:
        load(path)
    assert one_line(raised) == (
        f"'{path}', column 'd' holds dates or times ('{date}' in line 2, '{date}' in line 3): "
        "write numbers instead, such as days since the first, leave it out, drop=['d'], or take "
        "them for words, kinds={'d': 'category'}"
    )
    np.testing.assert_array_equal(load(path, drop=["d"]).train.x, [[1], [2]])
    assert load(path, kinds={"d": "category"}).columns[0].categories == (date,)


def test_booleans_are_two_categories_and_codes_are_numbers(tmp_path):
    dataset = load(write(tmp_path, "t,u,zip\ntrue,FALSE,01234\nfalse,TRUE,98765\n"))
    assert [c.categories for c in dataset.columns] == [("false", "true"), ("FALSE", "TRUE"), ()]
    np.testing.assert_array_equal(dataset.train.x, [[1, 0, 1234], [0, 1, 98765]])
    kept = load(tmp_path / "t.csv", kinds={"zip": "category"})
    assert kept.columns[2].categories == ("01234", "98765")


@pytest.mark.parametrize("cell", ["inf", "-inf", "Infinity", "NAN", "1e999"])
def test_a_number_that_is_not_finite(tmp_path, cell):
    with pytest.raises(DataError, match=f"line 14, column 'c': expected a finite .*, got '{cell}'"):
        load(write(tmp_path, column(cell)))


@pytest.mark.parametrize("form", ["{} kg", "name {}", "10.0.0.{}"])
def test_words_of_which_most_differ_are_no_category(tmp_path, form):
    words = [form.format(i % 41) for i in range(80)]
    path = write(tmp_path, "c\n" + "\n".join(words[:80]))
    with pytest.raises(DataError, match="column 'c' has 41 different words in 80 rows: leave it"):
        load(path)
    assert len(load(path, kinds={"c": "category"}).columns[0].categories) == 41
    few = write(tmp_path, "c\n" + "\n".join([*words, *words[:2]]))
    assert len(load(few).columns[0].categories) == 41
    several = write(tmp_path, "c\n" + "\n".join(words[:20]))
    assert len(load(several).columns[0].categories) == 20


def test_a_label_is_held_to_the_same_rule(tmp_path):
    path = write(tmp_path, "x,y\n" + "".join(f"{i},{i % 3 or 'zero'}\n" for i in range(9)))
    with pytest.raises(DataError, match=r"column 'y' is mostly numbers \(6 of 9\)"):
        load(path, label="y")
    label = load(path, label="y", kinds={"y": "category"}).train.extras["label"]
    np.testing.assert_array_equal(label, [2, 0, 1] * 3)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"kinds": {"aa": "number"}}, UnknownNameError, "no column 'aa'; did you mean 'a'?"),
        ({"kinds": {"a": "numbr"}}, UnknownNameError, "no kind is called 'numbr'; did you mean"),
        ({"drop": ["aa"]}, UnknownNameError, "no column 'aa'; did you mean 'a'?"),
        ({"kinds": {"a": "number"}, "drop": ["a"]}, ConfigError, "kinds names 'a', which is neith"),
        ({"kinds": {"a": "number"}, "columns": {"b": "number"}}, ConfigError, "columns give kinds"),
        ({"drop": ["a"], "columns": ["a"]}, ConfigError, "'a' is dropped and among columns or the"),
        ({"drop": ["a", "b"]}, ConfigError, "t.csv' has no columns left for x"),
        ({"columns": "a"}, ConfigError, "columns must be a list of names, got 'a'"),
        ({"delimiter": "::"}, ConfigError, "delimiter must be one character such as ';', got '::'"),
        ({"decimal": ";"}, ConfigError, "decimal must be '.' or ',', got ';'"),
        ({"thousands": "."  , "decimal": "."}, ConfigError, "thousands must be one character"),
        ({"thousands": "0"}, ConfigError, "thousands must be one character"),
        ({"header": 3}, ConfigError, "header must be True, False or None, got 3"),
    ],
)  # fmt: skip
def test_wrong_arguments(tmp_path, options, error, match):
    with pytest.raises(error) as raised:
        load(write(tmp_path, "a,b\n1,2\n3,4\n"), **options)
    assert match in one_line(raised)


def test_a_ragged_row_a_header_alone_and_a_folder(tmp_path):
    path = write(tmp_path, "a;b\n1,5;2\n3;4;5\n")
    with pytest.raises(DataError, match="line 3 has 3 cells, the header 2: .*delimited by ';'"):
        load(path)
    with pytest.raises(DataError, match="has no rows below its header"):
        load(write(tmp_path, "a;b\n"))
    with pytest.raises(MissingFileError, match="is a folder; expected a file"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"column 'b' has no values; leave it out, drop=\['b'\]"):
        load(write(tmp_path, "a,b\n1,NULL\n2,?\n"))


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "t.csv' is no text but compressed: gunzip it"),
        (b"PK\x03\x04\x14", "t.csv' is no text but a ZIP archive or an Excel workbook: .* as CSV"),
        ("a,b\n1,2\n".encode("utf-16"), "t.csv' is not UTF-8: byte 0xff at offset 0"),
    ],
    ids=["gzip", "zip", "utf-16"],
)
def test_what_is_no_text_is_named(tmp_path, data, match):
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(DataError, match=match):
        load(tmp_path / "t.csv")


def test_the_usual_markers_can_be_words(tmp_path):
    path = write(tmp_path, "basement,n\nNone,1\nfull,2\nNA,3\n")
    assert load(path).columns[0].categories == ("full",)
    kept = load(path, default_missing=False)
    assert kept.columns[0].categories == ("NA", "None", "full")
    assert kept.train.observed is None
