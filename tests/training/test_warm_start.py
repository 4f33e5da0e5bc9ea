"""Starting from another run: whole, or some of its parts."""

import jax
import numpy as np
import pytest

import ae_jax as ae
from tests import small


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("first")
    return workdir, small.train(workdir, steps=20).variables


def started(tmp_path, recipe=None, **fields):
    """The variables after one step too small to move anything."""
    optimizer = {"name": "sgd", "learning_rate": 1e-30}
    return small.train(tmp_path, recipe=recipe, steps=1, optimizer=optimizer, **fields).variables


def test_a_run_starts_from_all_that_another_has_learned(tmp_path, first):
    workdir, learned = first
    variables = started(tmp_path, init_from=str(workdir), seed=5)
    assert small.distance(variables.params, learned.params) < 1e-9


def test_a_run_starts_from_the_encoder_alone(tmp_path, first):
    workdir, learned = first
    fresh = started(tmp_path / "fresh", seed=5)
    warm = started(tmp_path / "warm", init_from=str(workdir), init_parts=["encoder"], seed=5)
    assert small.distance(warm.params["encoder"], learned.params["encoder"]) < 1e-9
    assert small.distance(warm.params["decoder"], fresh.params["decoder"]) < 1e-9
    assert small.distance(warm.params["decoder"], learned.params["decoder"]) > 0.1


@pytest.mark.slow
def test_a_denoising_model_takes_the_decoder_of_a_variational_one(tmp_path, first):
    workdir, learned = first
    network = ae.networks.mlp((16,))
    recipe = ae.recipes.denoising(2, encoder=network, decoder=network)
    warm = started(tmp_path, recipe, init_from=str(workdir), init_parts=["decoder"])
    assert small.distance(warm.params["decoder"], learned.params["decoder"]) < 1e-9


@pytest.mark.slow
def test_a_resumed_run_does_not_start_over(tmp_path, first):
    workdir, _ = first
    options = {"init_from": str(workdir), "init_parts": ["encoder"]}
    whole = small.train(tmp_path / "whole", steps=30, **options)
    small.train(tmp_path / "parts", steps=10, **options)
    resumed = small.train(tmp_path / "parts", steps=30, **options)
    small.assert_identical(resumed.variables, whole.variables)


@pytest.mark.parametrize(
    ("fields", "error", "match"),
    [
        ({"init_from": "nowhere"}, ae.errors.MissingFileError, "nowhere"),
        ({"init_parts": ["encodr"]}, ae.errors.UnknownNameError, "did you mean 'encoder'"),
        ({"recipe": ae.recipes.vae(3, encoder=ae.networks.mlp((16,)))}, ae.errors.ShapeError,
         r"cannot start from .*\['decoder'\].* has shape \(16,\) there, \(128,\) here"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(tmp_path, first, fields, error, match):
    with pytest.raises(error, match=match):
        started(tmp_path, **{"init_from": str(first[0]), **fields})


def test_the_encoder_serves_a_classifier_of_the_users_own(first):
    """Fine-tuning: the encoder's variables alone, a linear head, and optax."""
    workdir, learned = first
    run = ae.load(workdir)
    x = jax.numpy.asarray(small.arrays())
    alone = ae.Variables({name: learned.params[name] for name in ("encoder",)}, {})
    codes = run.model.encode(alone, run.preprocessing.apply(x))
    np.testing.assert_allclose(codes, run.encode(x), rtol=1e-5, atol=1e-6)
