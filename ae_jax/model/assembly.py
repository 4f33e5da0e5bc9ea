"""What models are put together with: variables of a coder and of a part, shapes that meet."""

from typing import Any

import jax
import jax.numpy as jnp

from ae_jax.errors import ShapeError
from ae_jax.networks._calls import accepted
from ae_jax.types import BATCH_AXIS, Array, Coder, PRNGKey, Shape, Tree, Variables


def part_of(variables: Variables, name: str) -> tuple[Tree, Tree]:
    """Params and state of a part, empty where it has none; a Run's NumPy as JAX indexes."""
    return jax.tree.map(jnp.asarray, variables.part(name))


def initialised(
    coder: Coder | None, key: PRNGKey, x: Array, extras: dict[str, Array] | None
) -> Any:
    """Params and state of a coder, both empty of None."""
    if coder is None:
        return {}, {}
    return coder.init(key, x, **accepted(coder.init, {"extras": extras} if extras else {}))


def check_output(
    coder: Coder,
    weights: Any,
    x: Array,
    extras: dict[str, Array],
    expected: Shape,
    names: tuple[str, str],
) -> None:
    """Raises ShapeError, naming both parts, unless a coder emits what the next part takes."""

    def apply(weights, x, extras):  # under a batch axis, as `forward` will call it
        one = lambda x, extras: coder.apply(*weights, x, extras=extras)[0]
        two = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), (x, extras))
        return jax.vmap(one, axis_name=BATCH_AXIS)(*two)[0]

    got = jax.eval_shape(apply, weights, x, extras).shape
    if got != tuple(expected):
        name, part = names
        raise ShapeError(
            f"the {name} emits shape {got} for an input of shape {jnp.shape(x)}, but the {part} "
            f"takes {tuple(expected)}"
        )
