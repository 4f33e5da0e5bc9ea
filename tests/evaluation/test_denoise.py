"""SSIM against scikit-image, and a run beside classical denoisers, each at its best setting."""

import importlib.util
import sys

import jax
import numpy as np
import pytest
from skimage import restoration
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import ae_jax as ae
from ae_jax import evaluation
from ae_jax.data.source import sampled
from ae_jax.errors import ConfigError, DataError, MissingFileError, ShapeError, UnknownNameError
from ae_jax.evaluation import classical

SIDE, HIGH = 12, 200.0
PLACE = np.random.default_rng(0).integers(0, SIDE - 4, size=(40, 2))
ROW, COLUMN = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
X = np.stack(  # bright squares on grey
    [(abs(ROW - r - 2) < 3) & (abs(COLUMN - c - 2) < 3) for r, c in PLACE]
)
X = (60 + 120.0 * X[..., None]).astype(np.float32)
DATA = ae.data.from_arrays(X, test=X[:12])
INSTALLED = ("total_variation", "non_local_means", "median")
QUICK = ("total_variation", "median")


@pytest.fixture(scope="module")
def run():
    """A run that copies: linear, to a code of all pixels."""
    linear, size = ae.networks.linear(), SIDE**2
    recipe = ae.recipes.denoising(
        size, encoder=linear, decoder=linear, corruption=ae.corruptions.gaussian(0.1)
    )
    spec = ae.Spec((SIDE, SIDE, 1), "real")
    model, objective = recipe.build(spec)
    copy = lambda leaf: np.eye(size, dtype=np.float32) if leaf.ndim == 2 else np.zeros(leaf.shape)
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros(spec.event_shape, np.float32))
    config, scale = ae.config.complete({}), ae.data.preprocessing.scale(0.0, HIGH)
    shape, limits = spec.event_shape, (0.0, HIGH)
    variables = jax.tree.map(copy, shapes)
    return ae.Run(model, objective, variables, config, scale, spec, shape, 40, limits)


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_ssim_is_that_of_scikit_image(channels):
    rng = np.random.default_rng(1)
    x = rng.uniform(-50, HIGH, (3, 20, 17, *channels))
    again = x + rng.normal(size=x.shape) * 40
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    options |= {"data_range": HIGH + 50, "channel_axis": -1 if channels else None}
    got = evaluation.ssim(x, again, -50.0, HIGH)
    want = [structural_similarity(a + 50, b + 50, **options) for a, b in zip(x, again, strict=True)]
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_ssim_of_images_smaller_than_its_window_takes_a_smaller_one():
    x = np.random.default_rng(2).random((2, 8, 6))
    want = [
        ae.losses.ssim(a[..., None], a[..., None] * 0.5, data_range=1.0, window_size=5) for a in x
    ]
    np.testing.assert_allclose(evaluation.ssim(x, 0.5 * x, 0.0, 1.0), want, rtol=1e-4)
    with pytest.raises(ShapeError, match=r"images are \[n, h, w\] or \[n, h, w, c\], got \(2, 8\)"):
        evaluation.ssim(x[:, :, 0], x[:, :, 0], 0.0, 1.0)
    with pytest.raises(ShapeError, match="one shape"):
        evaluation.ssim(x, x[:1], 0.0, 1.0)


def test_all_see_the_same_noise_and_scores_are_scikit_images(run):
    sets = evaluation.before_and_after(run, DATA, "gaussian", 0.2, methods=QUICK, num=5)
    assert list(sets) == ["clean", "noisy", "run", *QUICK]
    chosen = sampled(DATA.test, 5).x
    np.testing.assert_allclose(sets["clean"], chosen / HIGH, rtol=1e-6)
    np.testing.assert_allclose(sets["run"], np.clip(sets["noisy"], 0, 1), atol=1e-5)  # it copies
    assert (sets["noisy"] - sets["clean"]).std() == pytest.approx(0.2, rel=0.1)
    table = evaluation.denoise(run, DATA, noises={"gaussian": [0.2]}, methods=QUICK, num=5)
    assert list(table) == ["gaussian 0.2"]
    for way, scores in table["gaussian 0.2"].items():
        pairs = list(zip(sets["clean"], sets[way], strict=True))
        want = np.mean([peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in pairs])
        assert scores["psnr"] == pytest.approx(want, rel=1e-6)
        assert scores["ssim"] == pytest.approx(
            evaluation.ssim(sets["clean"], sets[way], 0, 1).mean()
        )
    psnr = {way: scores["psnr"] for way, scores in table["gaussian 0.2"].items()}
    assert psnr["total_variation"] > psnr["noisy"] + 5


def test_the_setting_is_the_best_of_those_tried_on_training_images():
    rng = np.random.default_rng(3)
    clean = X[:4] / HIGH
    noisy = clean + 0.1 * rng.normal(size=clean.shape)
    error = lambda again: np.mean((np.clip(again, 0, 1).reshape(clean.shape) - clean) ** 2)
    tried = [
        error(
            np.stack(
                [restoration.denoise_tv_chambolle(x, weight=w, channel_axis=-1) for x in noisy]
            )
        )
        for w in (0.03, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1.0)
    ]
    best = classical.best_setting("total_variation", clean, noisy)
    assert error(classical.applied(best, noisy)) == min(tried) < 0.5 * max(tried)


@pytest.mark.slow
def test_more_noise_leaves_less_and_images_without_error_count_for_nothing(run):
    noises = {"gaussian": (0.05, 0.4), "salt_and_pepper": (0.0,)}
    table = evaluation.denoise(run, DATA, noises=noises, methods=["median"])
    first, second, none = table.values()
    for way in ("noisy", "run"):
        assert first[way]["psnr"] > second[way]["psnr"] + 10
        assert first[way]["ssim"] > second[way]["ssim"]
    assert none["noisy"] == {"psnr": np.inf, "ssim": 1.0}
    some = {"gaussian": (0.4,)}
    again = evaluation.denoise(run, DATA, noises=some, methods=["median"])
    assert again["gaussian 0.4"] == second


@pytest.mark.parametrize("name", ["wavelet", "non_local_means"])
def test_the_others_denoise_where_they_are_installed(name):
    if name == "wavelet":
        pytest.importorskip("pywt")
    rng = np.random.default_rng(3)
    clean = X[:4] / HIGH
    noisy = clean + 0.2 * rng.normal(size=clean.shape)
    again = classical.applied(classical.best_setting(name, clean, noisy), noisy)
    assert np.mean((again - clean) ** 2) < 0.7 * np.mean((noisy - clean) ** 2)


def test_methods_are_those_installed_and_others_say_how_to_install_them(run, monkeypatch):
    found = importlib.util.find_spec
    without = lambda name: None if name in ("skimage", "pywt") else found(name)
    monkeypatch.setattr(importlib.util, "find_spec", without)
    assert classical.chosen_methods(None) == ("median",)
    monkeypatch.setattr(importlib.util, "find_spec", found)
    expected = INSTALLED if found("pywt") is None else tuple(classical.METHODS)
    assert classical.chosen_methods(None) == expected
    monkeypatch.setitem(sys.modules, "skimage.restoration", None)
    with pytest.raises(MissingFileError, match="pip install scikit-image PyWavelets"):
        evaluation.denoise(run, DATA, methods=["total_variation"])
    with pytest.raises(UnknownNameError, match="'wavelets'; did you mean 'wavelet'"):
        evaluation.denoise(run, DATA, methods=["wavelets"])


def test_what_cannot_be_denoised_is_refused(run):
    with pytest.raises(ConfigError, match="levels of gaussian, .*, got 'rain'"):
        evaluation.denoise(run, DATA, noises={"rain": [0.1]})
    with pytest.raises(DataError, match="judged on test images, and there are none"):
        evaluation.denoise(run, DATA._replace(test=ae.data.Arrays(X[:0])))
    row = ae.Run(
        run.model, None, run.variables, run.config, run.preprocessing, ae.Spec((6,), "real"), (6,),
        1, (0.0, 1.0),
    )  # fmt: skip
    with pytest.raises(ShapeError, match=r"images can be denoised so, not examples \(6,\)"):
        evaluation.denoise(row, DATA)
