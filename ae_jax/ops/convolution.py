"""Convolutions of one image: XLA's own on accelerators, matrix products on CPU, the same numbers.

XLA:CPU convolves slowly, and in a device loop some forty times slower than the machine can. There a
convolution of stride s is: cut the image into s × s blocks, join the blocks under the kernel, one
matrix product; a transposed one is one matrix product whose blocks are added where they overlap.
`jax.lax.platform_dependent` chooses when a program is lowered, so that ahead-of-time compilation
for an accelerator on a CPU machine gets the native form. Under vmap both stay one operation over
the whole batch.

Sizes: a convolution takes n positions to ⌈n / s⌉ (padding "SAME" in JAX's words) and a transposed
one takes ⌈n / s⌉ back to any such n, with the padding of that convolution cropped. `pyramid` lists
the sizes in between, so that a decoder retraces the encoder's and ends at any size exactly.
"""

import functools

import jax
import jax.numpy as jnp
from jax import Array

from ae_jax.ops import dense

_LAYOUT = ("NHWC", "HWIO", "NHWC")
MANY = 1.4  # blocks a position: at 1.56 the shorter product gains a quarter, at 1.27 it loses 8%


def pyramid(size: tuple[int, int], stride: int, levels: int) -> list[tuple[int, int]]:
    """Heights and widths before and after each of `levels` convolutions: `levels + 1` pairs."""
    sizes = [size]
    for _ in range(levels):
        height, width = sizes[-1]
        sizes.append((-(-height // stride), -(-width // stride)))
    return sizes


def convolve(x: Array, kernel: Array, stride: int = 1) -> Array:
    """y[i, j, o] = Σ x[s i + a - p, s j + b - q, c] kernel[a, b, c, o], x zero outside its bounds.

    Args:
      x: `[H, W, C]`.
      kernel: `[h, w, C, O]`, of x's dtype.
      stride: s.

    Returns:
      `[⌈H / s⌉, ⌈W / s⌉, O]`.
    """
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=functools.partial(convolve_as_product, stride=stride),
        default=functools.partial(convolve_natively, stride=stride),
    )


def convolve_transposed(x: Array, kernel: Array, size: tuple[int, int], stride: int = 1) -> Array:
    """y[s i + h - 1 - a - p, s j + w - 1 - b - q, o] = Σ x[i, j, c] kernel[a, b, c, o].

    The kernel lies as in `jax.lax.conv_transpose`; p and q are the padding of the convolution that
    takes `size` to x's.

    Args:
      x: `[⌈H / s⌉, ⌈W / s⌉, C]`.
      kernel: `[h, w, C, O]`, of x's dtype.
      size: H and W.
      stride: s.

    Returns:
      `[H, W, O]`.
    """
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=functools.partial(transposed_as_product, size=size, stride=stride),
        default=functools.partial(transposed_natively, size=size, stride=stride),
    )


def _padding(size: int, kernel: int, stride: int) -> int:
    """The zeros before the first position of `size`, as "SAME" has them."""
    return max((-(-size // stride) - 1) * stride + kernel - size, 0) // 2


def convolve_natively(x: Array, kernel: Array, stride: int) -> Array:
    """`convolve` by XLA's convolution."""
    strides = (stride, stride)
    y = jax.lax.conv_general_dilated(x[None], kernel, strides, "SAME", dimension_numbers=_LAYOUT)
    return y[0]


def transposed_natively(x: Array, kernel: Array, size: tuple[int, int], stride: int) -> Array:
    """`convolve_transposed` by XLA's convolution."""
    pads = []
    for n, before, k in zip(size, x.shape, kernel.shape, strict=False):
        low = k - 1 - _padding(n, k, stride)
        pads.append((low, n + k - 2 - (before - 1) * stride - low))
    dilation = (stride, stride)
    y = jax.lax.conv_general_dilated(
        x[None], kernel, (1, 1), pads, lhs_dilation=dilation, dimension_numbers=_LAYOUT
    )
    return y[0]


def convolve_as_product(x: Array, kernel: Array, stride: int) -> Array:
    """`convolve` by one matrix product."""
    weights = _blocks(kernel, stride)
    pads, blocks = [], []
    for n, k in zip(x.shape[:2], kernel.shape[:2], strict=True):
        low, count = _padding(n, k, stride), -(-n // stride) + -(-k // stride) - 1
        pads.append((low, count * stride - n - low))
        blocks.append(count)
    x = jnp.pad(x, (*pads, (0, 0))).reshape(blocks[0], stride, blocks[1], -1)
    x = x.transpose(0, 2, 1, 3)
    return dense.product(_windows(x, weights.shape[:2]), weights.reshape(-1, kernel.shape[-1]))


def transposed_as_product(x: Array, kernel: Array, size: tuple[int, int], stride: int) -> Array:
    """`convolve_transposed` by one matrix product.

    Every position of x becomes a window of blocks, which overlap. They are added after the product
    where a block is smaller than x's channels or a small x has many more blocks than positions,
    else before it, as the windows of x that reach one block.
    """
    weights, channels = _blocks(kernel[::-1, ::-1], stride), x.shape[-1]
    high, wide, block = *weights.shape[:2], stride * stride * kernel.shape[-1]
    blocks = (x.shape[0] + high - 1) * (x.shape[1] + wide - 1)
    if block < channels or blocks > MANY * x.shape[0] * x.shape[1]:
        y = dense.product(x, weights.transpose(4, 0, 1, 2, 3, 5).reshape(channels, -1))
        parts = y.reshape(*x.shape[:2], high * wide, stride, -1)
        parts = iter(jnp.split(parts, high * wide, axis=2))  # its transpose is one concatenation
        padded = [
            jnp.pad(next(parts)[:, :, 0], ((a, high - 1 - a), (b, wide - 1 - b), (0, 0), (0, 0)))
            for a in range(high)
            for b in range(wide)
        ]
        y = functools.reduce(jnp.add, padded)
    else:
        x = jnp.pad(x, ((high - 1, high - 1), (wide - 1, wide - 1), (0, 0)))
        weights = weights[::-1, ::-1].transpose(0, 1, 4, 2, 3, 5)
        y = dense.product(_windows(x, (high, wide)), weights.reshape(-1, block))
        y = y.reshape(*y.shape[:2], stride, -1)
    y = y.transpose(0, 2, 1, 3)
    y = y.reshape(y.shape[0] * stride, y.shape[2] * stride, -1)
    top, left = (_padding(n, k, stride) for n, k in zip(size, kernel.shape[:2], strict=True))
    return y[top : top + size[0], left : left + size[1]]


def _blocks(kernel: Array, stride: int) -> Array:
    """`[h, w, C, O]`, with zeros appended, as blocks `[⌈h / s⌉, ⌈w / s⌉, s, s, C, O]`."""
    height, width, *channels = kernel.shape
    high, wide = -(-height // stride), -(-width // stride)
    pads = ((0, high * stride - height), (0, wide * stride - width), (0, 0), (0, 0))
    kernel = jnp.pad(kernel, pads).reshape(high, stride, wide, stride, *channels)
    return kernel.transpose(0, 2, 1, 3, 4, 5)


def _windows(x: Array, size: tuple[int, ...]) -> Array:
    """`[h, w, …]` to every window of `size`, its positions side by side on the last axis.

    The axes are joined last: XLA:CPU copies fastest where the innermost loop is one of them.
    """
    (high, wide), (height, width) = size, x.shape[:2]
    rows, columns = height - high + 1, width - wide + 1
    shifted = [x[a : a + rows, b : b + columns] for a in range(high) for b in range(wide)]
    return jnp.stack(shifted, axis=2).reshape(rows, columns, -1)
