"""The genuine Fashion-MNIST, built by TFDS: all of it is there, and trains in both engines."""

import hashlib
import os
import pathlib

import numpy as np
import pytest

import ae_jax as ae
from tests.scripts import ROOT
from tests.test_configs import module_of

DATA_DIR = pathlib.Path(os.environ.get("TFDS_DATA_DIR", ""), "fashion_mnist")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "TFDS_DATA_DIR" not in os.environ or not DATA_DIR.is_dir(),
        reason="$TFDS_DATA_DIR holds no fashion_mnist: python scripts/prepare_data.py "
        "--from_debian --data_dir=$TFDS_DATA_DIR",
    ),
]
# Of the pixels of each image and its label, 785 bytes, sorted, since TFDS shuffles: computed from
# the IDX files of Debian's package dataset-fashion-mnist 0.0~git20200523.55506a9-1 without TFDS.
SHA256 = {
    "train": "4bc58f5926b1420d49344d02d6e71205a6644e54f0d302bc45b3918681b3998e",
    "test": "81875622ad6afb3e0bbaab6b5725f6f1d7759c18ac59f6306006d04c25bd7d29",
}
STEPS = 200


@pytest.fixture(scope="module")
def dataset():
    return ae.data.load("tfds:fashion_mnist")


def rows(split, every=1):
    """Pixels and label of examples, `[n, 785]`."""
    read = split.read(np.arange(0, len(split), every))
    label = read.extras["label"].astype(np.uint8)
    return np.concatenate([read.x.reshape(len(label), -1), label[:, None]], axis=1)


@pytest.mark.parametrize(("split", "size"), [("train", 60_000), ("test", 10_000)])
def test_every_image_with_its_label_is_there(dataset, split, size):
    source = dataset.splits[split]
    assert (len(source), source.spec.x.shape, source.spec.x.dtype) == (size, (28, 28, 1), np.uint8)
    found = rows(source)
    np.testing.assert_array_equal(np.bincount(found[:, -1]), [size // 10] * 10)
    assert hashlib.sha256(b"".join(sorted(map(bytes, found)))).hexdigest() == SHA256[split]


def test_the_cache_holds_what_the_records_do(dataset):
    records = ae.data.load("tfds:fashion_mnist", cache=False)
    for split, source in dataset.splits.items():
        held, expected = rows(source, every=10), rows(records.splits[split], every=10)
        np.testing.assert_array_equal(held, expected, err_msg=split)


@pytest.fixture(scope="module")
def runs(dataset):
    """By engine: the run, and its training loss every ten steps."""
    recipe = ae.recipes.vae(latent_dim=20, likelihood=ae.likelihoods.bernoulli())
    found = {}
    for engine in ("resident", "streaming"):
        points = []
        options = {"steps": STEPS, "engine": engine, "log_every": 10, "progress": False}
        run = ae.fit(recipe, dataset, callbacks=[points.append], **options)
        losses = [point.metrics["loss"] for point in points if point.split == "train"]
        found[engine] = run, np.array(losses)
    return found


def test_both_engines_train_on_the_same_batches(runs):
    (resident, expected), (streaming, losses) = runs.values()
    assert len(losses) == STEPS // 10
    np.testing.assert_allclose(losses[:4], expected[:4], rtol=1e-5)
    # Adam's first steps are the signs of the gradients, also of those that are rounding alone.
    np.testing.assert_allclose(losses, expected, rtol=1e-2)
    after = streaming.evaluate()
    for name, value in resident.evaluate().items():
        np.testing.assert_allclose(after[name], value, rtol=2e-2, err_msg=name)


def test_training_beats_the_best_constant_image(dataset, runs):
    x = dataset.train.read(np.arange(60_000)).x.reshape(-1, 784) / 255.0
    test = dataset.test.read(np.arange(10_000)).x.reshape(-1, 784) / 255.0
    p = x.mean(axis=0).clip(1e-6, 1 - 1e-6)
    constant = -np.mean(np.sum(test * np.log(p) + (1 - test) * np.log1p(-p), axis=1))
    for engine, (run, _) in runs.items():
        assert run.evaluate()["loss"] < 0.8 * constant, engine


PYTORCH = (242.16, 241.84, 241.88)
"""Test -ELBO, nats, of seeds 0 to 2: PyTorch 2.13.0 on CPU, 2026-11-22, a script of its own with
the same set-up (784-500-20, ReLU, batch 128, Adam 1e-3, 4,690 steps, Bernoulli on pixels binarised
anew at each step; mean of three binarisations and samples of the test split)."""


def test_the_variational_autoencoder_reaches_the_bound_of_another_implementation():
    config = module_of(ROOT / "configs" / "vae_fashion_mnist.py").get_config()
    run = ae.fit_config(config, progress=False)
    found = run.summary["metrics"]["test"]
    assert found["neg_elbo"] == pytest.approx(np.mean(PYTORCH), abs=1.0)
    assert 17 < found["kl"] < 21  # PyTorch: 18.8, 19.4, 17.8


def test_the_code_of_the_autoencoder_explains_more_than_as_many_principal_components(dataset):
    train, test = (
        split.read(np.arange(len(split))).x.reshape(-1, 784) / np.float32(255)
        for split in (dataset.train, dataset.test)
    )
    # Through the moments, an independent reference: the largest eigenvectors of the covariance.
    mean = train.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(train, rowvar=False))
    components = vectors[:, -32:]
    left = test - mean
    residual = left - left @ components @ components.T
    explained = 1 - np.mean(residual**2) / np.mean(np.square(left))
    assert explained == pytest.approx(0.825, abs=2e-3)  # 0.01514 left, as the config documents

    config = module_of(ROOT / "configs" / "autoencoder_fashion_mnist.py").get_config()
    config.training.steps = 3_000
    run = ae.fit_config(config, progress=False)
    found = run.summary["metrics"]["test"]["mse"]
    assert 1 - found / np.mean(np.square(left)) > explained + 0.04
