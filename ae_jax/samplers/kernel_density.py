"""A Gaussian kernel on each code."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.errors import ConfigError, UnknownNameError, nearest
from ae_jax.samplers.sampler import SAMPLERS, Sampler, by_class, standardise
from ae_jax.types import Array, PRNGKey, Tree

JITTER = 1e-6  # on the diagonal of the covariance of standardised codes
HELD_OUT = 1024  # codes, at most, whose likelihood given all others chooses the bandwidth,
PAIRS = 2**23  # and pairs of one of them and another, where these would be more
WIDTHS = np.geomspace(1 / 32, 2, 37)  # tried, in units of Scott's


@SAMPLERS.register
def kernel_density(bandwidth: str | float = "held_out") -> Sampler:
    """The average p(z) = 1/n Σ_i N(z; z_i, h² Σ̂) with Σ̂ the codes' covariance, one density a class.

    Everything is in closed form, and the state holds the codes themselves. Scott's and Silverman's
    bandwidths are right for a single Gaussian and far too wide for codes that lie in clusters of
    many dimensions, so that by default h is that which makes each code likeliest given all others.

    Args:
      bandwidth: h as a number, "scott": n^(-1/(d+4)) (Scott 1992), "silverman":
        (n (d+2) / 4)^(-1/(d+4)) (Silverman 1986), or "held_out": leave-one-out likelihood (Duin
        1976) over up to 1,024 codes, exact copies of a code being left out with it.

    Returns:
      A Sampler, whose state holds "codes" `[n, d]`, standardised by class to mean 0 and covariance
      1 and ordered by class, and by class "first" and "count" (where they stand), "loc" `[d]`,
      "factor" `[d, d]`, lower triangular with Σ̂ = L Lᵀ, "log_det" of it, and "bandwidth".

    Raises:
      UnknownNameError: a rule of another name.
      ConfigError: a bandwidth not above 0; when fitted, DataError for a class of no more codes than
        dimensions.
    """
    if isinstance(bandwidth, str):
        if bandwidth not in RULES:
            raise UnknownNameError(f"bandwidth cannot be '{bandwidth}'{nearest(bandwidth, RULES)}")
        rule = RULES[bandwidth]
    elif isinstance(bandwidth, bool) or not 0 < bandwidth < math.inf:
        raise ConfigError(f"bandwidth must be a number above 0 or a rule's name, got {bandwidth!r}")
    else:
        rule = lambda white: float(bandwidth)

    def estimate(codes: np.ndarray, labels: np.ndarray, key: PRNGKey) -> Tree:
        del key
        white = np.empty(codes.shape)

        def one(of_class: np.ndarray, label: int) -> dict[str, np.ndarray]:
            given = standardise(of_class)
            covariance = np.atleast_2d(np.cov(given.codes, rowvar=False))
            factor = np.linalg.cholesky(covariance + JITTER * np.eye(len(covariance)))
            rows = np.linalg.solve(factor, given.codes.T).T
            white[labels == label] = rows
            factor = given.scale[:, None] * factor
            log_det = np.log(np.diagonal(factor)).sum()
            width = np.asarray(rule(rows), np.float64)
            return {"loc": given.loc, "factor": factor, "log_det": log_det, "bandwidth": width}

        least = codes.shape[1] + 1
        what = f"a kernel density in {codes.shape[1]} dimension(s)"
        state = by_class(one, codes, labels, least, what)
        count = np.bincount(labels)
        order = np.argsort(labels, kind="stable")
        first = np.cumsum(count) - count
        return state | {"codes": white[order], "first": first, "count": count}

    return Sampler(estimate, draw, log_density)


def draw(state: Tree, key: PRNGKey, label: Array) -> Array:
    """z_i + h L ε with z_i a code of the class and ε ~ N(0, I)."""
    which, noise = jax.random.split(key)
    i = state["first"][label] + jax.random.randint(which, (), 0, state["count"][label])
    white = state["codes"][i]
    white = white + state["bandwidth"][label] * jax.random.normal(noise, white.shape)
    return state["loc"][label] + state["factor"][label] @ white


def log_density(state: Tree, code: Array, label: Array) -> Array:
    """The log-density log 1/n Σ_i N(z; z_i, h² Σ̂) over the codes of the class, nats."""
    factor, width = state["factor"][label], state["bandwidth"][label]
    centred = code - state["loc"][label]
    white = jax.scipy.linalg.solve_triangular(factor, centred, lower=True)
    # Differences, not products: these cancel where codes are nearer than their distance from 0.
    squares = jnp.sum((white - state["codes"]) ** 2, axis=-1)
    places = jnp.arange(len(squares)) - state["first"][label]
    of_label = (places >= 0) & (places < state["count"][label])
    total = jax.nn.logsumexp(jnp.where(of_label, -0.5 * squares / width**2, -jnp.inf))
    dim = code.shape[-1]
    volume = dim * (jnp.log(width) + 0.5 * math.log(2 * math.pi)) + state["log_det"][label]
    return total - jnp.log(state["count"][label].astype(total.dtype)) - volume


def scott(white: np.ndarray) -> float:
    """n^(-1/(d+4)) of codes `[n, d]`."""
    n, dim = white.shape
    return n ** (-1 / (dim + 4))


def silverman(white: np.ndarray) -> float:
    """(n (d+2) / 4)^(-1/(d+4)) of codes `[n, d]`."""
    n, dim = white.shape
    return (n * (dim + 2) / 4) ** (-1 / (dim + 4))


def held_out(white: np.ndarray) -> float:
    """The bandwidth that makes each code likeliest given all others that are not its copies.

    Args:
      white: codes `[n, d]` of covariance 1.

    Returns:
      One of `WIDTHS` times Scott's.
    """
    n, dim = white.shape
    widths = scott(white) * WIDTHS
    _, copies = np.unique(white, axis=0, return_inverse=True)
    chosen = np.unique(np.linspace(0, n - 1, min(HELD_OUT, max(64, PAIRS // n))).astype(int))
    lengths = np.sum(white**2, axis=1)
    squares = lengths[chosen, None] + lengths - 2 * white[chosen] @ white.T
    squares[copies[chosen, None] == copies] = np.inf
    squares = squares[np.isfinite(squares).any(axis=1)]  # of others, all others may be copies
    least = squares.min(axis=1)
    beyond = (squares - least[:, None]).astype(np.float32)

    def log_likelihood(width: float) -> float:
        sums = np.exp(beyond / np.float32(-2 * width**2)).sum(axis=1, dtype=np.float64)
        return float(np.sum(np.log(sums) - least / (2 * width**2) - dim * np.log(width)))

    return float(widths[np.argmax([log_likelihood(width) for width in widths])])


RULES: dict[str, Callable[[np.ndarray], float]] = {
    "held_out": held_out,
    "scott": scott,
    "silverman": silverman,
}
