"""A Gaussian posterior with what leapfrog steps from it are to learn."""

from typing import Any

import jax
import jax.numpy as jnp

from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks.gaussian import gaussian
from ae_jax.checks import require_within_unit_interval
from ae_jax.errors import ConfigError
from ae_jax.types import Array, Bottleneck, Tree

LARGEST = 0.5  # step: beyond, leapfrog is unstable where the posterior is narrow


@BOTTLENECKS.register
def hamiltonian(
    latent_dim: int | tuple[int, ...],
    step_size: float = 0.05,
    beta: float = 0.5,
    prior: Any = "standard_normal",
) -> Bottleneck:
    """`gaussian`, with parameters for `ae.terms.hamiltonian` (Caterini et al. 2018).

    Beside the prior's, its parameters are "step_size", raw, of each dimension, ε = ½ σ(raw), and
    "root", raw, √β₀ = σ(raw). The term leads samples of q(z | x) on; `encode`, `log_likelihood` and
    the figures are those of q itself.

    Args:
      latent_dim: size d or shape `(…, d)` of z; the encoder emits `(…, 2 d)`.
      step_size: ε at the start, above 0 and below 0.5.
      beta: β₀ at the start, in (0, 1): the momentum starts at temperature 1 / β₀.
      prior: Prior, its name or its config node.

    Returns:
      A Bottleneck.

    Raises:
      ConfigError: step_size or beta out of range.

    Example:
      >>> import ae_jax as ae, jax
      >>> params, _ = ae.bottlenecks.hamiltonian(3, step_size=0.25).init(jax.random.key(0))
      >>> params["step_size"].tolist()
      [0.0, 0.0, 0.0]
    """
    if isinstance(step_size, bool) or not 0 < step_size < LARGEST:
        raise ConfigError(f"step_size must lie in (0, {LARGEST}), got {step_size!r}")
    require_within_unit_interval(beta=beta)
    base, root = gaussian(latent_dim, prior), beta**0.5
    logit = lambda share: jnp.log(share) - jnp.log1p(-share)

    def init(key, example=None):
        params, state = base.init(key, example)
        size = jnp.full(base.latent_shape, logit(jnp.float32(step_size / LARGEST)))
        return {"prior": params, "step_size": size, "root": logit(jnp.float32(root))}, state

    def held(params, state, encode=None):
        return base.prior(params.get("prior", {}), state, encode)

    return base._replace(init=init, prior=held)


def learned(params: Tree) -> tuple[Array, Array]:
    """The step sizes `[*latent]` and √β₀ of the bottleneck's parameters."""
    return LARGEST * jax.nn.sigmoid(params["step_size"]), jax.nn.sigmoid(params["root"])
