"""Convolutions as matrix products against XLA's own, and against sums written out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.ops import convolution as _convolution
from tests import fast

RNG = np.random.default_rng(0)
CASES = [
    (3, 1, (5, 6)),
    (3, 2, (5, 8)),
    (4, 1, (7, 4)),
    (4, 2, (7, 8)),
    (5, 3, (11, 1)),
    (1, 2, (5, 4)),
]


def draw(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def close(actual, expected):
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=0, atol=2e-6 * (1 + np.abs(e).max())),
        actual,
        expected,
    )


def summed(x, kernel, stride):
    """The convolution's formula in float64."""
    (height, width, _), (high, wide, _, out) = x.shape, kernel.shape
    rows, columns = -(-height // stride), -(-width // stride)
    low = [
        max((count - 1) * stride + k - n, 0) // 2
        for count, k, n in ((rows, high, height), (columns, wide, width))
    ]
    y = np.zeros((rows, columns, out))
    for i, j, a, b in np.ndindex(rows, columns, high, wide):
        row, column = stride * i + a - low[0], stride * j + b - low[1]
        if 0 <= row < height and 0 <= column < width:
            y[i, j] += x[row, column].astype(np.float64) @ kernel[a, b]
    return y


def with_gradients(convolve):
    """Value and gradients of a bent sum over a batch, the kernel shared."""

    def loss(x, kernel):
        y = jax.vmap(lambda x: convolve(x, kernel))(x)
        return jnp.sum(jnp.sin(y)), y

    return fast.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))


@pytest.mark.parametrize(("side", "stride", "size"), CASES)
def test_a_convolution_is_its_sum_on_both_paths(side, stride, size):
    x, kernel = draw(2, *size, 3), draw(side, side, 3, 2)
    forms = (_convolution.convolve, _convolution.convolve_natively)
    (_, y), gradients = with_gradients(functools.partial(forms[0], stride=stride))(x, kernel)
    native = with_gradients(functools.partial(forms[1], stride=stride))(x, kernel)
    close(((None, y), gradients), ((None, native[0][1]), native[1]))
    close(y, np.stack([summed(image, kernel, stride) for image in x]))


@pytest.mark.parametrize("out", [1, 6])  # fewer numbers a block than channels, and more
@pytest.mark.parametrize(("side", "stride", "size"), CASES)
def test_a_transposed_convolution_is_the_transpose_on_both_paths(side, stride, size, out):
    rows, columns = _convolution.pyramid(size, stride, 1)[-1]
    x, kernel = draw(2, rows, columns, 5), draw(side, side, 5, out)
    options = {"size": size, "stride": stride}
    form = functools.partial(_convolution.convolve_transposed, **options)
    native = functools.partial(_convolution.transposed_natively, **options)
    (_, y), gradients = with_gradients(form)(x, kernel)
    (_, expected), expected_gradients = with_gradients(native)(x, kernel)
    close((y, gradients), (expected, expected_gradients))
    assert y.shape == (2, *size, out)
    flipped = kernel[::-1, ::-1].transpose(0, 1, 3, 2)  # lax lays a transposed kernel out so
    transpose = jax.linear_transpose(lambda y: summed_by_lax(y, flipped, stride), y[0])
    close(y[0], transpose(jnp.asarray(x[0]))[0])


def summed_by_lax(x, kernel, stride):
    layout = ("NHWC", "HWIO", "NHWC")
    strides = (stride, stride)
    return jax.lax.conv_general_dilated(x[None], kernel, strides, "SAME", dimension_numbers=layout)[
        0
    ]


@pytest.mark.parametrize(("side", "stride"), [(3, 1), (3, 2), (4, 1), (4, 2), (5, 2)])
def test_where_sizes_divide_it_is_laxs_transposed_convolution(side, stride):
    x, kernel = draw(3, 4, 2), draw(side, side, 2, 3)
    size = (3 * stride, 4 * stride)
    y = _convolution.convolve_transposed(x, kernel, size, stride)
    close(y, jax.lax.conv_transpose(x[None], kernel, (stride, stride), "SAME")[0])


def test_a_device_loop_and_a_batch_give_the_same():
    x, kernel = jnp.asarray(draw(3, 7, 5, 2)), jnp.asarray(0.1 * draw(4, 4, 2, 2))

    def body(convolve, transpose, _, state):
        x, kernel = state

        def loss(x, kernel):
            there = jax.vmap(lambda x: convolve(x, kernel, stride=2))(x)
            back = jax.vmap(lambda y: transpose(y, kernel, size=(7, 5), stride=2))(there)
            return jnp.sum(jnp.cos(back))

        step = jax.grad(loss, (0, 1))(x, kernel)
        return jax.tree.map(lambda v, g: v - 0.01 * g, state, step)

    def loop(*forms):
        step = functools.partial(body, *forms)
        return fast.jit(lambda state: jax.lax.fori_loop(0, 3, step, state))((x, kernel))

    chosen = loop(_convolution.convolve, _convolution.convolve_transposed)
    native = loop(_convolution.convolve_natively, _convolution.transposed_natively)
    close(chosen, native)
    assert all(np.abs(new - old).max() > 1e-3 for new, old in zip(chosen, (x, kernel), strict=True))


def test_a_batch_is_one_matrix_product_on_cpu_and_one_convolution_elsewhere():
    x, kernel = jnp.zeros((8, 28, 28, 1)), jnp.zeros((4, 4, 1, 32))
    run = jax.jit(jax.vmap(lambda x, kernel: _convolution.convolve(x, kernel, 2), (0, None)))
    on = lambda platform: run.trace(x, kernel).lower(lowering_platforms=(platform,)).as_text()
    assert on("cpu").count("dot_general") == 1
    assert "convolution" not in on("cpu")
    for platform in ("cuda", "tpu"):
        assert on(platform).count("stablehlo.convolution") == 1
        assert "dot_general" not in on(platform)


def test_a_forward_derivative_is_the_reverse_one():
    x, kernel, direction = draw(5, 7, 2), draw(4, 4, 2, 3), draw(5, 7, 2)
    convolve = lambda x: _convolution.convolve(x, kernel, 2)
    y, along = jax.jvp(convolve, (x,), (direction,))
    back = jax.vjp(convolve, x)[1](y)[0]
    np.testing.assert_allclose(np.vdot(along, y), np.vdot(back, direction), rtol=1e-5)


def test_a_pyramid_halves_upwards():
    assert _convolution.pyramid((37, 53), 2, 3) == [(37, 53), (19, 27), (10, 14), (5, 7)]
