"""Any Flax Linen or NNX module as a `Coder`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ae_jax.errors import PartError
from ae_jax.networks._calls import (
    accepted,
    check_normalisation,
    normalisation_axes,
    require_several,
)
from ae_jax.types import BATCH_AXIS, Coder, Tree

_ACTIVATIONS = "intermediates"


def flat_activations(tree: Tree) -> dict[str, Any]:
    """Sown values by "/"-joined path, the last of each; an outermost name stands alone."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda v: isinstance(v, tuple))
    name = lambda path: "/".join(str(getattr(k, "key", k)) for k in path)
    return {name(path): value[-1] if isinstance(value, tuple) else value for path, value in flat}


def _linen_interceptor(next_call, args, kwargs, context):
    module = context.module
    if isinstance(module, nn.BatchNorm) and context.method_name == "__call__":
        what = f"the BatchNorm '{module.name}'"
        check_normalisation(module.axis_name, what)
        if not module.is_initializing() and not _uses_running_average(module, args, kwargs):
            require_several(what)
        axes = normalisation_axes()
        object.__setattr__(module, "axis_name", axes)  # the devices' axis is ours to add
        try:
            return next_call(*args, **kwargs)
        finally:
            object.__setattr__(module, "axis_name", BATCH_AXIS)
    return next_call(*args, **kwargs)


def _uses_running_average(module: nn.BatchNorm, args: Any, kwargs: dict[str, Any]) -> bool:
    """What a call of `BatchNorm(x, use_running_average=None)` comes to."""
    told = kwargs.get("use_running_average", args[1] if len(args) > 1 else None)
    return bool(module.use_running_average if told is None else told)


def from_linen(module: nn.Module) -> Coder:
    """A Flax Linen module, written for one example, as a Coder.

    `__call__(x)` may also take any of `train`, `deterministic`, `observed`, `extras`, `info` by
    name, and a decoder `target`: the clean x in training and evaluation, None where it is to be
    made up (`decode`), `draw`: what then makes it up, or None (see `ae_jax.types.Coder`), and
    `active`: the places of z in use, None where that is not known. Dropout draws from our streams;
    values `sow`n into "intermediates" become named activations; other collections are state. A
    BatchNorm must have `axis_name="batch"`: it then normalises over the whole batch on all devices.

    Args:
      module: an unbound Linen module.

    Returns:
      A Coder.

    Raises:
      PartError: it is not a Linen module, or (at init) a BatchNorm lacks its axis name.

    Example:
      >>> import ae_jax as ae, flax.linen as nn
      >>> encoder = ae.from_linen(nn.Dense(64))
    """
    if not isinstance(module, nn.Module):
        raise PartError(
            f"from_linen takes a flax.linen.Module instance, got {module!r:.200}"
            + ("; call the class first" if isinstance(module, type) else "")
        )

    def options(train=False, **told):
        offered = {"train": train, "deterministic": not train, **told}
        return accepted(type(module).__call__, offered)

    def init(key, x, *, observed=None, extras=None, info=None):
        names = ("params", "dropout")
        rngs = {name: jax.random.fold_in(key, i) for i, name in enumerate(names)}
        with nn.intercept_methods(_linen_interceptor):
            variables = module.init(rngs, x, **options(observed=observed, extras=extras, info=info))
        variables = {k: v for k, v in variables.items() if k != _ACTIVATIONS}
        return variables.pop("params", {}), variables

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
        mutable = [_ACTIVATIONS, *(state if train else ())]
        rngs = {} if key is None else {"dropout": key}
        with nn.intercept_methods(_linen_interceptor):
            y, changed = module.apply(
                {"params": params, **state},
                x,
                rngs=rngs,
                mutable=mutable,
                **options(
                    train,
                    observed=observed,
                    extras=extras,
                    info=info,
                    target=target,
                    active=active,
                    draw=draw,
                ),
            )
        changed = dict(changed)
        activations = flat_activations(changed.pop(_ACTIVATIONS, {}))
        return y, activations, jax.tree.map(jnp.asarray, {**state, **changed})

    return Coder(init, apply)


def from_nnx(factory: Callable[..., Any]) -> Coder:
    """A Flax NNX module, written for one example, as a Coder.

    The module's `__call__(x)` may also take any of `train`, `deterministic`, `observed`, `extras`,
    `info`, `target`, `draw`, `active` by name; `train()` and `eval()` are set for it, dropout keys
    are reseeded from our streams, values sown as `nnx.Intermediate` become named activations, every
    other variable is state. A BatchNorm must have `axis_name="batch"`.

    Args:
      factory: the module's class, or any function of `rngs` that returns the module.

    Returns:
      A Coder.

    Raises:
      PartError: the factory does not return an NNX module, or a BatchNorm lacks its axis name.

    Example:
      >>> import ae_jax as ae
      >>> from flax import nnx
      >>> decoder = ae.from_nnx(lambda rngs: nnx.Linear(32, 64, rngs=rngs))
    """
    from ae_jax.networks.nnx_adapter import adapt

    return adapt(factory)
