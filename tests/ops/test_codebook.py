"""Large codebooks: the same codes and sums as of small ones, in other programs on CPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.bottlenecks import _codebook
from ae_jax.ops import codebook
from tests import fast
from tests.reference import quantization as reference

RNG = np.random.default_rng(0)
D = 3


def drawn(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def exact_nearest(vectors, codes):
    """In double precision, the first of several."""
    apart = np.sum((vectors[..., None, :].astype(np.float64) - codes) ** 2, axis=-1)
    return np.argmin(apart, axis=-1)


@pytest.mark.parametrize("codes", [codebook.BLOCK, codebook.BLOCK + 1, 2 * codebook.BLOCK, 2_500])
@pytest.mark.parametrize("positions", [(), (5,), (3, 2)])
def test_blocks_of_codes_have_the_nearest_of_all(codes, positions):
    vectors, codes = drawn(*positions, D), drawn(codes, D)
    got = fast.jit(codebook.nearest)(vectors, codes)
    assert got.dtype == jnp.int32
    np.testing.assert_array_equal(got, exact_nearest(vectors, codes))
    np.testing.assert_array_equal(got, codebook._at_once(jnp.asarray(vectors), jnp.asarray(codes)))


def test_a_tie_between_blocks_goes_to_the_lower_number():
    codes = np.full((3 * codebook.BLOCK, 1), 9.0, np.float32)
    codes[[codebook.BLOCK - 1, codebook.BLOCK, 2 * codebook.BLOCK + 7]] = 1.0
    got = fast.jit(codebook.nearest)(np.float32([[1.2], [8.0]]), codes)
    assert got.tolist() == [codebook.BLOCK - 1, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_not_finite_still_get_a_number(bad):
    vectors = np.full((2, D), bad, np.float32)
    got = np.asarray(fast.jit(codebook.nearest)(vectors, drawn(2_500, D)))
    assert got.min() >= 0
    assert got.max() < 2_500


@pytest.mark.parametrize("size", [7, codebook.BLOCK + 1])
def test_sums_by_number_are_those_of_numpy_over_examples_too(size):
    features, codes = drawn(4, 6, D), drawn(size, D)
    numbers = exact_nearest(features, codes)
    each = functools.partial(_codebook.sums_of, size=size)
    by_example = fast.jit(jax.vmap(each))(features, codes[numbers], numbers)
    got = jax.tree.map(lambda leaf: np.sum(leaf, axis=0), by_example)
    counts, sums, errors = reference.sums(features, codes)
    np.testing.assert_array_equal(got["counts"], counts)
    np.testing.assert_allclose(got["sums"], sums, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got["errors"], errors, rtol=1e-4, atol=1e-6)


def test_accelerators_keep_the_product_with_one_hot_rows_whose_order_is_fixed():
    many = codebook.BLOCK + 1
    args = jnp.ones((6, D)), jnp.zeros(6, jnp.int32)
    fn = jax.jit(lambda rows, numbers: codebook.sums_by_number(rows, numbers, many))
    text = lambda platform: fn.trace(*args).lower(lowering_platforms=(platform,)).as_text()
    assert "scatter" in text("cpu")
    assert "scatter" not in text("cuda")
    assert "dot_general" in text("cuda")
