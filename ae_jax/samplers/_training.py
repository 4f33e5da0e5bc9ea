"""How the samplers that are networks learn: Adam on a cosine, the best held-out state kept."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax.errors import DataError
from ae_jax.types import Array, PRNGKey, Tree

LEAST = 20  # codes: one of ten is held out
JUDGED = 100  # steps between two looks at the held-out codes
SCORED = 256  # held-out codes scored at once, where they are by `in_turn`
Rows = tuple[Array, Array]  # codes and labels


def require_enough(codes: np.ndarray, what: str) -> None:
    """Raises DataError for fewer codes than leave some to hold out."""
    if len(codes) < LEAST:
        raise DataError(f"{what} needs at least {LEAST} codes, got {len(codes)}")


def shuffled(codes: np.ndarray, labels: np.ndarray, key: PRNGKey) -> Rows:
    """The codes and labels in a random order, so that the last tenth of them is any tenth."""
    order = np.asarray(jax.random.permutation(key, len(codes)))
    return jnp.asarray(codes[order]), jnp.asarray(labels[order])


def in_turn(score: Callable[..., Array], *rows: Array) -> Array:
    """The mean score of rows, `SCORED` of them at a time: whatever their number, so much memory."""
    return jnp.mean(jax.lax.map(lambda row: score(*row), rows, batch_size=SCORED))


def minimise(
    loss: Callable[..., Array],
    held_out: Callable[..., Array],
    params: Tree,
    rows: Rows,
    key: PRNGKey,
    *,
    steps: int,
    learning_rate: float,
    batch: int,
) -> Tree:
    """The parameters that are best on held-out rows on Adam's way down, one compiled program.

    Args:
      loss: `(params, codes, labels, key, done) -> scalar` of a batch, `done` being the part of all
        steps that lie behind.
      held_out: `(params, codes, labels) -> scalar`, what is to be least on the last tenth.
      params: to start from.
      rows: codes `[n, d]` and labels `[n]`, shuffled.
      key: of the batches, drawn with replacement.
      steps: in all, rounded up to a multiple of 100.
      learning_rate: at its start, going to 0 on a cosine.
      batch: codes a step.

    Returns:
      Parameters.
    """
    held = max(1, len(rows[0]) // 10)
    train, test = ([row[part] for row in rows] for part in (slice(0, -held), slice(-held, None)))
    rounds = math.ceil(steps / JUDGED)
    schedule = optax.cosine_decay_schedule(learning_rate, rounds * JUDGED)
    optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(schedule))

    def step(carry: Any, i: Array) -> tuple[Any, None]:
        params, moments = carry
        chosen, drawn = jax.random.split(jax.random.fold_in(key, i))
        index = jax.random.randint(chosen, (batch,), 0, len(train[0]))
        picked = (row[index] for row in train)
        grads = jax.grad(loss)(params, *picked, drawn, i / (rounds * JUDGED))
        updates, moments = optimizer.update(grads, moments, params)
        return (optax.apply_updates(params, updates), moments), None

    def one_round(carry: Any, number: Array) -> tuple[Any, None]:
        moving, best, least = carry
        moving, _ = jax.lax.scan(step, moving, number * JUDGED + jnp.arange(JUDGED))
        judged = held_out(moving[0], *test)
        better = judged < least
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), moving[0], best)
        return (moving, best, jnp.where(better, judged, least)), None

    @jax.jit
    def whole(params: Tree) -> Tree:
        carry = (params, optimizer.init(params)), params, held_out(params, *test)
        (_, best, _), _ = jax.lax.scan(one_round, carry, jnp.arange(rounds))
        return best

    return whole(params)
