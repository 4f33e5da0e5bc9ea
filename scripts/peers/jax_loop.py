"""A plain jitted JAX loop, as in Flax's VAE example: the step, a batch, the next step."""

import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from peers import admission as admission_lib
from peers.admission import Admission
from peers.jax_models import LOSSES
from peers.trainer import Job, Trainer
from peers.workloads import BETAS, EPSILON, Workload, find


class State(NamedTuple):
    """What changes.

    Attributes:
      params: weights.
      optimizer: of optax.
      unused_for: examples since each unit was last in use; None where codes are not sparse.
      step: steps taken.
    """

    params: Any
    optimizer: Any
    unused_for: Any
    step: Any


class Programs(NamedTuple):
    """Functions to compile, and what they start from."""

    state: State
    step: Any
    loss: Any


def programs(job: Job, row: Workload, params: Any) -> Programs:
    """The step of a workload; noise None is drawn within."""
    _, sizes = find(job.workload, job.size)
    loss_of = LOSSES[job.workload]
    optimizer = optax.adam(row.learning_rate, *BETAS, eps=EPSILON)
    root = jax.random.key(job.seed)
    scaled = lambda x: x.astype(jnp.float32) / row.scale

    def step(state: State, x, noise=None):
        if noise is None:
            key = jax.random.fold_in(root, state.step)
            noise = jax.random.normal(key, (len(x), sizes.latent))
        value_and_grad = jax.value_and_grad(loss_of, has_aux=True)
        (loss, code), grads = value_and_grad(state.params, scaled(x), noise, sizes)
        updates, moved = optimizer.update(grads, state.optimizer)
        params, unused = optax.apply_updates(state.params, updates), state.unused_for
        if unused is not None:
            unused = jnp.where(jnp.any(code != 0, axis=0), 0, unused + len(x))
        return State(params, moved, unused, state.step + 1), loss

    def loss(params, x, noise):
        return loss_of(params, scaled(x), noise, sizes)[0]

    unused = None if row.noisy else jnp.zeros(sizes.latent, jnp.int32)
    return Programs(State(params, optimizer.init(params), unused, jnp.int32(0)), step, loss)


def build(job: Job) -> Trainer:
    """The loop's Trainer."""
    row, sizes = find(job.workload, job.size)
    start = admission_lib.read(job.folder)
    params = jax.device_put(admission_lib.nested(start.params))
    made = programs(job, row, params)
    train = np.load(pathlib.Path(job.folder) / admission_lib.TRAIN)
    loop = REGIMES[job.regime](made, train, sizes.batch_size, job)

    def replay(admission: Admission) -> list[float]:
        state, losses, step = made.state, [], jax.jit(made.step)
        for x, noise in zip(admission.batches, admission.noise, strict=True):
            state, loss = step(state, x, noise)
            losses.append(float(loss))
        return losses

    compiled_loss = jax.jit(made.loss)

    def evaluate() -> float:
        x = np.load(pathlib.Path(job.folder) / admission_lib.TEST)
        noise = jax.random.normal(jax.random.key(job.seed + 1), (len(x), sizes.latent))
        return float(compiled_loss(loop.state.params, x, noise))

    return Trainer(
        loop.advance,
        replay,
        evaluate,
        sum(leaf.size for leaf in start.params.values()),
        row.optimizer,
        jax.devices()[0].device_kind,
    )


class Host:
    """One dispatch a step, on a batch that is gathered on the host."""

    def __init__(self, made: Programs, train: np.ndarray, batch_size: int, job: Job):
        """Compiles nothing yet."""
        self.state, self.step = made.state, jax.jit(made.step, donate_argnums=0)
        self.train, self.batch_size = train, batch_size
        self.calls = job.steps_per_call or len(train) // batch_size
        self.rng, self.order, self.at = np.random.default_rng(job.seed), np.zeros(0, int), 0

    def batch(self) -> np.ndarray:
        """The next one; what an epoch leaves over is dropped."""
        if self.at + self.batch_size > len(self.order):
            self.order, self.at = self.rng.permutation(len(self.train)), 0
        self.at += self.batch_size
        return self.train[self.order[self.at - self.batch_size : self.at]]

    def advance(self) -> int:
        """So many steps, then waits."""
        loss = None
        for _ in range(self.calls):
            self.state, loss = self.step(self.state, self.batch())
        jax.block_until_ready((self.state, loss))
        return self.calls


class Device:
    """Data on the device, shuffled there each epoch; so many steps a dispatch in a device loop."""

    def __init__(self, made: Programs, train: np.ndarray, batch_size: int, job: Job):
        """Uploads the data."""
        self.data, self.key = jax.device_put(train), jax.random.key(job.seed + 2)
        self.state, self.at, self.epoch_steps = made.state, 0, len(train) // batch_size
        self.calls = job.steps_per_call or self.epoch_steps
        used = self.epoch_steps * batch_size

        def shuffled(key):
            return jax.random.permutation(key, len(train))[:used].reshape(-1, batch_size)

        def many(state, data, order, first, count):
            body = lambda i, state: made.step(state, data[order[first + i]])[0]
            return jax.lax.fori_loop(0, count, body, state)

        self.shuffled, self.many = jax.jit(shuffled), jax.jit(many, donate_argnums=0)
        self.order = self.shuffled(self.key)

    def advance(self) -> int:
        """So many steps, or to the end of the epoch."""
        if self.at == self.epoch_steps:
            self.key = jax.random.fold_in(self.key, 1)
            self.order, self.at = self.shuffled(self.key), 0
        count = min(self.calls, self.epoch_steps - self.at)
        where = jnp.int32(self.at), jnp.int32(count)
        self.state = jax.block_until_ready(self.many(self.state, self.data, self.order, *where))
        self.at += count
        return count


REGIMES = {"host": Host, "device": Device}
