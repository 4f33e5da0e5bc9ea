"""What every posterior, prior and flow keeps: its density is one, and that of its samples."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ae_jax.types import Distribution
from tests import fast
from tests.distributions.cases import COUPLINGS, LAWS

DRAWS = 2000
QUICK = ("power_spherical", "wrapped_normal", "mixture", "hierarchy", "inverse_autoregressive")
LINE = np.array([0.8, -0.5, 0.3])
"""What points are projected on, to be compared in one dimension."""


def computed(name, size):
    """Log-densities on the grid, samples with theirs, and moments, in one program."""
    law, grid = LAWS[name][0](size), LAWS[name][1](size)
    points = jnp.asarray(grid.points, jnp.float32)

    def compute(law, points, keys):
        drawn = jax.vmap(law.sample)(keys)
        together = getattr(law, "sample_and_log_prob", lambda key: (law.sample(key), 0.0))
        gradient = jax.grad(lambda law: law.log_prob(law.sample(keys[0])), allow_int=True)(law)
        few = points[:: max(1, len(points) // 7)]
        return {
            "log_prob": jax.vmap(law.log_prob)(points),
            "sample": drawn,
            "log_prob of samples": jax.vmap(law.log_prob)(drawn),
            "together": jax.vmap(together)(keys),
            "gradient": gradient,
            "reversed": jax.vmap(law.log_prob)(few[::-1]),
            "half": law.log_prob(points[len(points) // 3].astype(jnp.bfloat16)),
            "mean and mode": (law.mean, law.mode),
        }

    keys = jax.random.split(jax.random.key(1), DRAWS)
    return law, grid, fast.jit(compute)(law, points, keys)


CASES = [
    pytest.param(
        name,
        size,
        id=f"{name}-{size}",
        marks=[] if size == 2 and name in QUICK else [pytest.mark.slow],
    )
    for name in LAWS
    for size in (1, 2)
    if not (size == 1 and name in COUPLINGS)
]


@pytest.mark.parametrize(("name", "size"), CASES)
def test_the_density_is_one_and_that_of_the_samples(name, size):
    law, grid, found = computed(name, size)
    assert isinstance(law, Distribution)
    density = np.exp(np.asarray(found["log_prob"], np.float64)) * grid.volumes
    assert density.sum() == pytest.approx(1, abs=3e-3)
    assert_drawn_from(grid.points, density / density.sum(), np.asarray(found["sample"]))
    assert_shapes(law, grid, found)


def assert_drawn_from(points, density, sample):
    """Kolmogorov and Smirnov's test of projections on a line, with the CDF summed over the grid."""
    line = LINE[: points.shape[1]]
    order = np.argsort(points @ line)
    places, cdf = (points @ line)[order], np.cumsum(density[order])
    known = functools.partial(np.interp, xp=places, fp=cdf)
    assert stats.kstest(sample.astype(np.float64) @ line, known).pvalue > 1e-3


def assert_shapes(law, grid, found):
    event = grid.points.shape[1:]
    assert found["sample"].shape == (DRAWS, *event)
    assert found["log_prob"].shape == grid.points.shape[:1]
    assert {v.shape for v in found["mean and mode"]} == {event}
    assert found["log_prob"].dtype == found["half"].dtype == jnp.float32
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found["gradient"]))
    step = max(1, len(grid.points) // 7)
    alone = found["log_prob"][::step]
    np.testing.assert_allclose(found["reversed"][::-1], alone, rtol=1e-3, atol=1e-4)
    if hasattr(law, "sample_and_log_prob"):
        z, log_prob = found["together"]
        np.testing.assert_allclose(z, found["sample"], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(log_prob, found["log_prob of samples"], rtol=1e-3, atol=1e-3)


def test_a_wrong_density_is_found_out():
    _, grid, found = computed("laplace", 2)
    wider = np.exp(2 * np.asarray(found["log_prob"], np.float64)) * grid.volumes
    with pytest.raises(AssertionError):
        assert_drawn_from(grid.points, wider / wider.sum(), np.asarray(found["sample"]))
