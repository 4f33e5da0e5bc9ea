"""Codes as integers of a run: there and back, on any number of devices, and where they start."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.errors import ConfigError, DataError, PartError, ShapeError
from ae_jax.runs.start import Start
from tests import small, untrained
from tests.bottlenecks.quantisers import CASES

X = small.arrays()
NETWORK = ae.networks.linear()
PARTS = {"encoder": NETWORK, "decoder": NETWORK}
RECIPES = {
    "fsq": lambda: ae.recipes.fsq_vae((2, 3), levels=(5, 4, 3), **PARTS),
    "residual": lambda: ae.recipes.residual_vq_vae(
        (2, 3), levels=2, num_codes=8, dropout=0.5, **PARTS
    ),
    "dvae": lambda: ae.recipes.dvae((2, 3), num_codes=8, **PARTS),
}


@functools.cache
def run_of(name):
    return untrained.run_of(RECIPES[name](), small.small_test_data())


@pytest.mark.parametrize(
    "name", ["residual", *(pytest.param(n, marks=pytest.mark.slow) for n in ("fsq", "dvae"))]
)
def test_codes_decode_to_the_reconstruction_and_are_those_of_the_latent(name):
    run = run_of(name)
    numbers = run.codes(X)
    codes = run.model.bottleneck.codes
    assert numbers.shape == (len(X), *codes.shape)
    assert numbers.dtype == np.int32
    np.testing.assert_allclose(run.decode_codes(numbers), run.reconstruct(X), rtol=1e-5, atol=1e-6)
    z = run.encode(X).reshape(len(X), -1)
    assert len(np.unique(numbers.reshape(len(X), -1), axis=0)) == len(np.unique(z, axis=0))
    use = run.code_use(X)
    columns = numbers.reshape(-1, 2 if name == "residual" else 1)
    for column, found in zip(columns.T, use.counts, strict=True):
        counts = np.bincount(column)
        np.testing.assert_array_equal(found, counts[counts > 0])
    assert use.counts[0].sum() == 2 * len(X)


def test_the_first_levels_are_a_code_of_their_own():
    run = run_of("residual")
    numbers = run.codes(X[:9])
    first = run.decode_codes(numbers[..., :1])
    state = run.variables.state["bottleneck"]
    z = np.asarray(state["codebook"])[0][numbers[..., 0]]
    np.testing.assert_allclose(first, run.decode(z), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.devices(8)
def test_codes_and_their_use_are_the_same_integers_on_any_number_of_devices(tmp_path):
    made = small.config(RECIPES["residual"](), steps=4, eval_every=4)
    small.fit_quietly(made, tmp_path)
    found = []
    for devices in (1, 2, 4, 8):
        run = ae.load(tmp_path)
        config = ae.config.replaced(run.config, {"parallel.devices": devices})
        run = dataclasses.replace(run, config=config)
        use = run.code_use()  # of the run's own test split
        assert sum(use.counts[0]) == small.TEST * 2
        found.append((run.codes(X), *use.counts, use.perplexity))
    for other in found[1:]:
        jax.tree.map(np.testing.assert_array_equal, other, found[0])


def test_what_is_no_code_is_refused():
    run = run_of("residual")
    good = np.zeros((3, 2, 2), int)
    for bad, error, message in (
        (good.astype(float), DataError, "codes must be integers, got float64"),
        (good + 8, DataError, "codes must lie in 0 to 7, got 8 to 8"),
        (good - 1, DataError, "codes must lie in 0 to 7, got -1 to -1"),
        (good[:, 0], ShapeError, r"\[n, 2, 2\] \(or fewer on the last axis\), got \(3, 2\)"),
        (good[..., :0], ShapeError, r"got \(3, 2, 0\)"),
        (np.int32(3), ShapeError, r"got \(\)"),
    ):
        with pytest.raises(error, match=message):
            run.decode_codes(bad)


def test_a_run_without_integers_says_so():
    plain = untrained.run_of(small.vae(), X)
    for use in (plain.codes, plain.decode_codes, plain.code_use):
        with pytest.raises(PartError, match="its bottleneck 'gaussian' does not quantise"):
            use(X)


def starting(devices, batch=16):
    bottleneck = ae.bottlenecks.vector_quantized((2, 3), 24, kmeans=True)
    recipe = ae.recipes.vq_vae((2, 3), num_codes=24, **PARTS)._replace(bottleneck=bottleneck)
    return small.config(recipe, devices, steps=1, eval_every=1, batch_size=batch)


def test_a_first_batch_of_fewer_vectors_than_codes_ends_the_run_before_it_trains():
    message = r"num_codes=24 codes cannot be drawn from the 22 vectors .* a batch of 12 or more"
    with pytest.raises(ConfigError, match=message):
        ae.fit_config(starting(1, batch=11), progress=False)


def test_a_codebook_starts_at_the_first_batch_on_any_number_of_devices(monkeypatch):
    seen = []

    def taken(self, state, *rest):
        seen.append(state)
        return state, {}

    monkeypatch.setattr(Start, "_train", taken)
    for devices in (1, min(4, jax.device_count())):
        ae.fit_config(starting(devices), progress=False)
    one, many = (jax.device_get(state.variables) for state in seen)
    jax.tree.map(np.testing.assert_array_equal, one, many)
    codebook = one.state["bottleneck"]["codebook"]
    counts = one.state["bottleneck"]["counts"]
    assert counts.sum() == 32  # of 16 examples, 2 positions each
    plain = CASES["vector_quantized"].bottleneck.init(jax.random.key(0))[1]["codebook"]
    assert codebook.std() < plain.std()  # features of the untrained encoder are smaller


def test_more_codes_than_the_first_batch_can_give_are_refused_before_training(monkeypatch):
    monkeypatch.setattr(Start, "_train", lambda *rest: pytest.fail("training began"))
    message = "num_codes=24 codes cannot be drawn from the 16 vectors of the first batch"
    with pytest.raises(ConfigError, match=message):
        ae.fit_config(starting(1, batch=8), progress=False)
