"""What a Run does with arrays, and that a loaded run is the same run."""

import dataclasses

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest

import ae_jax as ae
from ae_jax.errors import CheckpointError, ConfigError, DataError, PartError, ShapeError
from ae_jax.runs.pictures import Pictures
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.reporting import LogPoint
from tests import small

X = small.arrays()
FIELDS = {"eval_every": 5, "checkpoint_every": 5, "optimizer": {"learning_rate": 0.3}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir, points = tmp_path_factory.mktemp("run"), []
    return small.train(workdir, [points.append], **FIELDS), workdir, points


@pytest.fixture(scope="module")
def run(trained):
    return trained[0]


@pytest.fixture(scope="module")
def loaded(trained):
    return ae.load(trained[1])


def on_devices(workdir, devices):
    run = ae.load(workdir)
    config = ae.config.replaced(run.config, {"parallel.devices": devices})
    return dataclasses.replace(run, config=config)


USES = {
    "encode": lambda run: run.encode(X),
    "encode with a key": lambda run: run.encode(X, key=jax.random.key(4)),
    "decode": lambda run: run.decode(np.zeros((5, 2))),
    "reconstruct": lambda run: run.reconstruct(X),
    "sample": lambda run: run.sample(21, seed=3),
    "observations": lambda run: run.sample(21, seed=3, observations=True),
    "bound": lambda run: run.log_likelihood(X[:9], samples=5, seed=2),
}


@pytest.fixture(scope="module")
def used(run):
    return {name: use(run) for name, use in USES.items()}


def test_a_loaded_run_gives_the_same_numbers_bit_for_bit(used, run, loaded):
    small.assert_identical({name: use(loaded) for name, use in USES.items()}, used)
    small.assert_identical(loaded.variables, run.variables)
    assert loaded.evaluate() == run.evaluate() == run.summary["metrics"]["test"]
    assert (loaded.summary, loaded.config) == (run.summary, run.config)
    assert (loaded.spec, loaded.num_train) == (run.spec, run.num_train)
    assert loaded.display_range == run.display_range


def test_shapes_and_types_of_what_comes_out(used):
    shapes = {name: value.shape for name, value in used.items()}
    assert shapes == {
        "encode": (98, 2),
        "encode with a key": (98, 2),
        "decode": (5, 6),
        "reconstruct": (98, 6),
        "sample": (21, 6),
        "observations": (21, 6),
        "bound": (9,),
    }
    for name, value in used.items():
        assert type(value) is np.ndarray, name
        assert value.dtype == np.float32, name


@pytest.mark.parametrize("devices", [2, 8])
def test_any_number_of_devices_gives_the_same_numbers(trained, used, devices):
    run = on_devices(trained[1], devices)
    names = USES if devices == 8 else ["sample"]
    for name in names:
        values = USES[name](run)
        np.testing.assert_allclose(values, used[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_encoding_is_the_models_on_preprocessed_data(run, used):
    posterior = run.model.posterior(run.variables, run.preprocessing.apply(X))
    np.testing.assert_allclose(used["encode"], posterior.mean, rtol=1e-5, atol=1e-6)
    assert not np.array_equal(used["encode with a key"], used["encode"])
    deviation = (used["encode with a key"] - used["encode"]) / np.exp(posterior.log_var / 2)
    assert 0.8 < deviation.std() < 1.2


def test_an_examples_numbers_do_not_depend_on_its_company(run, used):
    np.testing.assert_allclose(run.encode(X[:1]), used["encode"][:1], rtol=1e-5)
    np.testing.assert_allclose(run.encode(X[60:77]), used["encode"][60:77], rtol=1e-5)


def test_reconstruction_is_decoded_encoding_in_the_datas_units(run, used):
    np.testing.assert_allclose(run.decode(used["encode"]), used["reconstruct"], rtol=1e-5)


def test_more_samples_of_a_seed_begin_with_the_fewer(run, used):
    np.testing.assert_allclose(run.sample(40, seed=3)[:21], used["sample"], rtol=1e-5)
    assert np.abs(run.sample(21, seed=4) - used["sample"]).max() > 0.1


def test_observations_scatter_around_the_mean(run, used):
    noise = (used["observations"] - used["sample"]) / run.config.data.preprocessing["std"]
    assert 0.8 < noise.std() < 1.2  # the likelihood's scale is 1


def test_evaluation_of_given_data_equals_that_of_the_source(run):
    assert run.evaluate(X[small.TRAIN :]) == run.evaluate()
    assert run.evaluate(X[:5]) != run.evaluate()
    before = parallel.counts.copy()
    run.evaluate()  # of a size seen before
    assert not [name for name in parallel.counts - before if name.startswith("trace")]


def test_the_checkpoint_of_a_step_and_the_best_are_to_be_had(trained, loaded):
    _, workdir, points = trained
    losses = {p.step: p.metrics["loss"] for p in points if p.split == "test"}
    best = min(losses, key=losses.get)
    assert best != 30
    found = ae.load(workdir, step="best")
    small.assert_identical(found.variables.params, small.newest(workdir, best)["params"])
    assert found.evaluate()["loss"] == losses[best]
    small.assert_identical(ae.load(workdir, step=30).variables, loaded.variables)
    small.assert_identical(
        ae.load(workdir, step=25).variables.params, small.newest(workdir, 25)["params"]
    )


@pytest.mark.parametrize("step", [7, "last"])
def test_a_step_without_checkpoint_is_an_error_that_lists_those_there_are(trained, step):
    with pytest.raises(CheckpointError, match=rf"no checkpoint of step {step!r}.*25, 30\]"):
        ae.load(trained[1], step=step)


def test_callbacks_receive_what_is_stored(trained):
    _, workdir, points = trained
    assert all(type(point) is LogPoint for point in points)
    assert all(type(value) is float for point in points for value in point.metrics.values())
    stored = [{"step": p.step, "split": p.split, **p.metrics} for p in points]
    assert ae.read_metrics(workdir) == stored
    places = [(point.step, point.split) for point in points]
    assert places == [
        (5, "test"),
        (10, "train"),
        (10, "test"),
        (15, "test"),
        (20, "train"),
        (20, "test"),
        (25, "test"),
        (30, "train"),
        (30, "test"),
    ]


def test_without_a_workdir_nothing_is_written_or_printed(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    small.train(figures=True, steps=10)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_wrong_arrays_are_refused(run):
    with pytest.raises(ShapeError, match=r"examples must be \[n, 6\], got \(98, 5\)"):
        run.encode(X[:, :5])
    with pytest.raises(ShapeError, match=r"examples must be \[n, 6\], got \(6,\)"):
        run.reconstruct(X[0])
    with pytest.raises(ShapeError, match=r"codes must be \[n, 2\], got \(4, 3\)"):
        run.decode(np.zeros((4, 3)))
    with pytest.raises(DataError, match="not finite"):
        run.encode(np.full((1, 6), np.nan))
    with pytest.raises(DataError, match="empty"):
        run.log_likelihood(X[:0])
    for bad in (0, -1, 2.5, True):
        with pytest.raises(ConfigError, match="positive whole number"):
            run.sample(bad)
        with pytest.raises(ConfigError, match="positive whole number"):
            run.log_likelihood(X, samples=bad)


class Encoder(nn.Module):
    """A user's own network, with dropout and a normalisation of its own."""

    width: int

    @nn.compact
    def __call__(self, x, train: bool = False):
        x = nn.BatchNorm(use_running_average=not train, axis_name="batch", momentum=0.8)(x)
        x = nn.Dropout(0.2, deterministic=not train)(nn.tanh(nn.Dense(8)(x)))
        return nn.Dense(self.width)(x)


class Decoder(nn.Module):
    @nn.compact
    def __call__(self, z):
        return nn.Dense(6)(nn.tanh(nn.Dense(8)(z)))


@ae.term
def code_l1(outputs, context):
    return abs(outputs.z).sum(-1).mean(-1)


def own_parts():
    model = ae.autoencoder(
        ae.from_linen(Encoder(2)),
        ae.from_linen(Decoder()),
        ae.bottlenecks.identity(2),
        ae.likelihoods.gaussian(),
    )
    return model, ae.terms.reconstruction() + 0.1 * code_l1()


@pytest.mark.slow
def test_the_users_own_python_parts_train_resume_and_load(tmp_path, monkeypatch):
    one = jax.devices()[:1]  # `fit` takes all there are, and compiling for eight takes long
    monkeypatch.setattr(jax, "devices", lambda: one)
    monkeypatch.setattr(Pictures, "draw", lambda *_: None)
    options = {"log_every": 20, "eval_every": 20, "checkpoint_every": 10, "progress": False}

    def fit(workdir, steps):
        optimizer = optax.adamw(1e-2)
        where = {"workdir": workdir, "steps": steps, "batch_size": 16}
        return ae.fit(own_parts(), X, optimizer=optimizer, **where, **options)

    fit(tmp_path / "a", 10)
    resumed, whole = fit(tmp_path / "a", 20), fit(tmp_path / "b", 20)
    small.assert_identical(small.newest(tmp_path / "a"), small.newest(tmp_path / "b"))
    moved = small.leaves(whole.variables.state)
    assert any(np.abs(leaf).max() > 1e-3 for name, leaf in moved.items() if "mean" in name)
    assert {"loss", "reconstruction", "code_l1"} <= set(whole.summary["metrics"]["test"])
    with pytest.raises(ConfigError, match="run's encoder, decoder came as Python objects"):
        ae.load(tmp_path / "a")
    again = ae.load(tmp_path / "a", model=own_parts())
    small.assert_identical(again.encode(X), resumed.encode(X))
    assert again.evaluate(X) == resumed.evaluate(X)
    with pytest.raises(ConfigError, match="array in memory"):
        again.evaluate()
    with pytest.raises(PartError, match="no prior"):
        again.sample(3)
