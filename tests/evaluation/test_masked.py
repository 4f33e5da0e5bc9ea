"""Masked autoencoders are evaluated with their masks, and fill in what a user hides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import evaluation
from ae_jax.data.source import Arrays, Records
from ae_jax.errors import ConfigError, DataError, PartError, ShapeError
from ae_jax.runs import gallery
from tests import fast

NUM, HIGH = 9, 16.0
X = np.random.default_rng(0).integers(0, HIGH, (NUM, 4, 6, 1)).astype(np.uint8)
GRID = np.random.default_rng(1).permuted(np.tile(np.arange(6) < 4, (NUM, 1)), axis=1)
GRID = GRID.reshape(NUM, 2, 3)
MASK = GRID.repeat(2, axis=1).repeat(2, axis=2)[..., None]
SMALL = {"width": 8, "depth": 1, "heads": 1}
SCALE = ae.data.preprocessing.scale(0.0, HIGH)


def run_of(recipe, preprocessing=SCALE, shape=(4, 6, 1), data_shape=(4, 6, 1), devices=None):
    """A Run of drawn parameters, not trained."""
    spec = ae.Spec(shape, "real")
    model, objective = recipe.build(spec)
    variables = fast.jit(model.init)(jax.random.key(0), np.zeros(shape, np.float32))
    rng = np.random.default_rng(2)
    drawn = lambda leaf: np.float32(np.asarray(leaf) + 0.2 * rng.normal(size=leaf.shape))
    config = ae.config.complete({"parallel": {"devices": devices}})
    parts = jax.tree.map(drawn, variables), config, preprocessing, spec, data_shape
    return ae.Run(model, objective, *parts, NUM, (0.0, HIGH))


def masked(rate=2 / 3):
    networks = {
        "encoder": ae.networks.vit(2, mask_rate=rate, pool="none", **SMALL),
        "decoder": ae.networks.vit_decoder(2, **SMALL),
    }
    return ae.recipes.masked_autoencoder((6, 8), patch=2, rate=rate, **networks)


@pytest.fixture(scope="module")
def run():
    return run_of(masked())


def forward(run, train=False):
    """The mean of the forward pass whose corruption hides MASK, in the data's units."""

    def hide(key, x, observed=None):
        place = jnp.argmax((x == X / np.float32(HIGH)).all((1, 2, 3)))
        mask = jnp.asarray(MASK)[place]
        return jnp.where(mask, 0, x), {"mask": mask, "patch_mask": jnp.asarray(GRID)[place]}

    model = run.model._replace(corruption=hide)
    batch = ae.Batch(jnp.asarray(X / np.float32(HIGH)))
    keys = ae.keys.for_examples(jax.random.key(1), None, jnp.arange(NUM))
    apply = lambda v: model.forward(v, batch, keys, train=train)[0].parameters[:, 0]
    return np.asarray(fast.jit(apply)(run.variables)) * HIGH


@pytest.fixture(scope="module")
def expected(run):
    """As in training, where the encoder processes the visible patches alone."""
    return np.where(MASK, forward(run, train=True), X)


def test_what_is_hidden_is_filled_in_as_in_training(run, expected):
    got = run.reconstruct(X, mask=MASK)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(got[~MASK], X[~MASK])
    other = np.where(MASK, 16 - X, X)  # what is hidden is not seen
    np.testing.assert_array_equal(run.reconstruct(other, mask=MASK)[MASK], got[MASK])
    assert np.abs(run.reconstruct(X) - got)[MASK].max() > 1e-2


@pytest.mark.parametrize("mask", [MASK, 3], ids=["mask", "seed"])
def test_missing_entries_are_filled_in_beside_a_mask(run, mask):
    observed = np.ones(X.shape, bool)
    observed[:, 0, :2] = False
    got = run.reconstruct(X, mask=mask, observed=observed)
    hidden = evaluation.reconstructed(run, Records(X, observed=observed), seed=3).hidden
    known = observed & ~(hidden if mask is not MASK else MASK)
    np.testing.assert_array_equal(got[known], X[known])
    assert (np.abs(got[~observed]) > 1e-3).all()  # not what stands in the place of nothing


def test_masks_of_patches_and_of_all_examples_alike(run, expected):
    got = run.reconstruct(X, mask=GRID)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    first = run.reconstruct(X, mask=GRID[0])
    np.testing.assert_array_equal(run.reconstruct(X, mask=MASK[0]), first)
    np.testing.assert_allclose(first[0], expected[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("devices", [8])
def test_a_seed_draws_the_runs_masks_the_same_on_any_number_of_devices(run, devices):
    got = run.reconstruct(X, mask=3)
    made = evaluation.reconstructed(run, Records(X), seed=3)
    assert (made.hidden.reshape(NUM, -1).sum(1) == 16).all()
    np.testing.assert_array_equal(got, np.where(made.hidden, made.again, X))
    np.testing.assert_allclose(run.reconstruct(X, mask=made.hidden), got, rtol=1e-4, atol=1e-4)
    other = run_of(masked(), devices=devices)
    np.testing.assert_allclose(other.reconstruct(X, mask=3), got, rtol=1e-5, atol=1e-5)
    assert not np.array_equal(run.reconstruct(X, mask=4), got)


def test_denoising_is_judged_by_the_holes_filled_in_and_by_them_alone(run):
    made = evaluation.reconstructed(run, Records(X), seed=5)
    found = evaluation.denoising(run, Arrays(X), seed=5)
    error = (np.where(made.hidden, made.again, X).astype(np.float64) - X) ** 2
    decibels = lambda mean: np.mean(10 * np.log10(HIGH**2 / mean))
    over = error[made.hidden].reshape(NUM, -1).mean(1)  # as many of each
    assert found["mse_hidden"] == pytest.approx(over.mean(), rel=1e-5)
    assert found["psnr_hidden"] == pytest.approx(decibels(over), rel=1e-5)
    whole = error.reshape(NUM, -1).mean(1)
    assert found["psnr_denoised"] == pytest.approx(decibels(whole), rel=1e-5)
    holes = np.where(made.hidden, 0.0, X) - X
    blind = decibels((holes**2).reshape(NUM, -1).mean(1))
    assert found["psnr_corrupted"] == pytest.approx(blind, rel=1e-5)


def test_figures_show_what_is_filled_in(run):
    sets = gallery.example_sets(run, Arrays(X), NUM)["reconstructions"]
    made = evaluation.reconstructed(run, Records(X))
    np.testing.assert_array_equal(sets["corrupted"], np.where(made.hidden, 0, X))
    np.testing.assert_allclose(sets["reconstruction"][~made.hidden], X[~made.hidden], rtol=1e-6)
    np.testing.assert_array_equal(sets["reconstruction"], made.again)


def test_a_probe_of_masked_examples_reads_codes_of_what_is_seen(run):
    """An encoder not told of the mask would take holes for black patches."""
    made = evaluation.reconstructed(run, Records(X))
    codes = made.codes.reshape(NUM, 6, 8)
    hidden = made.hidden.reshape(NUM, 2, 2, 3, 2)[:, :, 0, :, 0].reshape(NUM, 6)
    assert (codes[hidden] == 0).all()
    assert (np.abs(codes[~hidden]).max(-1) > 0).all()


def test_evaluation_reports_the_error_of_what_was_hidden(run):
    batch = ae.Batch(jnp.asarray(X / np.float32(HIGH)))
    keys = ae.keys.for_examples(jax.random.key(1), None, jnp.arange(NUM))

    @fast.jit
    def found(variables):
        outputs, _ = run.model.forward(variables, batch, keys)
        context = ae.Context(run.model, variables, batch, keys, jnp.int32(0), NUM)
        return evaluation.evaluation_metrics(outputs, context), outputs._replace(posterior=None)

    metrics, outputs = found(run.variables)
    error = (np.asarray(outputs.parameters[:, 0], np.float64) - np.asarray(batch.x)) ** 2
    hidden = np.asarray(outputs.info["mask"])
    over = error[hidden].reshape(NUM, -1).mean(1)
    np.testing.assert_allclose(metrics["hidden_mse"], over, rtol=1e-4)
    np.testing.assert_allclose(metrics["mse"], error.reshape(NUM, -1).mean(1), rtol=1e-4)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_denoiser_that_is_not_told_of_the_mask_sees_what_it_was_trained_on(value):
    networks = {"encoder": ae.networks.linear(), "decoder": ae.networks.linear()}
    corruption = ae.corruptions.masking(0.4, value)
    run = run_of(ae.recipes.denoising(8, corruption=corruption, **networks))
    got = run.reconstruct(X, mask=MASK)
    seen = np.where(MASK, value * HIGH, X)
    np.testing.assert_allclose(got, np.where(MASK, run.reconstruct(seen), X), rtol=1e-4, atol=1e-4)
    made = evaluation.reconstructed(run, Records(X))
    np.testing.assert_allclose(made.again, run.reconstruct(made.seen), rtol=1e-4, atol=1e-4)
    assert set(evaluation.denoising(run, Arrays(X))) == {
        "psnr_corrupted", "psnr_denoised", "psnr_hidden", "mse_hidden",
    }  # fmt: skip


def test_a_mask_is_padded_as_the_data_are():
    pad = ae.data.preprocessing.pad([(0, 2), (1, 1)])
    both = ae.data.preprocessing.chain([SCALE, pad])
    networks = {"encoder": ae.networks.linear(), "decoder": ae.networks.linear()}
    recipe = ae.recipes.denoising(8, corruption=ae.corruptions.masking(0.4), **networks)
    run = run_of(recipe, both, shape=(6, 8, 1))
    got = run.reconstruct(X, mask=MASK)
    assert got.shape == X.shape
    np.testing.assert_array_equal(got[~MASK], X[~MASK])
    np.testing.assert_allclose(got[MASK], run.reconstruct(np.where(MASK, 0, X))[MASK], rtol=1e-4)
    found = evaluation.denoising(run, Arrays(X))
    assert np.isfinite(list(found.values())).all()


@pytest.mark.parametrize(
    ("mask", "error", "match"),
    [
        (np.zeros((4, 6), bool), ShapeError, r"shape \(4, 6, 1\) or \(9, 4, 6, 1\) or \(2, 3\) or"),
        (np.zeros((8, 4, 6, 1), bool), ShapeError, r"got \(8, 4, 6, 1\)"),
        (np.zeros((4, 6, 1)), DataError, "mask must be bool, True where hidden, got dtype float64"),
        (np.ones((2, 3), bool), DataError, "hides all of example 0: leave something to see"),
        (
            np.arange(24).reshape(4, 6, 1) == 3,
            DataError,
            r"part of patch \(0, 1\) of example 0 \(see \(0, 3, 0\)\).* mask of shape \(2, 3\)",
        ),
        (np.arange(24).reshape(4, 6, 1) == 23, DataError, r"part of patch \(1, 2\)"),
    ],
)
def test_masks_that_do_not_fit_are_refused(run, mask, error, match):
    with pytest.raises(error, match=match) as raised:
        run.reconstruct(X, mask=mask)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("corruption", "match"),
    [
        (ae.corruptions.gaussian(0.1), "this one's corruption is 'gaussian'.*pass observed=~mask"),
        (None, "this one's corruption is 'none'"),
        (ae.corruptions.salt_and_pepper(0.5), "'salt_and_pepper' put 2 of them"),
        (lambda key, x, observed=None: (x, {}), "is a function of the user's"),
    ],
)
def test_a_model_that_was_not_trained_to_fill_in_refuses_masks(corruption, match):
    networks = {"encoder": ae.networks.linear(), "decoder": ae.networks.linear()}
    run = run_of(ae.recipes.autoencoder(8, corruption=corruption, **networks))
    with pytest.raises(PartError, match=match):
        run.reconstruct(X, mask=MASK)


def test_an_encoder_that_drops_other_patches_than_are_hidden_is_refused():
    networks = {"encoder": ae.networks.vit(2, mask_rate=0.5, pool="none", **SMALL)}
    recipe = ae.recipes.masked_autoencoder((6, 8), patch=2, rate=0.75, **networks)
    with pytest.raises(ConfigError, match="mask_rate=0.5 must be the corruption's rate=0.75"):
        recipe.build(ae.Spec((4, 6, 1), "real"))
