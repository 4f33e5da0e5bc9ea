"""Hamiltonian dynamics of a latent and its momentum, by leapfrog steps that cool."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from ae_jax.checks import require_positive_ints, require_same_shape
from ae_jax.losses._precision import at_least_float32


def tempered_leapfrog(
    gradient: Callable[[jax.Array], jax.Array],
    z: chex.Array,
    momentum: chex.Array,
    step_size: chex.Array,
    cooling: chex.Array,
) -> tuple[jax.Array, jax.Array]:
    """K leapfrog steps of z' = ρ, ρ' = -∇U(z), ρ multiplied by αₖ after step k.

    Neal, "MCMC using Hamiltonian dynamics", 2011. Each step keeps the volume of (z, ρ) but for
    αₖᵈ, whatever U and the sizes of the steps.

    Args:
      gradient: z to ∇U(z), of z's shape.
      z: the position at first, of any shape; d entries.
      momentum: ρ at first, of z's shape.
      step_size: ε, a scalar or of z's shape.
      cooling: α, `[K]`, as of `cooling_schedule`; ones: none.

    Returns:
      z and ρ after K steps.

    Raises:
      ValueError: if z and momentum differ in shape.

    >>> z, momentum = tempered_leapfrog(lambda z: z, jnp.ones(1), jnp.zeros(1), 0.1, jnp.ones(1))
    >>> round(float(z[0]), 6), round(float(momentum[0]), 6)  # a spring, let go
    (0.995, -0.09975)
    """
    require_same_shape(z=z, momentum=momentum)
    z, momentum, step_size, cooling = at_least_float32(z, momentum, step_size, cooling)

    def step(carry, factor):
        z, momentum, slope = carry
        half = momentum - 0.5 * step_size * slope
        z = z + step_size * half
        slope = gradient(z)
        return (z, factor * (half - 0.5 * step_size * slope), slope), None

    (z, momentum, _), _ = jax.lax.scan(step, (z, momentum, gradient(z)), cooling)
    return z, momentum


def cooling_schedule(root: chex.Numeric, steps: int) -> jax.Array:
    """Factors αₖ = √(βₖ₋₁/βₖ) of the inverse temperatures from β₀ to 1, quadratic in k.

    1/√βₖ = (1 - 1/√β₀) k²/K² + 1/√β₀, k = 0 … K (Caterini, Doucet & Sejdinovic 2018, eq. 9). Their
    product is √β₀.

    Args:
      root: √β₀, above 0 and up to 1.
      steps: K.

    Returns:
      `[K]`.

    Raises:
      ConfigError: K is no positive whole number.

    >>> [round(float(factor), 4) for factor in cooling_schedule(0.5, 2)]
    [0.875, 0.5714]
    """
    require_positive_ints(steps=steps)
    (root,) = at_least_float32(root)
    inverse = (1 - 1 / root) * (jnp.arange(steps + 1) / steps) ** 2 + 1 / root
    return inverse[1:] / inverse[:-1]


def hamiltonian_bound(
    log_joint: Callable[[jax.Array], jax.Array],
    z: chex.Array,
    noise: chex.Array,
    log_qz: chex.Array,
    step_size: chex.Array,
    root: chex.Numeric,
    steps: int,
) -> jax.Array:
    """One sample of a bound on log p(x), from z led along Hamiltonian dynamics towards p(z | x).

    log p(x, z_K) + log N(ρ_K; 0, I) - log q(z_0 | x) - log N(γ; 0, I), with ρ_0 = γ / √β₀ and U =
    -log p(x, z) (Caterini, Doucet & Sejdinovic, "Hamiltonian variational auto-encoder", 2018). The
    volume that heating γ gains, the cooling takes, and the leapfrog keeps it: the map from (z_0, γ)
    to (z_K, ρ_K) has determinant 1.

    Args:
      log_joint: z to log p(x, z), nats.
      z: z_0 ~ q(z | x).
      noise: γ ~ N(0, I), of z's shape.
      log_qz: log q(z_0 | x), nats.
      step_size: ε, a scalar or of z's shape.
      root: √β₀; 1: the momentum is neither heated nor cooled.
      steps: K.

    Returns:
      The bound (not its negative), a scalar, in nats.

    >>> normal = lambda z: -0.5 * jnp.sum(z**2)  # the energy is kept: what q lacks, it lacks still
    >>> z, noise = jnp.array([1.0]), jnp.array([0.5])
    >>> round(float(hamiltonian_bound(normal, z, noise, -0.5, 0.01, 1.0, 5)), 4)
    0.0
    """
    z, noise, log_qz = at_least_float32(z, noise, log_qz)
    gradient = jax.grad(lambda z: -log_joint(z))
    cooling = cooling_schedule(root, steps)
    end, momentum = tempered_leapfrog(gradient, z, noise / root, step_size, cooling)
    kinetic = 0.5 * (jnp.sum(noise**2) - jnp.sum(momentum**2))
    return log_joint(end) + kinetic - log_qz
