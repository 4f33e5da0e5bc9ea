"""A normalising flow, masked autoregressive unless another is asked for, trained on codes."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax._registry import FLOWS
from ae_jax.checks import require_positive, require_positive_ints
from ae_jax.errors import DataError
from ae_jax.samplers.sampler import SAMPLERS, Sampler, standardise
from ae_jax.types import Array, PRNGKey, Tree

LEAST = 20  # codes: one of ten is held out
BATCH = 256
JUDGED = 100  # steps between two looks at the held-out codes
NOISE, QUIET = 0.5, 0.9  # the first deviation of noise, and the share of steps by which it is 0


@SAMPLERS.register
def flow(
    flow: Any = "masked_autoregressive", steps: int = 3000, learning_rate: float = 3e-3
) -> Sampler:
    """Codes z = f(u) of a flow f, so that log p(z) = log N(u; 0, I) − log |∂z/∂u|.

    By default a masked autoregressive one (Papamakarios, Pavlakou & Murray 2017), whose density is
    exact and takes one pass, and whose samples take one for each dimension of each layer. Flows
    start as the identity on standardised codes and are trained with Adam on a cosine, on codes with
    noise of deviation 0.5 at first and 0 for the last tenth: without it they soon know a few codes
    by heart (Rothfuss et al. 2019, "Noise regularization for conditional density estimation"). Of
    the states seen every 100 steps the one is kept that gives a held-out tenth of the codes, as
    they are, the highest likelihood. In one dimension an affine flow is a Gaussian; for more take
    {"name": "rational_quadratic_spline", "coupling": False}.

    Args:
      flow: an `ae.flows` part, its config node or name.
      steps: of training, in batches of 256 codes; rounded up to a multiple of 100.
      learning_rate: at its start.

    Returns:
      A Sampler, whose state holds "loc" and "scale" `[d]`, "flow", the flow's parameters, and
      "classes" `[classes, classes]`, the identity, whose rows it is told.

    Raises:
      ConfigError: an option out of range; when fitted, DataError for fewer than 20 codes.

    Example:
      >>> import ae_jax as ae, jax, numpy as np
      >>> codes = np.random.default_rng(0).normal(size=(400, 2))
      >>> small = {"name": "masked_autoregressive", "layers": 1, "hidden": (8,)}
      >>> sampler = ae.samplers.flow(small, steps=100)
      >>> state = sampler.fit(codes, jax.random.key(0))
      >>> sampler.log_prob(state, codes).shape
      (400,)
    """
    part = FLOWS.build(flow)
    require_positive_ints(steps=steps)
    require_positive(learning_rate=learning_rate)

    def log_density(state: Tree, code: Array, label: Array) -> Array:
        z = (code - state["loc"]) / state["scale"]
        u, log_det = part.inverse(state["flow"], z, state["classes"][label])
        base = -0.5 * jnp.sum(u**2) - 0.5 * u.shape[0] * math.log(2 * math.pi)
        return base + log_det - jnp.sum(jnp.log(state["scale"]))

    def draw(state: Tree, key: PRNGKey, label: Array) -> Array:
        u = jax.random.normal(key, state["loc"].shape)
        z, _ = part.forward(state["flow"], u, state["classes"][label])
        return state["loc"] + state["scale"] * z

    def estimate(codes: np.ndarray, labels: np.ndarray, key: PRNGKey) -> Tree:
        if len(codes) < LEAST:
            raise DataError(f"a flow needs at least {LEAST} codes, got {len(codes)}")
        given, classes = standardise(codes), int(labels.max()) + 1
        first, order, draws = jax.random.split(key, 3)
        dim = codes.shape[1]
        fixed = {"loc": jnp.zeros(dim), "scale": jnp.ones(dim), "classes": jnp.eye(classes)}
        shuffled = np.asarray(jax.random.permutation(order, len(codes)))
        rows = jnp.asarray(given.codes[shuffled], jnp.float32), jnp.asarray(labels[shuffled])

        def loss(params: Tree, codes: Array, labels: Array) -> Array:
            one = lambda code, label: log_density({**fixed, "flow": params}, code, label)
            return -jnp.mean(jax.vmap(one)(codes, labels))

        best = minimise(loss, part.init(first, dim, classes), rows, draws, steps, learning_rate)
        return {**fixed, "loc": given.loc, "scale": given.scale, "flow": best}

    return Sampler(estimate, draw, log_density)


def minimise(
    loss: Callable[..., Array],
    params: Tree,
    rows: tuple[Array, Array],
    key: PRNGKey,
    steps: int,
    learning_rate: float,
) -> Tree:
    """The parameters that are best on held-out rows on Adam's way down, one compiled program.

    Args:
      loss: `(params, codes, labels) -> scalar`.
      params: to start from.
      rows: codes `[n, d]`, standardised, and labels `[n]`, shuffled; the last tenth is held out.
      key: of the batches, drawn with replacement.
      steps: in all, rounded up to a multiple of 100.
      learning_rate: at its start, going to 0 on a cosine.

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
        index = jax.random.randint(chosen, (BATCH,), 0, len(train[0]))
        codes, labels = (row[index] for row in train)
        share = jnp.maximum(1 - i / (QUIET * rounds * JUDGED), 0)
        codes = codes + NOISE * share * jax.random.normal(drawn, codes.shape)
        grads = jax.grad(loss)(params, codes, labels)
        updates, moments = optimizer.update(grads, moments, params)
        return (optax.apply_updates(params, updates), moments), None

    def one_round(carry: Any, number: Array) -> tuple[Any, None]:
        moving, best, least = carry
        moving, _ = jax.lax.scan(step, moving, number * JUDGED + jnp.arange(JUDGED))
        found = loss(moving[0], *test)
        better = found < least
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), moving[0], best)
        return (moving, best, jnp.where(better, found, least)), None

    @jax.jit
    def whole(params: Tree) -> Tree:
        carry = (params, optimizer.init(params)), params, loss(params, *test)
        (_, best, _), _ = jax.lax.scan(one_round, carry, jnp.arange(rounds))
        return best

    return whole(params)
