"""A normalising flow, masked autoregressive unless another is asked for, trained on codes."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax._registry import FLOWS
from ae_jax.checks import require_positive, require_positive_ints
from ae_jax.samplers import _training as training
from ae_jax.samplers.sampler import SAMPLERS, Sampler, standardise
from ae_jax.types import Array, PRNGKey, Tree

BATCH = 256
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
        training.require_enough(codes, "a flow")
        given, classes = standardise(codes), int(labels.max()) + 1
        first, order, draws = jax.random.split(key, 3)
        dim = codes.shape[1]
        fixed = {"loc": jnp.zeros(dim), "scale": jnp.ones(dim), "classes": jnp.eye(classes)}
        rows = training.shuffled(given.codes.astype(np.float32), labels, order)

        def held_out(params: Tree, codes: Array, labels: Array) -> Array:
            one = lambda code, label: log_density({**fixed, "flow": params}, code, label)
            return -jnp.mean(jax.vmap(one)(codes, labels))

        def loss(params: Tree, codes: Array, labels: Array, key: PRNGKey, done: Array) -> Array:
            share = jnp.maximum(1 - done / QUIET, 0)
            codes = codes + NOISE * share * jax.random.normal(key, codes.shape)
            return held_out(params, codes, labels)

        how = {"steps": steps, "learning_rate": learning_rate, "batch": BATCH}
        params = part.init(first, dim, classes)
        best = training.minimise(loss, held_out, params, rows, draws, **how)
        return {**fixed, "loc": given.loc, "scale": given.scale, "flow": best}

    return Sampler(estimate, draw, log_density)
