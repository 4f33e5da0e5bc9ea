"""Runs whose latents stand in levels: all that a Run does, it does."""

import jax
import numpy as np
import pytest

import ae_jax as ae

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(64, 5)).astype(np.float32)
IMAGES = (RNG.random((64, 6, 7)) < 0.5).astype(np.uint8)
SMALL = {"width": 8}
RECIPES = {
    "ladder_vae": (lambda: ae.recipes.ladder_vae((3, 2), warm_up=4, **SMALL), ROWS),
    "vdvae of images": (lambda: ae.recipes.vdvae(((3, 4, 1), (2, 2, 2)), width=4), IMAGES),
    "vdvae of rows": (lambda: ae.recipes.vdvae((3, 2), free_bits=0.1, **SMALL), ROWS),
}


def trained(name, steps, workdir=None, **options):
    make, x = RECIPES[name]
    options = {"batch_size": 16, "progress": False, "seed": 0} | options
    return ae.fit(make(), x, steps=steps, workdir=workdir, **options), x


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ladder_vae", "vdvae of rows"])
def test_a_run_encodes_samples_bounds_and_is_loaded(name, tmp_path):
    run, x = trained(name, 6, tmp_path)
    codes = run.encode(x[:9])
    assert codes.shape == (9, 5)
    np.testing.assert_allclose(run.decode(codes), run.reconstruct(x[:9]), rtol=1e-5, atol=1e-6)
    assert np.abs(run.encode(x[:9], key=jax.random.key(1)) - codes).min(axis=1).max() > 0
    samples = run.sample(8, seed=0)
    assert samples.shape == (8, *x.shape[1:])
    assert np.isfinite(samples).all()
    rates = ae.evaluation.rate_distortion(run, x, samples=200)
    metrics = run.evaluate(x)
    assert run.log_likelihood(x, 200, seed=0).mean() > -metrics["neg_elbo"] - 0.2
    levels = metrics["level_1_kl"] + metrics["level_2_kl"]
    assert rates.rate.mean() == pytest.approx(levels, rel=0.2, abs=1e-2)
    again = ae.load(tmp_path)
    np.testing.assert_array_equal(again.sample(8, seed=0), samples)
    np.testing.assert_array_equal(again.encode(x[:9]), codes)
    with pytest.raises(ae.errors.PartError, match="the posterior is Hierarchy"):
        run.latent_usage(x)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vdvae of images", "ladder_vae"])
def test_a_resumed_run_is_the_one_never_stopped(name, tmp_path):
    whole, _ = trained(name, 8)
    trained(name, 4, tmp_path)
    resumed, _ = trained(name, 8, tmp_path)
    jax.tree.map(np.testing.assert_array_equal, resumed.variables, whole.variables)


def test_levels_that_no_image_has_are_refused_before_anything_is_compiled():
    with pytest.raises(ae.errors.ShapeError, match=r"an image of shape \(6, 7\) never has"):
        ae.fit(ae.recipes.vdvae(((5, 5, 1), (3, 3, 1)), **SMALL), IMAGES, steps=1, batch_size=16)


def test_the_recipes_are_their_parts():
    ladder, vdvae = ae.recipes.ladder_vae((6, 4, 2)), ae.recipes.vdvae(free_bits=0.5)
    assert ladder.encoder.node.to_dict()["taps"] == (12, 8, 4)
    assert ladder.objective.terms[1].schedule(5_000) == pytest.approx(0.5)
    assert vdvae.encoder.node.to_dict()["taps"] == ((14, 14, 32), (7, 7, 32), (4, 4, 32))
    assert vdvae.decoder.node.to_dict()["features"] == (32,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ae.recipes.ladder_vae((8, 8)), "level 2 has 8 dimensions above 8, take at most 7"),
        (lambda: ae.recipes.ladder_vae((8,)), r"levels must be two or more sizes, .*got \(8,\)"),
        (lambda: ae.recipes.vdvae((4, 8)), "level 2 has 8 dimensions above 4, take at most 3"),
        (
            lambda: ae.recipes.vdvae(((4, 4, 1), (3, 2, 1))),
            r"level 2 has \(3, 2\) positions above \(4, 4\), take \(2, 2\)",
        ),
        (lambda: ae.recipes.ladder_vae((8, 4), warm_up=0), "warm_up must be a positive number"),
        (lambda: ae.recipes.vdvae(free_bits=-1.0), "threshold must not be negative, got -1.0"),
    ],
)
def test_a_hierarchy_that_is_none_is_refused_in_one_line(make, message):
    with pytest.raises(ae.errors.ConfigError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
