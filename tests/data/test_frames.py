"""Tables with named columns: numbers as they are, columns matched by name."""

import numpy as np
import pytest

import ae_jax as ae
from ae_jax.data import given, matching
from ae_jax.errors import DataError
from ae_jax.types import Column
from tests import small, untrained
from tests.frames import MAKERS, Frame

A, B = np.arange(4.0), np.arange(4) * 10
AB = (Column("a", "number"), Column("b", "number"))


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


def test_a_table_of_numbers_keeps_the_names_of_its_columns(make):
    found = given.take(make({"a": A, "b": B}))
    np.testing.assert_array_equal(found.x, np.stack([A, B], 1))
    assert found.columns == AB
    dataset = ae.data.from_arrays(make({"a": A, "b": B}), test_fraction=0.0)
    assert dataset.columns == AB
    assert ae.spec_of(dataset) == ae.Spec((2,), "real", columns=AB)


def test_a_table_is_treated_as_its_numbers_are(make):
    x = small.arrays()
    names = [f"c{i}" for i in range(x.shape[1])]
    table = make(dict(zip(names, x.T, strict=True)))
    by_name, plain = ae.data.as_dataset(table), ae.data.as_dataset(x)
    np.testing.assert_array_equal(
        by_name.train.read(np.arange(9)).x, plain.train.read(np.arange(9)).x
    )
    spec = ae.spec_of(by_name)
    assert spec._replace(columns=None) == ae.spec_of(plain)
    assert [column.name for column in spec.columns or ()] == names


def test_what_nullable_types_miss_is_missing(make):
    objects = np.array([1.0, None, 3.0, None], object)
    found = given.take(make({"a": A, "b": objects}))
    np.testing.assert_array_equal(found.x, np.stack([A, [1, 0, 3, 0]], 1))
    np.testing.assert_array_equal(found.observed, [[1, 1], [1, 0], [1, 1], [1, 0]])


REFUSED = [
    ({"a": A, "city": np.array(["Oslo", "Rome", "Lima", "Bern"])}, "column 'city' .* 'Oslo'"),
    ({"a": A, "city": np.array(["Oslo", None, 1, 2.0], object)}, "'city' .* dtype object.*'Oslo'"),
    ({"a": A, "day": np.array(["2020-01-01"] * 4, "M8[ns]")}, "'day' .* dtype datetime64"),
    ({"a": A, "z": A + 1j}, "column 'z' of the data has dtype complex128"),
]


@pytest.mark.parametrize(
    ("columns", "message"), REFUSED, ids=["words", "mixed", "times", "complex"]
)
def test_a_column_that_holds_no_numbers_is_named_with_its_dtype(columns, message, make):
    with pytest.raises(DataError, match=message) as caught:
        ae.data.from_arrays(make(columns))
    assert "\n" not in str(caught.value)


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(DataError, match="several columns called 'a'"):
        given.take(Frame({"a": A}, names=["a", "a"]))


def test_a_column_alone_says_what_an_example_is(make):
    with pytest.raises(DataError, match=r"\[n, \*event\], got shape \(4,\); one example is"):
        ae.data.from_arrays(make({"a": A})["a"])


def test_columns_are_matched_by_name_with_their_masks():
    observed = np.array([[1, 0], [1, 1], [0, 1], [1, 1]], bool)
    part = ae.data.Arrays(np.stack([B, A], 1), {"y": B}, observed, columns=AB[::-1])
    found = matching.matched(part, AB)
    np.testing.assert_array_equal(found.x, np.stack([A, B], 1))
    np.testing.assert_array_equal(found.observed, observed[:, ::-1])
    np.testing.assert_array_equal(found.extras["y"], B)


def test_what_is_in_order_or_has_no_names_stays_what_it_is():
    for part in (ae.data.Arrays(np.stack([A, B], 1)), ae.data.Arrays(A[:, None], columns=AB[:1])):
        assert matching.matched(part, None) is part
        assert matching.matched(part, part.columns or AB) is part


def test_missing_and_unknown_columns_are_named_with_the_nearest():
    part = ae.data.Arrays(np.stack([A, B], 1), columns=(AB[0], Column("bb", "number")))
    message = r"lack the column\(s\) 'b' and have the unknown column\(s\) 'bb' .*'bb'\?"
    with pytest.raises(DataError, match=message):
        matching.matched(part, AB)


def category(*words):
    return (Column("colour", "category", words),)


def test_codes_of_categories_are_those_of_training():
    part = ae.data.Arrays(np.array([[0.0], [1.0], [0.0]]), columns=category("blue", "red"))
    found = matching.matched(part, category("amber", "blue", "green", "red"))
    np.testing.assert_array_equal(found.x, [[1], [3], [1]])


def test_a_category_that_training_did_not_hold_is_refused():
    part = ae.data.Arrays(np.array([[0.0], [1.0]]), columns=category("blue", "rod"))
    with pytest.raises(DataError, match="'colour' of the data holds 'rod', .*mean 'red'"):
        matching.matched(part, category("blue", "red"))
    unused = ae.data.Arrays(np.array([[0.0], [0.0]]), columns=category("blue", "rod"))
    np.testing.assert_array_equal(matching.matched(unused, category("red", "blue")).x, [[1], [1]])


def test_a_number_in_place_of_a_category_is_refused():
    part = ae.data.Arrays(A[:, None], columns=(Column("colour", "number"),))
    with pytest.raises(
        DataError, match="'colour' of the data is a number, but a category in train"
    ):
        matching.matched(part, category("blue", "red"))


def test_numbers_of_a_table_that_were_a_category_in_training_are_its_words(make):
    columns = (*AB[:1], *category("10", "20", "30"))
    found = given.take(make({"colour": np.array([30, 10, 20, 30]), "a": A}), columns=columns)
    assert found.columns[0].kind == "category"
    np.testing.assert_array_equal(found.x[:, 0], [2, 0, 1, 2])
    with pytest.raises(DataError, match="'colour' of the data holds '0' in row 1, which is none"):
        given.take(make({"colour": np.array([30, 0, 20, 30]), "a": A}), columns=columns)


def test_words_of_a_table_become_the_codes_of_training(make):
    words = np.array(["red", "blue", "red", "red"], object)
    columns = (*AB[:1], *category("amber", "blue", "red"))
    found = given.take(make({"colour": words, "a": A}), columns=columns)
    np.testing.assert_array_equal(found.x[:, 0], [2, 1, 2, 2])
    with pytest.raises(DataError, match="'colour' of the data holds 'rot' in row 1"):
        given.take(make({"colour": np.array(["red", "rot"], object)}), columns=columns)


# ---- a run ---------------------------------------------------------------------------------------

ROWS = "length,colour,weight\n" + "".join(
    f"{i},{'red' if i % 3 else 'blue'},{i * i % 17}\n" for i in range(60)
)
TURNED = "weight,length,colour\n" + "".join(
    f"{i * i % 17},{i},{'red' if i % 3 else 'blue'}\n" for i in range(60)
)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    (folder / "a.csv").write_text(ROWS)
    (folder / "b.csv").write_text(TURNED)
    return [ae.data.load(f"csv:{folder / name}") for name in ("a.csv", "b.csv")]


@pytest.fixture(scope="module")
def run(tables):
    network = ae.networks.mlp((8,))
    recipe = ae.recipes.autoencoder(2, encoder=network, decoder=network)
    return untrained.run_of(recipe, ae.data.as_dataset(tables[0], tables[1].test))


def test_a_file_whose_columns_are_in_another_order_gives_the_same_codes(run, tables):
    a, b = (table.test for table in tables)
    trained = ae.data.as_dataset(tables[0], tables[1].test).test
    np.testing.assert_array_equal(trained.read(np.arange(3)).x, a.read(np.arange(3)).x)
    assert (a.read(np.arange(1)).x != b.read(np.arange(1)).x).any()
    np.testing.assert_array_equal(run.encode(a), run.encode(b))
    assert run.evaluate(a) == run.evaluate(b)


def test_a_table_whose_columns_are_in_another_order_gives_the_same_codes(run, tables, make):
    x = np.asarray(tables[0].test.read(np.arange(3)).x)
    columns = {c.name: x[:, i] for i, c in enumerate(tables[0].columns)}
    columns["colour"] = np.array(["blue", "red"], object)[columns["colour"].astype(int)]
    turned = {name: columns[name] for name in ("colour", "weight", "length")}
    np.testing.assert_array_equal(run.encode(make(turned)), run.encode(x))
    with pytest.raises(
        DataError, match=r"input data lack the column\(s\) 'weight' of the training"
    ):
        run.encode(make({name: columns[name] for name in ("colour", "length")}))


def test_errors_of_a_run_speak_of_its_input(run, tables):
    x = np.array(tables[0].test.read(np.arange(3)).x)
    x[1, 2] = np.nan
    with pytest.raises(DataError, match="the input data hold 1 value.* nan at") as caught:
        run.encode(x)
    assert "training" not in str(caught.value)
    with pytest.raises(DataError, match="the input data are empty"):
        run.encode(x[:0])
    with pytest.raises(DataError, match="input data must be an array .* got None"):
        run.encode(None)


def test_observed_goes_with_a_pair_and_not_with_what_says_it_itself(run, tables):
    x = np.array(tables[0].test.read(np.arange(3)).x)
    observed = np.ones(x.shape, bool)
    observed[1, 0] = False
    want = run.encode(x, observed=observed)
    np.testing.assert_array_equal(run.encode((x, {"y": np.arange(3)}), observed=observed), want)
    for part in (ae.data.Arrays(x), ae.data.Records(x)):
        name = type(part).__name__
        with pytest.raises(DataError, match=f"input data are a {name}, which says itself"):
            run.encode(part, observed=observed)


def test_a_run_takes_masked_arrays_as_what_is_missing(run, tables):
    x = np.array(tables[0].test.read(np.arange(3)).x)
    mask = np.zeros(x.shape, bool)
    mask[0, 0] = mask[2, 2] = True
    masked = np.ma.array(np.where(mask, 1e30, x), mask=mask)
    for use in (run.encode, run.reconstruct):
        np.testing.assert_array_equal(use(masked), use(x, observed=~mask))
        assert (use(masked) != use(x)).any()
