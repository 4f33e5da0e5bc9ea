"""Critics of a model: their variables, their verdicts, and teachers that follow the encoder.

Methods of `Autoencoder` but for `initial`: a model is their first argument.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax.errors import PartError, nearest
from ae_jax.model.assembly import check_output, initialised, part_of
from ae_jax.ops import random as fused_random
from ae_jax.types import BATCH_AXIS, Array, Batch, PRNGKey, Tree, Variables


def initial(
    model: Any,
    key: PRNGKey,
    example: Array,
    z: Array,
    extras: dict[str, Array] | None,
    followed: Tree,
) -> dict[str, Any]:
    """Params and state of each critic, its output's shape checked."""
    inits: dict[str, Any] = {}
    for name, critic in model.critics.items():
        if critic.decay is not None:  # buffers of its own, or it could not be donated
            inits[name] = {}, {"params": jax.tree.map(jnp.copy, followed)}
            continue
        x = _joined([{"x": example, "code": z}[source] for source in critic.on])
        coder: Any = critic.network
        critic_key = jax.random.fold_in(key, _number_of(name))
        inits[name] = initialised(coder, critic_key, x, extras)
        what = f"critic '{name}'", "game"
        check_output(coder, inits[name], x, extras or {}, critic.outputs, what)
    return inits


def judge_one(
    model: Any,
    variables: Variables,
    name: str,
    inputs: Sequence[Array],
    *,
    key: PRNGKey | None = None,
    extras: Mapping[str, Array] | None = None,
    train: bool = False,
) -> tuple[Array, dict[str, Array], Tree]:
    """What a critic makes of one example; see `Context.critic`.

    Args:
      model: an Autoencoder.
      variables: the critic's suffice.
      name: of the critic.
      inputs: what it reads, in the order of its `on`.
      key: of dropout.
      extras: labels, conditions.
      train: whether dropout and batch statistics are those of training; statistics need a map
        over the batch.

    Returns:
      Its verdict `[*outputs]`, its hidden layers by name, and its new state.

    Raises:
      PartError: there is no critic of this name, or it reads something else.
    """
    if name not in model.critics:
        raise PartError(f"the model has no critic '{name}'{nearest(name, model.critics)}")
    critic = model.critics[name]
    if len(inputs) != len(critic.on):
        raise PartError(f"the critic '{name}' reads {critic.on}, got {len(inputs)} inputs")
    coder: Any = critic.network
    views = {"x": model.seen, "code": lambda z: z}
    read = [views[on](value) for on, value in zip(critic.on, inputs, strict=True)]
    key = None if key is None else fused_random.fold_in(key, _number_of(name))
    told: dict[str, Any] = {"extras": dict(extras or {}), "key": key, "train": train}
    weights = part_of(variables, name)
    if critic.decay is not None:
        weights = jax.lax.stop_gradient(weights[1]["params"]), part_of(variables, "encoder")[1]
    return coder.apply(*weights, _joined(read), **told)


def judge(
    model: Any,
    variables: Variables,
    name: str,
    inputs: Sequence[Array],
    keys: PRNGKey | None = None,
    extras: Mapping[str, Array] | None = None,
    *,
    train: bool = False,
) -> tuple[Array, dict[str, Array], Tree]:
    """`judge_one` of a batch: verdicts and layers `[b, …]`, and one new state."""

    def one(inputs, key, extras):
        told = {"key": key, "extras": extras, "train": train}
        return model.judge_one(variables, name, inputs, **told)

    mapped = jax.vmap(one, axis_name=BATCH_AXIS, out_axes=(0, 0, None))
    return mapped(tuple(inputs), keys, dict(extras or {}))


def critics_state(
    model, variables: Variables, names: Sequence[str], batch: Batch, z: Array
) -> dict[str, Tree]:
    """The next state of those of these critics that have any, from the examples of a batch."""
    having = [name for name in names if name in model.critics and name in variables.state]
    of = lambda name: [{"x": batch.x, "code": z}[on] for on in model.critics[name].on]
    extras = dict(batch.extras)
    judge = lambda name: model.judge(variables, name, of(name), None, extras, train=True)[2]
    return {name: judge(name) for name in having}


def followed(model: Any, variables: Variables) -> dict[str, Tree]:
    """The next state of the critics that follow the encoder; see `ae_jax.critics.teacher`.

    Args:
      model: an Autoencoder.
      variables: after a step.
    """
    teachers: dict[str, Tree] = {}
    for name, critic in model.critics.items():
        decay = critic.decay
        if decay is not None:
            move = lambda old, new, d=decay: (d * old + (1 - d) * new).astype(old.dtype)
            old, new = variables.state[name]["params"], variables.params["encoder"]
            teachers[name] = {"params": jax.tree.map(move, old, new)}
    return teachers


def _number_of(name: str) -> int:
    """A number for a name, the same for all time: keys hang on it."""
    return zlib.crc32(name.encode())


def _joined(inputs: Sequence[Array]) -> Array:
    """What a critic reads of one example: its one input as it is, several flattened."""
    return inputs[0] if len(inputs) == 1 else jnp.concatenate([jnp.ravel(v) for v in inputs])
