"""Any Flax NNX module as a `Coder`; imported when first used, since flax.nnx takes its time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from ae_jax.errors import PartError
from ae_jax.networks._calls import (
    accepted,
    check_normalisation,
    normalisation_axes,
    require_several,
)
from ae_jax.types import Coder


def _flat(state: Any) -> dict[str, jax.Array]:
    return {"/".join(map(str, path)): leaf[...] for path, leaf in nnx.to_flat_state(state)}


def _fill(state: Any, values: dict[str, jax.Array]) -> Any:
    filled = [
        (path, leaf.replace(values["/".join(map(str, path))]))
        for path, leaf in nnx.to_flat_state(state)
    ]
    return nnx.from_flat_state(filled)


def _built(factory: Callable[..., nnx.Module], key: jax.Array) -> nnx.Module:
    default = jax.random.fold_in(key, 0)
    module = factory(rngs=nnx.Rngs(default=default, params=key, dropout=key))
    if not isinstance(module, nnx.Module):
        raise PartError(f"the factory must return an nnx.Module, got {module!r:.200}")
    for _, child in nnx.iter_modules(module):
        if isinstance(child, nnx.BatchNorm):
            check_normalisation(child.axis_name, "an nnx.BatchNorm")
    return module


def _seeded(abstract: Any, key: jax.Array) -> Any:
    """Each stream its own key, or two dropouts would drop alike."""
    leaves, structure = jax.tree.flatten(abstract)
    return structure.unflatten(
        jax.random.fold_in(key, i)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        else jnp.zeros(leaf.shape, leaf.dtype)
        for i, leaf in enumerate(leaves)
    )


def _over_the_batch(module: nnx.Module) -> None:
    """Has batch normalisations take their statistics over the whole batch, on all devices."""
    for _, child in nnx.iter_modules(module):
        if isinstance(child, nnx.BatchNorm):
            child.axis_name = normalisation_axes()  # pyright: ignore[reportAttributeAccessIssue]
            if not child.use_running_average:
                require_several("an nnx.BatchNorm")


def adapt(factory: Callable[..., nnx.Module]) -> Coder:
    """See `ae_jax.from_nnx`."""
    if isinstance(factory, nnx.Module) or not callable(factory):
        raise PartError(
            "from_nnx takes a class or a function of rngs, so that parameters are drawn from the "
            f"run's seed; got {factory!r:.200}"
        )

    def split(module):
        return nnx.split(module, nnx.Param, nnx.RngState, ...)

    graph, abstract_params, abstract_rngs, abstract_state = nnx.eval_shape(
        lambda: split(_built(factory, jax.random.key(0)))
    )

    def init(key, x, *, observed=None, extras=None, info=None):
        del x, observed, extras, info
        _, params, _, state = split(_built(factory, key))
        return _flat(params), _flat(state)

    def apply(
        params,
        state,
        x,
        *,
        observed=None,
        extras=None,
        info=None,
        target=None,
        active=None,
        draw=None,
        key=None,
        train=False,
    ):
        key = jax.random.key(0) if key is None else key
        parts = _fill(abstract_params, params), _seeded(abstract_rngs, key)
        module = nnx.merge(graph, *parts, _fill(abstract_state, state))
        module.train() if train else module.eval()
        _over_the_batch(module)
        offered = {"train": train, "deterministic": not train, "target": target, "active": active}
        offered |= {"observed": observed, "extras": extras, "info": info, "draw": draw}
        call = nnx.capture(module, nnx.Intermediate)
        y, sown = call(x, **accepted(type(module).__call__, offered))
        activations = {
            name: value[-1] if isinstance(value, tuple) else value
            for name, value in _sown(sown).items()
        }
        return y, activations, _flat(split(module)[3]) if train else state

    return Coder(init, apply)


def _sown(state: Any) -> dict[str, Any]:
    return {"/".join(map(str, path)): leaf.get_value() for path, leaf in nnx.to_flat_state(state)}
