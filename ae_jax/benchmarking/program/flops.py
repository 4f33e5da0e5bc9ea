"""Model FLOPs: matrix products and convolutions of a program, counted over its loops.

A multiply and an add are two operations. Everything else (activations, normalisation, the
optimizer) is left out, as is usual for model FLOPs utilisation (Chowdhery et al. 2022, "PaLM",
appendix B). Where a convolution's kernel meets padding, or the zeros that a transposed convolution
puts between its inputs, nothing is counted: a convolution and both its gradients then have the same
number of operations.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core

from ae_jax.benchmarking.program.distinct import Distinct


class Flops(NamedTuple):
    """Floating-point operations, over all devices.

    Attributes:
      products: FLOPs of matrix products.
      convolutions: FLOPs of convolutions.
    """

    products: int = 0
    convolutions: int = 0

    @property
    def total(self) -> int:
        """Both."""
        return self.products + self.convolutions


def count(function: Callable[..., Any], *args: Any, platform: str | None = None) -> Flops:
    """Counts the operations of a function without running or compiling it.

    Loops count as often as they turn; one whose number of turns is not in the program (a `while`)
    counts once, so that a loop of training steps counts one step. Of a `cond` the branch with most
    operations counts. What is computed twice from the same inputs counts once, as compilers see to;
    what rematerialisation computes again counts again.

    Args:
      function: function of arrays; gradients, jit, vmap, scan, shard_map and pmap inside are all
        followed.
      *args: arrays or `jax.ShapeDtypeStruct`s.
      platform: platform whose branch of `jax.lax.platform_dependent` counts, e.g. "cpu"; None: the
        one for platforms that are not named.

    Returns:
      Flops.

    Example:
      >>> import jax
      >>> x, w = jax.ShapeDtypeStruct((8, 16), "float32"), jax.ShapeDtypeStruct((16, 4), "float32")
      >>> count(lambda x, w: x @ w, x, w).total  # 2 * 8 * 16 * 4
      1024
    """
    return count_jaxpr(jax.make_jaxpr(function)(*args).jaxpr, platform)


def count_jaxpr(jaxpr: Any, platform: str | None = None) -> Flops:
    """As `count`, of a jaxpr."""
    totals = [0, 0]
    for equation, times in distinct(jaxpr, platform):
        counted = of_equation(equation)
        totals[0] += times * counted.products
        totals[1] += times * counted.convolutions
    return Flops(*totals)


def of_equation(equation: Any) -> Flops:
    """The operations of one equation of a jaxpr, of what is inside it none."""
    if equation.primitive.name == "dot_general":
        return Flops(products=_product(equation))
    if equation.primitive.name == "conv_general_dilated":
        return Flops(convolutions=_convolution(equation))
    return Flops()


def equations(jaxpr: Any, platform: str | None = None, times: int = 1) -> Iterator[tuple[Any, int]]:
    """Every equation that computes something, inner ones included, and how often it is computed.

    Args:
      jaxpr: a `jax.extend.core.Jaxpr`.
      platform: platform, see `count`.
      times: how often the jaxpr itself is.

    Yields:
      `(equation, times)`, times over all devices.
    """
    for equation in jaxpr.eqns:
        inner = _inner(equation, platform)
        if not inner:
            yield equation, times
        for sub, turns in inner:
            yield from equations(sub, platform, times * turns)


def distinct(jaxpr: Any, platform: str | None = None) -> Iterator[tuple[Any, int]]:
    """As `equations`, without those that compute again what is there; see `count`."""
    return Distinct(lambda equation: _inner(equation, platform)).equations(jaxpr)


def _inner(equation: Any, platform: str | None) -> list[tuple[Any, int]]:
    """The programs inside an equation, and how often each is computed."""
    name, params = equation.primitive.name, equation.params
    if name == "cond":
        branches = _branches(params, platform)
        costs = [count_jaxpr(branch, platform).total for branch in branches]
        return [(branches[int(np.argmax(costs))], 1)]
    turns = _turns(name, params)
    return [(sub, turns) for value in params.values() for sub in _jaxprs(value)]


def _turns(name: str, params: Mapping[str, Any]) -> int:
    if name == "scan":
        return params["length"]
    if name == "shard_map":
        mesh = params["mesh"]
        return math.prod(mesh.shape[axis] for axis in params.get("manual_axes", mesh.axis_names))
    return params["axis_size"] if name == "xla_pmap" else 1


def _branches(params: Mapping[str, Any], platform: str | None) -> Sequence[Any]:
    """The branches that may be taken on the platform."""
    branches = [closed.jaxpr for closed in params["branches"]]
    platforms = params.get("branches_platforms")
    if platforms is None:
        return branches
    named = [b for b, names in zip(branches, platforms, strict=True) if platform in (names or ())]
    default = [b for b, names in zip(branches, platforms, strict=True) if names is None]
    return (named or default or branches)[:1]


def _jaxprs(value: Any) -> list[Any]:
    if isinstance(value, core.ClosedJaxpr):
        return [value.jaxpr]
    if isinstance(value, core.Jaxpr):
        return [value]
    if isinstance(value, list | tuple):
        return [jaxpr for item in value for jaxpr in _jaxprs(item)]
    return []


def _product(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    out = math.prod(equation.outvars[0].aval.shape)
    return 2 * out * math.prod(shape[axis] for axis in contracted)


def _convolution(equation: Any) -> int:
    params = equation.params
    (lhs, rhs), (out,) = (
        [var.aval.shape for var in side] for side in (equation.invars, equation.outvars)
    )
    at = params["dimension_numbers"]
    places = zip(at.lhs_spec[2:], at.rhs_spec[2:], at.out_spec[2:], strict=True)
    meetings = math.prod(
        taps(
            out[o],
            rhs[r],
            lhs[i],
            stride=params["window_strides"][axis],
            low=params["padding"][axis][0],
            input_dilation=params["lhs_dilation"][axis],
            kernel_dilation=params["rhs_dilation"][axis],
        )
        for axis, (i, r, o) in enumerate(places)
    )
    return 2 * meetings * out[at.out_spec[0]] * out[at.out_spec[1]] * rhs[at.rhs_spec[1]]


def taps(
    out: int,
    kernel: int,
    size: int,
    *,
    stride: int = 1,
    low: int = 0,
    input_dilation: int = 1,
    kernel_dilation: int = 1,
) -> int:
    """How often, along one dimension, a kernel's element meets an input and not a zero.

    Args:
      out: output positions.
      kernel: kernel positions.
      size: input positions.
      stride: stride of the window.
      low: padding before the first input; negative cuts inputs off.
      input_dilation: distance of the inputs.
      kernel_dilation: distance of the kernel's elements.

    Returns:
      The number of pairs (output, kernel element) that stand on an input.
    """
    at = np.arange(out)[:, None] * stride + np.arange(kernel) * kernel_dilation - low
    on_input = (at >= 0) & (at <= (size - 1) * input_dilation) & (at % input_dilation == 0)
    return int(on_input.sum())
