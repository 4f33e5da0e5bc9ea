"""What is chosen from the data alone: preprocessing, spec, likelihood and networks."""

import numpy as np
import pytest

import ae_jax as ae
from ae_jax.data import Arrays, Dataset, preprocessing
from ae_jax.data.spec import choose_preprocessing, display_range
from ae_jax.recipes.defaults import choose
from ae_jax.types import Column

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 4, 4)).astype(np.uint8)
BITS = RNG.integers(0, 2, (20, 4, 4))
UNIT = RNG.random((20, 4)).astype(np.float32)
REAL = RNG.normal(size=(20, 4)).astype(np.float32) * [1, 1, 1, 50]
CONSTANT = np.concatenate([REAL, np.full((20, 1), 7.5)], axis=1).astype(np.float32)
SERIES = (10 * RNG.normal(size=(20, 5, 3)) + 3).astype(np.float32)


def dataset_of(x, value_range=None):
    return Dataset(Arrays(x), Arrays(x[:0]), value_range=value_range)


@pytest.mark.parametrize(
    ("x", "name", "arguments"),
    [
        pytest.param(GREY, "scale", {"low": 0.0, "high": 255.0}, id="uint8"),
        pytest.param(BITS.astype(np.uint8), "scale", {"low": 0.0, "high": 1.0}, id="binary-uint8"),
        pytest.param(BITS.astype(bool), "none", {}, id="bool"),
        pytest.param(BITS.astype(np.float32), "none", {}, id="binary-float"),
        pytest.param(UNIT, "none", {}, id="unit"),
        pytest.param(np.float32([[0.5, 1.0001]]), "standardise", None, id="beyond-unit"),
        pytest.param(REAL, "standardise", None, id="real"),
        pytest.param(GREY.astype(np.int64), "standardise", None, id="int64"),
    ],
)
def test_preprocessing_follows_the_kind_of_data(x, name, arguments):
    node = choose_preprocessing(dataset_of(x)).node
    assert node.name == name
    if arguments is not None:
        assert dict(node.kwargs) == arguments


def test_a_declared_range_wins():
    x = np.minimum(GREY, 16)
    node = choose_preprocessing(dataset_of(x, (0.0, 16.0))).node
    assert dict(node.kwargs) == {"low": 0.0, "high": 16.0}
    assert display_range(dataset_of(x, (0.0, 16.0))) == (0.0, 16.0)


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1e-6, 0), (1, 1e5)])
def test_tables_are_standardised_a_feature(scale, offset):
    x = REAL.astype(np.float64) * scale + offset
    y = np.asarray(choose_preprocessing(dataset_of(x)).apply(x))
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-2)
    np.testing.assert_allclose(y.std(0), 1, rtol=2e-2)


def test_a_constant_column_is_centred_and_keeps_its_unit():
    chosen = choose_preprocessing(dataset_of(CONSTANT))
    arguments = dict(chosen.node.kwargs)
    assert (arguments["mean"][-1], arguments["std"][-1]) == (7.5, 1.0)
    y = np.asarray(chosen.apply(CONSTANT))
    np.testing.assert_array_equal(y[:, -1], 0)
    assert np.isfinite(y).all()


def test_everything_else_is_standardised_as_one():
    chosen = choose_preprocessing(dataset_of(SERIES))
    arguments = dict(chosen.node.kwargs)
    np.testing.assert_allclose(arguments["mean"], SERIES.mean(), rtol=1e-6)
    np.testing.assert_allclose(arguments["std"], SERIES.std(), rtol=1e-6)


def test_statistics_are_those_of_the_training_split():
    dataset = Dataset(Arrays(REAL), Arrays(REAL + 1000))
    np.testing.assert_allclose(
        dict(choose_preprocessing(dataset).node.kwargs)["mean"], REAL.mean(0), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (BITS.astype(np.uint8), "binary"),
        (BITS.astype(bool), "binary"),
        (BITS.astype(np.float32), "binary"),
        (255 * BITS.astype(np.uint8), "binary"),
        (GREY, "real"),
        (UNIT, "real"),
        (REAL, "real"),
    ],
)
def test_the_spec_tells_binary_from_real_after_preprocessing(x, kind):
    assert ae.spec_of(dataset_of(x)) == ae.Spec(x.shape[1:], kind)


def test_one_grey_value_anywhere_makes_data_real():
    x = np.zeros((9000, 1), np.float32)
    x[8500] = 0.5
    assert ae.spec_of(dataset_of(x)).kind == "real"
    x[8500] = 1.0
    assert ae.spec_of(dataset_of(x)).kind == "binary"


def test_the_spec_of_an_array_under_a_given_preprocessing():
    threshold = preprocessing.Preprocessing(
        lambda x, draws=None, train=False: (x > 127) * 1.0, lambda x: x * 255.0
    )
    assert ae.spec_of(GREY, threshold).kind == "binary"
    assert ae.spec_of(GREY).event_shape == (4, 4)


def test_binary_data_get_the_bernoulli_and_real_data_a_learned_gaussian():
    binary, real = (choose(ae.Spec((4,), kind)) for kind in ("binary", "real"))
    assert binary["likelihood"].node.name == "bernoulli"
    learned = {"name": "gaussian", "variance": "global", "scale": 1.0}
    assert real["likelihood"].node.to_dict() == learned | {"least": 0.5}
    image = choose(ae.Spec((4, 4, 1), "real"))
    assert image["likelihood"].node.to_dict() == learned | {"least": None}
    assert {"encoder", "decoder"} < set(real)


def test_rows_of_numbers_get_tanh_networks_and_all_else_what_it_had():
    table = ae.Spec((2,), "table", None, (Column("a", "number"), Column("b", "count")))
    for spec in (ae.Spec((4,), "real"), ae.Spec((4,), "count"), table):
        for part in ("encoder", "decoder"):
            node = choose(spec)[part].node.to_dict()
            assert (node["hidden"], node["activation"]) == ((128, 128), "tanh")
    for spec in (ae.Spec((4, 4, 1), "real"), ae.Spec((4, 2), "series"), ae.Spec((4,), "binary")):
        for part in ("encoder", "decoder"):
            node = choose(spec)[part].node.to_dict()
            assert (node["hidden"], node["activation"]) == ((512,), "relu")


def test_numbers_of_a_table_have_unit_variance_where_the_code_is_a_point():
    table = ae.Spec((2,), "table", None, (Column("a", "number"), Column("b", "count")))
    number = lambda bottleneck: choose(table, bottleneck)["likelihood"].node.to_dict()["columns"]
    assert number(ae.bottlenecks.identity(2))[0][0]["variance"] == "fixed"
    assert number(ae.bottlenecks.gaussian(2))[0][0]["least"] == 0.5


@pytest.mark.parametrize(
    ("x", "expected"),
    [(GREY, (0.0, 255.0)), (BITS.astype(np.uint8), (0.0, 1.0)), (np.float32([[-2], [3]]), (-2, 3))],
)
def test_figures_show_the_whole_range(x, expected):
    assert display_range(dataset_of(x)) == expected
