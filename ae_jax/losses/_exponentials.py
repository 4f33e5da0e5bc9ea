"""log(a / (1 - e^-a)), in which continuous Bernoulli and discretised logistic both end."""

import jax
import jax.numpy as jnp

# Bₙ / (n · n!) for n = 2, 4, …, 16 (B: Bernoulli numbers): the series of log(sinh(a/2) / (a/2)).
# At a = 1 the first term left out is 5e-16.
_SERIES = (
    1 / 24,
    -1 / 2880,
    1 / 181440,
    -1 / 9676800,
    1 / 479001600,
    -691 / 15692092416000,
    1 / 1046139494400,
    -3617 / 170729965486080000,
)


def log_exponential_ratio(a: jax.Array) -> jax.Array:
    """log(a / (1 - e^-a)) for a ≥ 0, elementwise: ½a - a²/24 + … near zero, log a far from it.

    Value and gradient keep the full precision of their dtype for every a, zero included.
    """
    near = a < 1
    small, large = jnp.where(near, a, jnp.ones_like(a)), jnp.where(near, jnp.ones_like(a), a)
    square = jnp.square(small)
    series = jnp.zeros_like(square)
    for coefficient in reversed(_SERIES):
        series = square * (coefficient + series)
    return jnp.where(near, 0.5 * small - series, jnp.log(large) - jnp.log1p(-jnp.exp(-large)))
