"""Path length in closed form, along straight and spherical steps."""

import numpy as np
import pytest

from ae_jax.errors import ConfigError, ShapeError
from ae_jax.evaluation import _paths, path_length

RNG = np.random.default_rng(0)
START, END = RNG.normal(size=(2, 50, 4))


def test_of_a_linear_decoder_it_is_the_mean_squared_distance():
    weights = RNG.normal(size=(4, 6))
    decode = lambda z: z.reshape(len(z), 4) @ weights
    want = np.mean(np.sum(((END - START) @ weights) ** 2, axis=1))
    for epsilon in (0.5, 0.01):
        got = path_length(decode, START, END, steps="linear", epsilon=epsilon)
        assert got == pytest.approx(want, rel=1e-3)
    shaped = [z.reshape(50, 2, 2) for z in (START, END)]
    assert path_length(decode, *shaped, steps="linear") == pytest.approx(want, rel=1e-3)
    twice = path_length(decode, START, END, steps="linear", features=lambda x: 2 * x)
    assert twice == pytest.approx(4 * want, rel=1e-3)


def test_on_a_circle_it_is_the_squared_angle():
    angles = RNG.uniform(0.5, 3, size=50)
    start, end = np.tile([1.0, 0.0], (50, 1)), np.stack([np.cos(angles), np.sin(angles)], axis=1)
    got = path_length(lambda z: z, start, end)
    assert got == pytest.approx(np.mean(angles**2), rel=1e-3)


def test_a_decoder_that_jumps_is_less_smooth():
    smooth = path_length(lambda z: z, START, END)
    assert path_length(lambda z: np.sign(z), START, END, seed=1) > 10 * smooth
    same = [path_length(lambda z: z**2, START, END, seed=seed) for seed in (1, 1, 2)]
    assert same[0] == same[1] != same[2]


def test_spherical_steps_end_where_they_should_and_turn_evenly():
    at = lambda path, a, b, t: _paths.PATHS[path](a, b, np.full((50, 1), t), axis=1)
    for t, end in ((0.0, START), (1.0, END)):
        np.testing.assert_allclose(at("spherical", START, END, t), end, atol=1e-12)
    unit = lambda z: z / np.linalg.norm(z, axis=1, keepdims=True)
    a, b = unit(START), unit(END)
    third = at("spherical", a, b, 1 / 3)
    np.testing.assert_allclose(np.linalg.norm(third, axis=1), 1, rtol=1e-12)
    angle = lambda x, y: np.arccos(np.sum(x * y, axis=1))
    np.testing.assert_allclose(angle(a, third), angle(a, b) / 3, rtol=1e-9)
    for other in (START, 2 * START, np.zeros_like(START), -START):  # no plane to turn in
        halves = [at(path, START, other, 0.5) for path in _paths.PATHS]
        np.testing.assert_allclose(*halves)


def test_bad_arguments_are_refused():
    with pytest.raises(ConfigError, match=r"steps must be 'spherical' or 'linear', got 'curved'"):
        path_length(lambda z: z, START, END, steps="curved")
    with pytest.raises(ConfigError, match=r"epsilon must lie in \(0, 1\), got 1.0"):
        path_length(lambda z: z, START, END, epsilon=1.0)
    with pytest.raises(ShapeError, match="as many rows, got start 50, end 49"):
        path_length(lambda z: z, START, END[:49])
