"""A dense network in which each output reads the inputs of lower degree alone, in one pass.

With the degrees 0, 1, 2, … that is the masked autoencoder for distribution estimation (MADE,
Germain et al. 2015): output i is a function of the inputs before i. With two degrees it is the
network of a coupling layer. Kernels are masked, so that no input is ever read twice.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.types import Array, PRNGKey, Tree


def masks(
    degrees: Sequence[int], hidden: Sequence[int], outputs: int, context: bool = False
) -> list[np.ndarray]:
    """Which entries of each kernel are in use.

    A hidden unit of degree m reads inputs of degrees below m and hidden units of degrees up to m;
    the outputs of an input of degree m read hidden units up to m. Hidden degrees are spread evenly
    from 1 on, or from 0 where such units can read a context.

    Args:
      degrees: of the inputs, `[d]`.
      hidden: sizes of the hidden layers.
      outputs: how many each input has.
      context: whether hidden units read a context as well.

    Returns:
      One bool array a layer, `[fan in, fan out]`; the last is `[h, d · outputs]`, input by input.

    Example:
      >>> [mask.astype(int).tolist() for mask in masks((0, 1), (2,), 1)]
      [[[1, 1], [0, 0]], [[0, 1], [0, 1]]]
    """
    first, end = (0 if context else 1), max(degrees) + 1
    spread = lambda size: first + np.arange(size) * max(end - first, 1) // size
    before, kernels = np.asarray(degrees), []
    for layer, size in enumerate(hidden):
        units = spread(size)
        reads = np.less if layer == 0 else np.less_equal
        kernels.append(reads(before[:, None], units[None]))
        before = units
    last = np.repeat(np.asarray(degrees), outputs)
    reads = np.less_equal if hidden else np.less
    return [*kernels, reads(before[:, None], last[None])]


def init(
    key: PRNGKey,
    degrees: Sequence[int],
    hidden: Sequence[int] = (64, 64),
    outputs: int = 2,
    context: int = 0,
) -> Tree:
    """Parameters of the network, whose outputs are 0 at first.

    Args:
      key: a typed key.
      degrees: of the inputs, `[d]`; `range(d)` for an autoregressive network.
      hidden: sizes of the hidden layers.
      outputs: how many each input has.
      context: the size of what every unit may read beside x; 0: there is none.

    Returns:
      `{"dense_0": {"kernel", "bias"[, "context"]}, …, "output": …}`; kernels are drawn with the
      variance 1 / (inputs in use), the output's are 0.
    """
    layers = masks(degrees, hidden, outputs, context > 0)
    params: dict[str, Tree] = {}
    for number, mask in enumerate(layers):
        last = number == len(layers) - 1
        layer_key, beside = jax.random.split(jax.random.fold_in(key, number))
        fan_in = np.maximum(mask.sum(axis=0) + context, 1)
        scale = jnp.asarray(0.0 if last else mask / np.sqrt(fan_in), jnp.float32)
        layer = {
            "kernel": scale * jax.random.normal(layer_key, mask.shape),
            "bias": jnp.zeros(mask.shape[1]),
        }
        if context:
            spread = 0.0 if last else 1 / np.sqrt(fan_in)
            drawn = jax.random.normal(beside, (context, mask.shape[1]))
            layer["context"] = jnp.asarray(spread, jnp.float32) * drawn
        params["output" if last else f"dense_{number}"] = layer
    return params


def apply(params: Tree, degrees: Sequence[int], x: Array, context: Array | None = None) -> Array:
    """The outputs of each input, from the inputs of lower degree.

    Args:
      params: of `init`.
      degrees: as there.
      x: `[d]`.
      context: `[c]`, if the network was given one.

    Returns:
      `[d, outputs]`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> params = init(jax.random.key(0), range(3), hidden=(8,), outputs=2)
      >>> apply(params, range(3), jnp.ones(3)).shape
      (3, 2)
    """
    degrees = tuple(degrees)
    names = [*(f"dense_{n}" for n in range(len(params) - 1)), "output"]
    sizes = [params[name]["bias"].shape[0] for name in names]
    outputs = sizes[-1] // len(degrees)
    units = x
    for name, mask in zip(
        names, masks(degrees, sizes[:-1], outputs, "context" in params["output"]), strict=True
    ):
        layer = params[name]
        units = units @ jnp.where(mask, layer["kernel"], 0) + layer["bias"]
        if "context" in layer:
            units = units + jnp.asarray(context) @ layer["context"]
        if name != "output":
            units = jax.nn.elu(units)
    return units.reshape(len(degrees), outputs)
