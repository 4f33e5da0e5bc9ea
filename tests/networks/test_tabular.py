"""Tables of numbers and categories."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.networks.tabular import embedding_width
from tests import fast
from tests.networks import checks

COLUMNS = (0, 3, 0, 7)
ROW = np.float32([0.5, 2, -1.5, 4])


def test_numbers_and_embeddings_go_through_an_mlp():
    network = ae.networks.tabular(COLUMNS, hidden=(8,), activation="tanh")
    coder, params, state = checks.initialised(network, ROW, (2, 3))
    tables = [np.asarray(params[f"column_{i}"]["embedding"]) for i in (1, 3)]
    assert [table.shape for table in tables] == [(4, 2), (8, 4)]  # one row more: missing
    y, activations, _ = fast.jit(coder.apply)(params, state, ROW)
    features = np.concatenate([ROW[[0, 2]], [0, 0], tables[0][2], tables[1][4]])
    layer = lambda name, h: h @ params["mlp"][name]["kernel"] + params["mlp"][name]["bias"]
    hidden = np.tanh(layer("dense_0", features))
    np.testing.assert_allclose(activations["mlp/hidden_0"], hidden, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y, layer("output", hidden).reshape(2, 3), rtol=1e-5, atol=1e-5)


def test_missing_entries_have_embeddings_of_their_own():
    network = ae.networks.tabular(COLUMNS, hidden=(), embedding=5)
    coder, params, state = checks.initialised(network, ROW, (3,))
    run = fast.jit(lambda x, seen: coder.apply(params, state, x, observed=seen)[0])
    kernel, everything = params["mlp"]["output"]["kernel"], np.ones(4, bool)
    y = run(ROW, everything)
    np.testing.assert_array_equal(coder.apply(params, state, ROW)[0].shape, y.shape)

    seen = np.array([False, True, True, True])
    expected = y - ROW[0] * kernel[0] + kernel[2]
    np.testing.assert_allclose(run(ROW, seen), expected, atol=1e-5)
    np.testing.assert_array_equal(run(np.float32([9, *ROW[1:]]), seen), run(ROW, seen))

    seen, table = np.array([True, False, True, True]), params["column_1"]["embedding"]
    expected = y + (table[3] - table[2]) @ kernel[4:9]
    np.testing.assert_allclose(run(ROW, seen), expected, atol=1e-5)
    for unknown in (-1, 3, 99):
        row = np.float32([0.5, unknown, -1.5, 4])
        np.testing.assert_array_equal(run(row, everything), run(ROW, seen))


def test_categories_alone_and_numbers_alone():
    for columns in ((2,), (0,), (0, 0)):
        network = ae.networks.tabular(columns, hidden=(4,))
        assert checks.emitted(network, (len(columns),), (3, 2)).shape == (3, 2)


@pytest.mark.parametrize(("classes", "width"), [(1, 1), (2, 1), (7, 4), (99, 50), (10_000, 50)])
def test_the_width_of_embeddings(classes, width):
    assert embedding_width(classes) == width


@pytest.mark.parametrize("shape", [(), (3,), (4, 1)])
def test_other_rows_are_refused(shape):
    network = ae.networks.tabular(COLUMNS)
    with pytest.raises(ae.errors.ShapeError, match=r"4 columns takes rows of shape \(4,\), got"):
        checks.emitted(network, shape, (2,))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"columns": ()}, r"columns must say 0 or the number of classes of each, got \(\)"),
        ({"columns": (0, -1)}, "got -1 for column 1"),
        ({"columns": (2.0,)}, r"got 2\.0 for column 0"),
        ({"embedding": 0}, "embedding must be a positive whole number, got 0"),
        ({"hidden": (0,)}, "hidden must be a positive whole number, got 0"),
        ({"dropout": 2}, r"dropout must lie in \[0, 1\), got 2"),
    ],
)
def test_options_out_of_range(options, match):
    with pytest.raises(ae.errors.ConfigError, match=match):
        ae.networks.tabular(**({"columns": COLUMNS} | options))


def test_gradients_reach_the_rows_that_were_looked_up_alone():
    coder, params, state = checks.initialised(ae.networks.tabular(COLUMNS, (4,)), ROW, (2,))
    loss = lambda params: jnp.sum(jnp.sin(coder.apply(params, state, ROW)[0]))
    gradient = fast.jit(jax.grad(loss))(params)
    touched = np.asarray(jnp.any(gradient["column_3"]["embedding"] != 0, axis=-1))
    np.testing.assert_array_equal(touched, np.arange(8) == 4)


@pytest.mark.slow
def test_contract():
    network = ae.networks.tabular((0, 3, 0), hidden=(8,), normalisation="batch", dropout=0.1)
    coder = checks.wrapped(network.bind((4,)), lambda x: (x.at[1].set(jnp.round(2 * x[1])), {}))
    checks.check_coder(coder, input_shape=(3,))
