"""The precision policy: networks compute in `compute_dtype`, everything else in float32.

Parameters, their gradients as the optimizer sees them, optimizer state, normalisation statistics,
bottleneck, likelihood and losses stay float32. bfloat16 has float32's range, so that no loss needs
scaling (Kalamkar et al. 2019).

Each operation of a network rounds to `compute_dtype` wherever it is computed: programs in half
precision are compiled with `xla_allow_excess_precision=False` (for a jit of your own it is
`jax.jit(step, compiler_options={"xla_allow_excess_precision": False})`). What stays open on another
number of devices is the order of float32 sums inside products, as in float32 runs: where it moves a
sum across the middle between two bfloat16 numbers, the neighbour comes out. Of the forward passes
of an MLP under 1% of the elements then differed between one and eight devices, by the last place
of the largest (2^-7 of it); of small convolutions and transformers none did.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax.core import FrozenDict

from ae_jax.config.sections import Config
from ae_jax.errors import UnknownNameError, nearest
from ae_jax.model import Autoencoder
from ae_jax.types import Coder, Spec, Tree

__all__ = ["matmul_precision", "with_compute_dtype"]

COMPUTE_DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}
NETWORKS = ("encoder", "decoder")
OTHERS = ("bottleneck", "likelihood")
"""The parts that compute in float32 whatever networks do."""
# What JAX makes of float32 matrix products where nothing else is asked for.
MATMUL_DEFAULTS = {"cpu": "float32", "gpu": "tensorfloat32", "tpu": "bfloat16"}


def with_compute_dtype(model: Autoencoder, name: str, spec: Spec) -> Autoencoder:
    """The model with networks that compute in another type.

    It goes for any network, a user's own too; one with a `dtype` of its own keeps that.

    Args:
      model: the Autoencoder.
      name: "float32", which changes nothing, or "bfloat16".
      spec: spec of one example; numbers of tokens and categories are not rounded.

    Returns:
      An Autoencoder with the same parameters, inputs and outputs.

    Raises:
      UnknownNameError: no compute dtype has this name.
    """
    if name not in COMPUTE_DTYPES:
        raise UnknownNameError(
            f"training.compute_dtype cannot be {name!r}{nearest(name, COMPUTE_DTYPES)}"
        )
    dtype = COMPUTE_DTYPES[name]
    if dtype is None:
        return model
    exact = spec.num_classes is not None or spec.columns is not None
    kept = ("x", "target") if exact else ()
    encoder = None if model.encoder is None else _computing_in(model.encoder, dtype, kept)
    decoder = _computing_in(model.decoder, dtype, ("target",) if exact else ())
    critics = {
        name: critic._replace(network=_computing_in(critic.network, dtype, kept))  # pyright: ignore
        for name, critic in model.critics.items()
    }
    networks: Any = {"encoder": encoder, "decoder": decoder, "critics": FrozenDict(critics)}
    return model._replace(compute_dtype=dtype, **networks)


def cast_networks(params: dict[str, Tree], dtype: Any) -> dict[str, Tree]:
    """Parameters with those of the networks in the type that they compute in; None: as they are."""
    if dtype is None:
        return params
    return {name: tree if name in OTHERS else cast(tree, dtype) for name, tree in params.items()}


def cast(tree: Tree, dtype: Any) -> Tree:
    """The tree with its floats in another type; numbers, masks and keys as they are."""
    floating = lambda x: jnp.issubdtype(jnp.asarray(x).dtype, jnp.floating)
    return jax.tree.map(lambda x: jnp.asarray(x, dtype) if floating(x) else x, tree)


@contextlib.contextmanager
def compiled_in_float32() -> Iterator[None]:
    """Within it, programs are compiled, in float32, whatever `JAX_ENABLE_X64` and the like say.

    Runs are that by definition: their types are the config's, and their loops are on the device.
    """
    with contextlib.ExitStack() as stack:
        if jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
            stack.enter_context(jax.enable_x64(False))
        if jax.config.jax_disable_jit:  # pyright: ignore[reportAttributeAccessIssue]
            stack.enter_context(jax.disable_jit(False))
        yield


def matmul_precision() -> str:
    """What float32 matrix products are really computed in on this machine."""
    asked: Any = jax.config.jax_default_matmul_precision  # pyright: ignore
    return asked or MATMUL_DEFAULTS.get(jax.default_backend(), "default")


def described(config: Config) -> str:
    """What a run's networks compute in: `training.compute_dtype`, and any `dtype` of their own."""
    nodes = {name: getattr(config.model, name) for name in NETWORKS}
    dtypes = {name: node.get("dtype") for name, node in nodes.items() if isinstance(node, Mapping)}
    named = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items() if dtype is not None)
    return config.training.compute_dtype + (f" ({named})" if named else "")


def _computing_in(coder: Coder, dtype: Any, exact: tuple[str, ...]) -> Coder:
    @functools.wraps(coder.apply)  # which arguments it takes shows in its signature
    def apply(params, state, x, *, key=None, **options):
        floats = {"x": x, **options}
        kept = {name: floats.pop(name) for name in (*exact, "draw") if name in floats}
        floats = cast(floats, dtype) | kept
        y, activations, new = coder.apply(
            cast(params, dtype), state, floats.pop("x"), key=key, **floats
        )
        new = jax.tree.map(lambda n, old: jnp.asarray(n, jnp.asarray(old).dtype), new, state)
        return *cast((y, activations), jnp.float32), new

    return coder._replace(apply=apply)
