"""Samplers fitted on a run: kept with it, loaded bit for bit, refused where they do not fit."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from etils import epath

import ae_jax as ae
from tests import small, untrained


def kept_in(run, workdir):
    """The run, as if it had been trained in a workdir."""
    return dataclasses.replace(run, workdir=epath.Path(workdir))


@pytest.fixture(scope="module")
def x():
    """Two clusters of 30 and 31 examples."""
    return small.arrays()[: small.TRAIN] + 8 * (np.arange(small.TRAIN) % 2)[:, None]


@pytest.fixture(scope="module")
def labels():
    return 3 + 4 * (np.arange(small.TRAIN) % 2)  # 3 and 7


@pytest.fixture(scope="module")
def plain(x):
    return untrained.run_of(ae.recipes.autoencoder(2), x.astype(np.float32))


@pytest.fixture
def run(plain, tmp_path):
    return kept_in(plain, tmp_path)


def test_a_sampler_is_kept_and_loaded_bit_for_bit(run, x):
    fitted = ae.samplers.fit(run, x, "gaussian_mixture", components=2, seed=3)
    folder = run.workdir / "samplers" / "gaussian_mixture"
    assert {path.name for path in folder.iterdir()} == {"sampler.json", "state.npz"}
    loaded = ae.samplers.load(run, "gaussian_mixture")
    small.assert_identical(loaded.state, fitted.state)
    assert loaded.sampler.node == fitted.sampler.node
    for name in ("name", "latent_shape", "condition", "classes", "codes"):
        assert getattr(loaded, name) == getattr(fitted, name)
    np.testing.assert_array_equal(loaded.sample(5, seed=1), fitted.sample(300, seed=1)[:5])
    codes = run.encode(x)
    np.testing.assert_array_equal(loaded.log_prob(codes), fitted.log_prob(codes))
    again = ae.samplers.fit(run, x, "gaussian_mixture", components=2, seed=3)
    small.assert_identical(again.state, fitted.state)


def test_samplers_live_under_their_own_names_and_a_new_one_replaces_the_old(run, x):
    ae.samplers.fit(run, x, "gaussian_mixture", name="one", components=1)
    ae.samplers.fit(run, x, "kernel_density", bandwidth="scott")
    assert ae.samplers.names(run) == ("kernel_density", "one")
    ae.samplers.fit(run, x, {"name": "gaussian_mixture", "components": 3}, name="one")
    assert ae.samplers.load(run, "one").state["means"].shape == (1, 3, 2)
    ae.samplers.fit(run, x, ae.samplers.gaussian_mixture(2), name="two")
    assert ae.samplers.load(run, "two").state["means"].shape == (1, 2, 2)


def test_it_is_fitted_on_means_or_on_samples_of_the_posterior(x):
    run = untrained.run_of(ae.recipes.vae(2), x.astype(np.float32))
    means = ae.samplers.fit(run, x, "kernel_density", bandwidth=0.5)
    np.testing.assert_allclose(means.state["loc"][0], run.encode(x).mean(axis=0), rtol=1e-5)
    samples = ae.samplers.fit(run, x, "kernel_density", bandwidth=0.5, codes="samples")
    spread = lambda fitted: np.linalg.det(fitted.state["factor"][0])
    assert spread(samples) > 2 * spread(means)
    with pytest.raises(ae.errors.ConfigError, match="did you mean 'means'"):
        ae.samplers.fit(run, x, codes="mean")


def test_a_sampler_says_what_it_is_fitted_on_unless_it_is_told(x, tmp_path):
    run = kept_in(untrained.run_of(ae.recipes.vae(2), x.astype(np.float32)), tmp_path)
    mixture = ae.samplers.gaussian_mixture(1)
    of_samples = mixture._replace(codes="samples")
    states = [
        ae.samplers.fit(run, x, part, codes=codes).state
        for part, codes in ((of_samples, None), (mixture, "samples"), (of_samples, "means"))
    ]
    small.assert_identical(states[0], states[1])
    assert small.distance(states[0]["factors"], states[2]["factors"]) > 0.1
    kept = json.loads((run.workdir / "samplers" / "gaussian_mixture" / "sampler.json").read_text())
    assert kept["fitted_on"]["codes"] == "means"
    ways = {name: factory().codes for name, factory in ae.samplers.SAMPLERS.factories.items()}
    assert ways == dict.fromkeys(ways, "means") | {"second_stage_vae": "samples"}


def test_a_code_without_spread_is_its_own_sample(plain, x):
    of = lambda codes: ae.samplers.fit(plain, x, components=1, codes=codes).state
    small.assert_identical(of("samples"), of("means"))


def test_labels_may_be_any_whole_numbers_and_choose_the_cluster(run, x, labels):
    fitted = ae.samplers.fit(run, (x, {"label": labels}), condition="label", components=1)
    assert fitted.classes == (3, 7)
    loaded = ae.samplers.load(run, "gaussian_mixture")
    given = np.tile([3, 7], 100)
    new, codes = loaded.sample(200, extras={"label": given}), run.encode(x)
    for label in (3, 7):
        seen = codes[labels == label]
        spread = 5 * seen.std(axis=0) / 10
        assert (np.abs(new[given == label].mean(axis=0) - seen.mean(axis=0)) < spread).all()
    log = lambda label: loaded.log_prob(codes, extras={"label": label})
    assert (log(labels) > log(10 - labels)).all()


def test_a_dataset_gives_its_training_split_and_none_the_runs_own(x):
    run = untrained.run_of(small.vae(), small.small_test_data())
    run_of_name = lambda data: ae.samplers.fit(run, data, components=1).state
    whole = run_of_name(ae.data.Arrays(small.arrays()[: small.TRAIN]))
    small.assert_identical(run_of_name(small.small_test_data()), whole)


def test_a_run_of_other_parameters_refuses_it(run, x):
    ae.samplers.fit(run, x, components=1)
    other = run.holding(jax.tree.map(lambda leaf: leaf + 1, run.variables))
    with pytest.raises(ae.errors.WorkdirError, match="other parameters .* fit it again"):
        ae.samplers.load(other, "gaussian_mixture")


def test_damaged_and_newer_files_are_refused(run, x):
    ae.samplers.fit(run, x, components=1)
    folder = run.workdir / "samplers" / "gaussian_mixture"
    whole = (folder / "state.npz").read_bytes()
    (folder / "state.npz").write_bytes(whole[:-9])
    with pytest.raises(ae.errors.WorkdirError, match="damaged: fit the sampler again"):
        ae.samplers.load(run, "gaussian_mixture")
    (folder / "state.npz").unlink()
    with pytest.raises(ae.errors.MissingFileError, match="fit the sampler again"):
        ae.samplers.load(run, "gaussian_mixture")
    meta = json.loads((folder / "sampler.json").read_text())
    (folder / "sampler.json").write_text(json.dumps(meta | {"version": 2}))
    with pytest.raises(ae.errors.WorkdirError, match="version 2"):
        ae.samplers.load(run, "gaussian_mixture")


def custom():
    """A sampler without a node."""
    return ae.samplers.gaussian_mixture(1)._replace(node=None)


def test_bad_input_is_one_line_that_says_what_to_do(run, x, labels):
    fitted = ae.samplers.fit(run, (x, {"label": labels}), condition="label", name="labelled")
    missing = np.where(np.arange(len(x)) == 4, -1, labels)
    refused = {
        "did you mean 'gaussian_mixture'?": lambda: ae.samplers.fit(run, x, "gausian_mixture"),
        "did you mean 'labelled'?": lambda: ae.samplers.load(run, "labeled"),
        "needs at least 70 codes, got 61": lambda: ae.samplers.fit(run, x, components=70),
        "the data lack. The data have: none. Give a pair": lambda: ae.samplers.fit(
            run, x, condition="label"
        ),
        "missing (-1) for 1 of 61": lambda: ae.samplers.fit(
            run, (x, {"label": missing}), condition="label"
        ),
        "whole numbers [n]": lambda: ae.samplers.fit(
            run, (x, {"label": labels + 0.5}), condition="label"
        ),
        "give it labels, extras={'label': …}, [2] of 3, 7": lambda: fitted.sample(2),
        "has seen no label 4; it knows 3, 7": lambda: fitted.sample(2, extras={"label": [3, 4]}),
        "must be [2], one label a code": lambda: fitted.sample(2, extras={"label": [3]}),
        "codes must be [n, 2], got (4, 3)": lambda: fitted.log_prob(np.zeros((4, 3))),
        "letters, digits": lambda: ae.samplers.fit(run, x, name="../elsewhere"),
        "'package.module:function'": lambda: ae.samplers.fit(run, x, custom()),
        "(components) go with a sampler's name": lambda: ae.samplers.fit(
            run, x, ae.samplers.gaussian_mixture(1), components=3
        ),
        "has no argument 'component'; did": lambda: ae.samplers.fit(run, x, component=3),
    }
    for message, call in refused.items():
        with pytest.raises(ae.errors.AeJaxError) as caught:
            call()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    assert ae.samplers.names(run) == ("labelled",)


def test_a_run_without_workdir_keeps_nothing(plain, x):
    fitted = ae.samplers.fit(plain, x, custom())
    assert fitted.sample(3).shape == (3, 2)
    assert ae.samplers.names(plain) == ()
    with pytest.raises(ae.errors.ConfigError, match="no workdir to keep samplers in"):
        ae.samplers.load(plain, "gaussian_mixture")


def test_a_plain_autoencoder_samples_with_one_and_says_so_without(plain, x):
    with pytest.raises(ae.errors.PartError, match=r"no prior .* fit a sampler .*ae.samplers.fit\("):
        plain.sample(3)
    with pytest.raises(ae.errors.PartError, match=r"load\(run, name\) returns, got 'x'"):
        plain.sample(3, sampler="x")
    fitted = ae.samplers.fit(plain, x, components=2)
    new = plain.sample(40, seed=5, sampler=fitted)
    np.testing.assert_array_equal(new, plain.decode(fitted.sample(40, seed=5)))
    np.testing.assert_array_equal(plain.sample(3, seed=5, sampler=fitted), new[:3])
    drawn = plain.sample(40, seed=5, observations=True, sampler=fitted)
    assert 0.5 < np.std((drawn - new) / x.std(axis=0)) < 2  # the Gaussian's unit variance


def test_a_conditional_model_and_its_sampler_are_told_the_same_label(x, labels):
    labels = (labels == 7).astype(int)
    network = ae.networks.mlp((8,), condition="label", num_classes=2)
    data = ae.data.from_arrays(x.astype(np.float32), extras={"label": labels})
    run = untrained.run_of(ae.recipes.vae(2, encoder=network, decoder=network), data)
    fitted = ae.samplers.fit(run, data, condition="label", components=1)
    told = {"label": np.array([1, 0, 1])}
    codes = fitted.sample(3, seed=2, extras=told)
    want = run.decode(codes, extras=told)
    np.testing.assert_array_equal(run.sample(3, 2, extras=told, sampler=fitted), want)
