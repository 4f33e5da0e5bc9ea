"""The configs of text, series and tables, shortened, against what is known without training."""

import numpy as np
import pytest

import ae_jax as ae
from ae_jax.data.dataset import of_section
from ae_jax.data.source import in_memory
from tests.test_configs import FILES, module_of


def trained(name, steps, **arguments):
    """`(run, its test metrics, training examples, test examples)` of a config after some steps."""
    (path,) = (path for path in FILES if path.stem == name)
    config = module_of(path).get_config()
    config.training.update(steps=steps, log_every=steps, eval_every=steps)
    config.parallel.devices = 1
    for key, value in arguments.items():
        config.data.arguments[key] = value
    run = ae.fit_config(config, progress=False)
    dataset = of_section(run.config.data)
    train, test = (in_memory(part).x for part in (dataset.train, dataset.test))
    return run, run.summary["metrics"]["test"], train, test


def principal(train, test, rank):
    """Test rows from `rank` principal components of the training rows."""
    mean = train.mean(0)
    axes = np.linalg.svd(train - mean, full_matrices=False)[2][:rank]
    return (test - mean) @ axes.T @ axes + mean


@pytest.mark.slow
def test_text_comes_back_from_64_numbers():
    run, metrics, _, test = trained("autoencoder_text", 700)
    assert metrics["accuracy"] > 0.8
    again = run.reconstruct(test[::16])
    assert (again == test[::16]).mean() == pytest.approx(metrics["accuracy"], abs=0.02)


@pytest.mark.slow
def test_text_has_active_latents_and_beats_the_frequency_of_bytes():
    run, metrics, train, test = trained("vae_text", 200)
    share = (np.bincount(train.ravel(), minlength=256) + 1) / (train.size + 256)
    by_frequency = -np.log(share)[test].sum(1).mean()
    assert metrics["neg_elbo"] < by_frequency
    usage = run.latent_usage(test[::4])
    assert usage.active.all()
    assert usage.mutual_information > 3


@pytest.mark.slow
def test_a_series_comes_back_better_than_from_principal_components():
    _, metrics, train, test = trained("autoencoder_series", 1_500, size=10_000)
    mean, std = train.mean((0, 1)), train.std((0, 1))
    rows = lambda x: ((x - mean) / std).reshape(len(x), -1)
    left = np.mean((principal(rows(train), rows(test), 32) - rows(test)) ** 2)
    assert metrics["mse"] < 0.8 * left


@pytest.mark.slow
def test_a_table_comes_back_better_than_from_principal_components():
    _, metrics, train, test = trained("autoencoder_table", 1_000)
    mean, std = train[:, :-1].mean(0), train[:, :-1].std(0)
    rows = lambda x: np.c_[(x[:, :-1] - mean) / std, 2 * x[:, -1:] - 1]
    found = principal(rows(train), rows(test), 4)
    assert metrics["mse"] < 0.9 * np.mean((found - rows(test))[:, :-1] ** 2)
    assert metrics["accuracy"] > np.mean(np.sign(found[:, -1]) == rows(test)[:, -1])
