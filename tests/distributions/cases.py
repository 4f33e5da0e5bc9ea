"""Every distribution with a density, in one and two dimensions, and a grid over where it lives."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import ae_jax as ae
from ae_jax import distributions as d
from ae_jax.distributions.hierarchy import Level, Walk

LOC, LOG_SCALE = np.float32([0.4, -0.3]), np.float32([-0.5, 0.2])
CURVATURE = 0.7


class Grid(NamedTuple):
    """Points `[n, d]`, and the volume of each, `[n]`."""

    points: np.ndarray
    volumes: np.ndarray


def vectors(size: int) -> Grid:
    """All of ℝ or ℝ², finer near 0: sinh of an even grid."""
    u = np.linspace(-5, 5, {1: 2001, 2: 201}[size])
    axis, width = np.sinh(u), np.cosh(u) * (u[1] - u[0])
    points = np.stack(np.meshgrid(*[axis] * size, indexing="ij"), -1).reshape(-1, size)
    volumes = functools.reduce(np.multiply.outer, [width] * size).ravel()
    return Grid(points, volumes)


def sphere(size: int) -> Grid:
    """The circle, or the sphere in three dimensions, by its angles."""
    n = 400
    angle = (np.arange(n) + 0.5) * 2 * np.pi / n
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    if size == 1:
        return Grid(circle, np.full(n, 2 * np.pi / n))
    height = (np.arange(n) + 0.5) * 2 / n - 1
    ring = np.sqrt(1 - height**2)[:, None, None] * circle[None]
    heights = np.broadcast_to(height[:, None, None], (n, n, 1))
    points = np.concatenate([heights, ring], -1).reshape(-1, 3)
    return Grid(points, np.full(n * n, 4 * np.pi / n**2))


def ball(size: int) -> Grid:
    """The segment or disc of radius 1/√c, finer near its edge."""
    radius = 1 / np.sqrt(CURVATURE)
    if size == 1:
        u = np.linspace(-10, 10, 2001)
        return Grid(
            radius * np.tanh(u / 2)[:, None], radius * (u[1] - u[0]) / 2 / np.cosh(u / 2) ** 2
        )
    u = (np.arange(500) + 0.5) * 10 / 500
    length, width = radius * np.tanh(u / 2), radius * 0.01 / np.cosh(u / 2) ** 2
    circle = sphere(1)
    points = (length[:, None, None] * circle.points[None]).reshape(-1, 2)
    return Grid(points, np.outer(length * width, circle.volumes).ravel())


def _diagonal(size: int) -> Any:
    return d.DiagonalGaussian(jnp.asarray(LOC[:size]), jnp.asarray(2 * LOG_SCALE[:size]))


def _full(size: int) -> Any:
    scale = np.float32([[0.8, 0.0], [0.5, 1.1]])[:size, :size]
    return d.FullGaussian(jnp.asarray(LOC[:size]), jnp.asarray(scale))


def _low_rank(size: int) -> Any:
    factor = np.float32([[0.9], [-0.4]])[:size]
    return d.LowRankGaussian(*_diagonal(size), jnp.asarray(factor))


def _sphere(size: int, concentration: float = 2.5) -> Any:
    direction = np.float32([0.6, -0.8, 0.0][: size + 1])
    return d.PowerSpherical(jnp.asarray(direction), jnp.float32(concentration))


def _wrapped(size: int) -> Any:
    return d.WrappedNormal(jnp.asarray(LOC[:size]), jnp.asarray(LOG_SCALE[:size]), CURVATURE)


def _mixture(size: int) -> Any:
    parts = d.DiagonalGaussian(jnp.asarray([LOC, -2 * LOC]), jnp.asarray([LOG_SCALE, -LOG_SCALE]))
    return d.Mixture(jnp.asarray([0.3, -0.4]), jax.tree.map(lambda v: v[:, :size], parts))


def moved(params: Any, size: float = 0.15, seed: int = 0) -> Any:
    """Parameters with noise added, so that a flow that starts as the identity is not."""
    rng = np.random.default_rng(seed)
    noise = lambda leaf: leaf + jnp.asarray(size * rng.normal(size=leaf.shape), jnp.float32)
    return jax.tree.map(noise, params)


FLOWS = {
    "planar": ae.flows.planar(layers=2),
    "masked_autoregressive": ae.flows.masked_autoregressive(layers=2, hidden=(8,)),
    "inverse_autoregressive": ae.flows.inverse_autoregressive(layers=2, hidden=(8,)),
    "realnvp": ae.flows.realnvp(layers=2, hidden=(8,)),
    "spline": ae.flows.rational_quadratic_spline(layers=2, bins=4, hidden=(8,)),
    "autoregressive_spline": ae.flows.rational_quadratic_spline(
        layers=1, bins=4, hidden=(8,), coupling=False
    ),
}


def _through(name: str, size: int) -> Any:
    flow = FLOWS[name]
    params = moved(flow.init(jax.random.key(0), size, 0))
    return d.Transformed(_diagonal(size), params, None, flow)


def _two_levels(size: int) -> Any:
    """z_2, and z_1 whose mean and variance hang on it."""
    assert size == 2

    def walk(params, told, pick):
        top = d.DiagonalGaussian(params["loc"][:1], params["log_scale"][:1])
        above = pick(1, top)
        loc = params["loc"][1:] + jnp.tanh(2 * above)
        below = d.DiagonalGaussian(loc, params["log_scale"][1:] + jnp.sin(above))
        levels = Level(pick(0, below), below, None), Level(above, top, None)
        return Walk(levels, levels[0].z)

    params = {"loc": jnp.asarray(LOC), "log_scale": jnp.asarray(LOG_SCALE)}
    return d.Hierarchy(params, None, walk, ((1,), (1,)))


LAWS = {
    "diagonal": (_diagonal, vectors),
    "full": (_full, vectors),
    "low_rank": (_low_rank, vectors),
    "laplace": (lambda n: d.Laplace(LOC[:n], LOG_SCALE[:n]), vectors),
    "student_t": (lambda n: d.StudentT(LOC[:n], LOG_SCALE[:n], 4.0), vectors),
    "power_spherical": (_sphere, sphere),
    "uniform_sphere": (lambda n: d.UniformSphere((n + 1,)), sphere),
    "wrapped_normal": (_wrapped, ball),
    "mixture": (_mixture, vectors),
    "hierarchy": (_two_levels, vectors),
} | {name: (functools.partial(_through, name), vectors) for name in FLOWS}
"""By name: the distribution over so many dimensions, and the grid."""
COUPLINGS = ("realnvp", "spline", "hierarchy")
"""What one dimension is too few for."""
