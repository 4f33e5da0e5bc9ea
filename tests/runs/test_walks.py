"""Walks through the latents start from what is observed of examples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.runs import walks as latents
from tests import untrained


def test_masked_entries_of_the_ends_are_missing_not_zero():
    x = np.random.default_rng(0).normal(50, 1, (100, 3)).astype(np.float32)
    run = untrained.run_of(ae.recipes.autoencoder(2), x)
    absent = np.zeros((4, 3), bool)
    absent[:, 1] = True
    gaps = np.ma.array(np.where(absent, 0, x[:4]), mask=absent)
    found = latents.interpolations(run, gaps[:2], gaps[2:], steps=2)
    codes = run.encode(x[:4], observed=~absent)
    np.testing.assert_array_equal(found, run.decode(codes[[0, 2, 1, 3]]))
    one = latents.traversals(run, gaps[0], extent=0.0, steps=1)
    want = np.array([[0, codes[0, 1]], [codes[0, 0], 0]])
    np.testing.assert_array_equal(one, run.decode(want))


def slerp(a, b, t):
    """In float64, by the rotation in the plane of a and b between their unit vectors."""
    a, b = np.float64(a), np.float64(b)
    across = b / np.linalg.norm(b)
    first = a / np.linalg.norm(a)
    second = across - (across @ first) * first
    second /= np.linalg.norm(second)
    angle = np.arctan2(across @ second, across @ first)
    turned = np.cos(t * angle) * first + np.sin(t * angle) * second
    return turned


def test_a_spherical_path_turns_evenly_and_keeps_the_length():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 4))
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    path = np.asarray(jax.jit(latents.spherical, static_argnums=2)(a, b, 5))
    assert path.shape == (5, 3, 4)
    np.testing.assert_allclose(path[[0, -1]], [a, b], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(path.reshape(5, -1), axis=1), np.linalg.norm(a), 1e-5)
    for point, t in zip(path, np.linspace(0, 1, 5), strict=True):
        want = slerp(a.ravel(), b.ravel(), t) * np.linalg.norm(a)
        np.testing.assert_allclose(point.ravel(), want, atol=1e-5)
    longer = np.asarray(latents.spherical(a, 3 * b, 5)).reshape(5, -1)
    lengths = np.linalg.norm(longer, axis=1)
    assert (np.diff(lengths) > 0).all()


def test_paths_between_parallel_opposite_and_zero_codes_are_straight_and_differentiable():
    a = jnp.array([1.0, 2.0, 2.0])
    for b in (2 * a, -a, 0 * a, a):
        for start, end in ((a, b), (b, a)):
            path = latents.spherical(start, end, 4)
            np.testing.assert_allclose(path, latents.linear(start, end, 4), atol=1e-6)
            gradient = jax.grad(lambda s, e: jnp.sum(latents.spherical(s, e, 4) ** 2))(start, end)
            assert np.isfinite(gradient).all()
    batch = jnp.stack([a, 2 * a, jnp.array([0.0, 1.0, -1.0])])
    mapped = jax.vmap(lambda s, e: latents.spherical(s, e, 4))(batch, batch[::-1])
    each = [latents.spherical(s, e, 4) for s, e in zip(batch, batch[::-1], strict=True)]
    np.testing.assert_allclose(mapped, each, atol=1e-6)


def test_spherical_interpolations_are_decoded_from_the_arc():
    x = np.random.default_rng(0).normal(50, 1, (100, 3)).astype(np.float32)
    run = untrained.run_of(ae.recipes.autoencoder(2), x)
    found = latents.interpolations(run, x[:2], x[2:4], steps=3, path="spherical")
    codes = run.encode(x[:4])
    arcs = np.stack([latents.spherical(codes[i], codes[i + 2], 3) for i in range(2)])
    np.testing.assert_allclose(found, run.decode(arcs.reshape(6, 2)), rtol=1e-5)
    with pytest.raises(ae.errors.ConfigError, match="did you mean 'spherical'"):
        latents.interpolations(run, x[:2], x[2:4], path="spheric")


def test_traversals_go_through_each_entrys_own_range():
    x = np.random.default_rng(0).normal(50, 1, (100, 3)).astype(np.float32)
    run = untrained.run_of(ae.recipes.autoencoder(2), x)
    code = run.encode(x[:1])[0]
    found = latents.traversals(run, x[0], extent=2.0, steps=2, loc=[1.0, 5.0], scale=[0.5, 3.0])
    want = [[0, code[1]], [2, code[1]], [code[0], -1], [code[0], 11]]
    np.testing.assert_allclose(found, run.decode(want), rtol=1e-6)


def test_codes_are_decoded_under_every_label():
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    label = np.arange(60) % 3
    network = ae.networks.mlp((8,), condition="label", num_classes=3)
    recipe = ae.recipes.vae(2, decoder=network)
    run = untrained.run_of(recipe, ae.data.from_arrays(x, extras={"label": label}))
    found = latents.relabelled(run, x[:2])
    codes, told = np.repeat(run.encode(x[:2]), 3, axis=0), {"label": np.tile([0, 1, 2], 2)}
    np.testing.assert_array_equal(found, run.decode(codes, extras=told))
    np.testing.assert_array_equal(latents.relabelled(run, x[:2], values=[1]), found[1::3])
    assert len(np.unique(found[:3], axis=0)) == 3
    with pytest.raises(ae.errors.ConfigError, match="told no 'lable'; did you mean 'label'"):
        latents.relabelled(run, x[:2], "lable")


def test_codes_of_the_prior_are_those_that_samples_are_decoded_from():
    x = np.random.default_rng(0).normal(50, 1, (100, 3)).astype(np.float32)
    for recipe in (ae.recipes.vae(2), ae.recipes.gan(2)):
        run = untrained.run_of(recipe, x)
        z = run.sample_codes(4, seed=3)
        np.testing.assert_allclose(run.decode(z), run.sample(4, seed=3), rtol=1e-6)
        between = latents.between(run, z[:2], z[2:], steps=3)
        middle = np.stack([z[i] + t * (z[i + 2] - z[i]) for i in (0, 1) for t in (0, 0.5, 1)])
        np.testing.assert_allclose(between, run.decode(middle), rtol=1e-5)
        around = latents.around(run, z[0], extent=2.0, steps=2)
        moved = [[-2, z[0, 1]], [2, z[0, 1]], [z[0, 0], -2], [z[0, 0], 2]]
        np.testing.assert_allclose(around, run.decode(moved), rtol=1e-6)
    with pytest.raises(ae.errors.PartError, match="has no prior to sample from"):
        untrained.run_of(ae.recipes.autoencoder(2), x).sample_codes(4)
