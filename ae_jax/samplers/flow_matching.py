"""A flow of codes in time, learned from straight paths between noise and codes."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import networks
from ae_jax.checks import require_not_negative, require_positive, require_positive_ints
from ae_jax.errors import ConfigError, nearest
from ae_jax.samplers import _training as training
from ae_jax.samplers.sampler import SAMPLERS, Sampler, standardise
from ae_jax.types import Array, Network, PRNGKey, Tree

BATCH = 256
LEFT = 1e-3  # σ_min: the deviation of what is left of the noise about a code, in its own units
UNTOLD = 0.1  # the share of training codes whose label is withheld
FREQUENCIES = 3  # of time as the network is told it: more are too fast for the steps
JUDGING = 8  # points of each held-out code's path


def euler(field: Callable[[Tree, Array], Tree], x: Tree, t: Array, h: Array) -> Tree:
    """One step of x' = field(x, t) by the slope where it starts."""
    return jax.tree.map(lambda x, v: x + h * v, x, field(x, t))


def heun(field: Callable[[Tree, Array], Tree], x: Tree, t: Array, h: Array) -> Tree:
    """One step of x' = field(x, t) by the mean slope of its two ends, the second order."""
    first = field(x, t)
    second = field(jax.tree.map(lambda x, v: x + h * v, x, first), t + h)
    return jax.tree.map(lambda x, a, b: x + 0.5 * h * (a + b), x, first, second)


SOLVERS = {"euler": euler, "heun": heun}


@SAMPLERS.register
def flow_matching(
    hidden: Sequence[int] = (256, 256, 256),
    steps: int = 5000,
    learning_rate: float = 1e-3,
    solver: str = "heun",
    solver_steps: int = 32,
    guidance: float = 1.0,
) -> Sampler:
    """Codes at the end of z' = v(z, t), which starts from noise (Lipman et al. 2023).

    v is trained by conditional flow matching on paths of optimal transport: of a code z₁ and noise
    z₀, at z_t = (1 - (1 - σ) t) z₀ + t z₁ it is to be z₁ - (1 - σ) z₀, codes standardised and
    σ = 0.001. Of the states seen every 100 steps the one is kept that does so best for a held-out
    tenth of the codes. A tenth of the labels, if there are any, are withheld in training, so that
    samples may be guided (Ho & Salimans 2022, "Classifier-free diffusion guidance"): they follow
    v(z, t) + w (v(z, t, label) - v(z, t)).

    `log_density` is that of what the solver's path ends in, from the divergence of v along it (Chen
    et al. 2018, "Neural ordinary differential equations"): exact but for the steps, at the price of
    d directional derivatives each.

    Args:
      hidden: the widths of v, a perceptron.
      steps: of training, in batches of 256 codes; rounded up to a multiple of 100.
      learning_rate: at its start.
      solver: "heun", two evaluations of v a step, or "euler", one.
      solver_steps: the steps from noise to code.
      guidance: w; 1 samples each class as it is, more makes samples more like their class and less
        varied, 0 ignores labels.

    Returns:
      A Sampler, whose state holds "loc" and "scale" `[d]`, "velocity", the network's parameters,
      and "classes" `[classes, classes]`, the identity, whose rows it is told.

    Raises:
      ConfigError: an option out of range; when fitted, DataError for fewer than 20 codes.
      UnknownNameError: a solver of another name.

    Example:
      >>> import ae_jax as ae, jax, numpy as np
      >>> codes = np.random.default_rng(0).normal(size=(40, 2))
      >>> sampler = ae.samplers.flow_matching((8,), steps=100, solver_steps=4)
      >>> state = sampler.fit(codes, jax.random.key(0))
      >>> sampler.sample(state, jax.random.key(1), 3).shape
      (3, 2)
    """
    require_positive_ints(steps=steps, solver_steps=solver_steps)
    require_positive(learning_rate=learning_rate)
    require_not_negative(guidance=guidance)
    if solver not in SOLVERS:
        raise ConfigError(f"solver cannot be {solver!r}{nearest(solver, SOLVERS)}")
    flow = _Flow(networks.mlp(tuple(hidden), "silu"), SOLVERS[solver], solver_steps, guidance)
    how = {"steps": steps, "learning_rate": learning_rate}
    estimate = lambda codes, labels, key: _estimate(flow, how, codes, labels, key)
    return Sampler(estimate, flow.draw, flow.log_density)


class _Flow(NamedTuple):
    """The velocity of codes, and what follows it.

    Attributes:
      network: of the velocity.
      advance: one step of a solver.
      solver_steps: from noise to code.
      guidance: w.
    """

    network: Network
    advance: Callable[..., Tree]
    solver_steps: int
    guidance: float

    def velocity(self, params: Tree, z: Array, t: Array, told: Array) -> Array:
        angles = 2 * math.pi * t * 2.0 ** jnp.arange(-1, FREQUENCIES - 1)
        inputs = jnp.concatenate([z, told, jnp.sin(angles), jnp.cos(angles)])
        return self.network.bind(z.shape).apply(params, {}, inputs)[0]

    def field(self, state: Tree, label: Array) -> Callable[[Array, Array], Array]:
        """The velocity at (z, t) of a class."""
        told, of = state["classes"][label], lambda *row: self.velocity(state["velocity"], *row)
        if self.guidance == 1 or len(told) == 1:
            return lambda z, t: of(z, t, told)

        def guided(z: Array, t: Array) -> Array:
            untold = of(z, t, jnp.zeros_like(told))
            return untold + self.guidance * (of(z, t, told) - untold)

        return guided

    def along(self, field: Callable[..., Tree], start: Tree, first: float, last: float) -> Tree:
        """Where a path from `start` at time `first` is at time `last`."""
        h = (last - first) / self.solver_steps
        step = lambda x, i: (self.advance(field, x, first + i * h, jnp.float32(h)), None)
        return jax.lax.scan(step, start, jnp.arange(self.solver_steps))[0]

    def draw(self, state: Tree, key: PRNGKey, label: Array) -> Array:
        noise = jax.random.normal(key, state["loc"].shape)
        return state["loc"] + state["scale"] * self.along(self.field(state, label), noise, 0.0, 1.0)

    def log_density(self, state: Tree, code: Array, label: Array) -> Array:
        v = self.field(state, label)

        def both(x: Tree, t: Array) -> Tree:
            z, _ = x
            slope, jacobian = jax.linearize(lambda z: v(z, t), z)
            return slope, jnp.trace(jax.vmap(jacobian)(jnp.eye(len(z))))

        z = (code - state["loc"]) / state["scale"]
        noise, volume = self.along(both, (z, jnp.zeros(())), 1.0, 0.0)
        base = -0.5 * jnp.sum(noise**2) - 0.5 * len(z) * math.log(2 * math.pi)
        return base + volume - jnp.sum(jnp.log(state["scale"]))

    def miss(self, params: Tree, code: Array, told: Array, t: Array, noise: Array) -> Array:
        """What conditional flow matching minimises, at one time of one code's path."""
        z = (1 - (1 - LEFT) * t) * noise + t * code
        return jnp.mean((self.velocity(params, z, t, told) - code + (1 - LEFT) * noise) ** 2)


def _estimate(
    flow: _Flow, how: dict[str, Any], codes: np.ndarray, labels: np.ndarray, key: PRNGKey
) -> Tree:
    """The sampler's state, trained on codes."""
    training.require_enough(codes, "flow matching")
    first, order, draws = jax.random.split(key, 3)
    given, classes = standardise(codes), int(labels.max()) + 1
    identity = jnp.eye(classes)
    told_size = codes.shape[1] + classes + 2 * FREQUENCIES
    params, _ = flow.network.bind((codes.shape[1],)).init(first, jnp.zeros(told_size))

    def loss(params: Tree, codes: Array, labels: Array, key: PRNGKey, done: Array) -> Array:
        del done
        keys = jax.random.split(key, 3)
        known = jax.random.bernoulli(keys[0], 1 - UNTOLD, labels.shape) | (classes == 1)
        times = (jnp.arange(len(codes)) + jax.random.uniform(keys[1], labels.shape)) / len(codes)
        told = jnp.where(known[:, None], identity[labels], 0)
        noise = jax.random.normal(keys[2], codes.shape)
        one = lambda *row: flow.miss(params, *row)
        return jnp.mean(jax.vmap(one)(codes, told, times, noise))

    def held_out(params: Tree, codes: Array, labels: Array) -> Array:
        def score(place: Array, code: Array, label: Array) -> Array:
            noise = jax.random.fold_in(first, place)
            noise = jax.random.normal(noise, (JUDGING, *code.shape))
            times = (jnp.arange(JUDGING) + 0.5) / JUDGING
            one = lambda t, noise: flow.miss(params, code, identity[label], t, noise)
            return jnp.mean(jax.vmap(one)(times, noise))

        return training.in_turn(score, jnp.arange(len(codes)), codes, labels)

    rows = training.shuffled(given.codes.astype(np.float32), labels, order)
    best = training.minimise(loss, held_out, params, rows, draws, **how, batch=BATCH)
    return {"loc": given.loc, "scale": given.scale, "classes": identity, "velocity": best}
