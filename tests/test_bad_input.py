"""Bad input ends in an error that names the value and the fix, before anything is compiled."""

import flax.linen as nn
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.errors import (
    ConfigError,
    DataError,
    MissingFileError,
    PartError,
    ShapeError,
    UnknownNameError,
    WorkdirError,
)
from ae_jax.training.parallel import strategies as parallel
from tests import small

X = small.arrays()


@pytest.fixture(autouse=True)
def nothing_compiled():
    before = parallel.counts.copy()
    yield
    assert parallel.counts == before


def fit(x=X, recipe=None, **options):
    options = {"steps": 5, "batch_size": 16, "progress": False} | options
    return ae.fit(recipe or small.vae(), x, **options)


def changed(path, value):
    """A config with one field replaced."""
    config = small.config()
    *sections, field = path.split(".")
    place = config
    for section in sections:
        place = place[section]
    place[field] = value
    return config


BAD_FIELDS = [
    ("training.batchsize", 16, "training has no field 'batchsize'; did you mean 'batch_size'?"),
    ("trainin", {}, "config has no field 'trainin'; did you mean 'training'?"),
    ("training.steps", "30", "training.steps must be of type int, got '30'"),
    ("training.steps", 2.5, "training.steps must be of type int, got 2.5"),
    ("training.steps", True, "training.steps must be of type int, got True"),
    ("training.steps", None, "training.steps must be of type int, got None"),
    ("training.deterministic", 1, "training.deterministic must be of type bool, got 1"),
    ("parallel.devices", "all", "parallel.devices must be of type int, got 'all'"),
    ("training", 5, "training is a section, got 5"),
    ("training.steps", 0, "training.steps must be a positive whole number, got 0"),
    ("training.batch_size", -16, "training.batch_size must be a positive whole number, got -16"),
    ("training.log_every", 0, "training.log_every must be a positive whole number, got 0"),
    ("training.eval_every", -1, "training.eval_every must be a positive whole number, got -1"),
    ("training.checkpoint_every", 0, "training.checkpoint_every must be a positive"),
    ("training.keep_checkpoints", 0, "training.keep_checkpoints must be a positive"),
    ("training.steps_per_dispatch", 0, "training.steps_per_dispatch must be a positive"),
    ("training.max_skipped_in_a_row", 0, "training.max_skipped_in_a_row must be a positive"),
    ("training.seed", -1, "training.seed must not be negative, got -1"),
    ("evaluation.images", -1, "evaluation.images must not be negative, got -1"),
    ("evaluation.batch_size", 0, "evaluation.batch_size must be a positive whole number, got 0"),
    ("pod.batch_per_chip", 0, "pod.batch_per_chip must be a positive whole number, got 0"),
    ("data.spec", {"shape": [4]}, "data.spec must say dtype, num_train, got"),
    ("parallel.devices", 0, "parallel.devices must be a positive whole number, got 0"),
    ("parallel.devices", 9, "parallel.devices is 9, but this machine has 8"),
    ("parallel.strategy", "pmapp", "no strategy is called 'pmapp'; did you mean 'pmap'?"),
    ("parallel.mesh", {"fsdp": 2}, "parallel.mesh is {'fsdp': 2}, but 'pmap' has none"),
    ("parallel.mesh", {"fsdb": 2}, "parallel.mesh has no field 'fsdb'; did you mean 'fsdp'?"),
    ("parallel.mesh", {"data": 0}, "parallel.mesh.data must be a positive whole number, got 0"),
    ("parallel", {"strategy": "fsdp", "mesh": {"data": 3}}, "nearest: data=4, fsdp=2"),
    ("training.accumulation", 0, "training.accumulation must be a positive whole number, got 0"),
    ("training.compute_dtype", "bfloat", "cannot be 'bfloat'; did you mean 'bfloat16'?"),
    ("training.average_decay", 1.0, "average_decay must lie between 0 and 1, e.g. 0.999, got 1"),
    ("optimizer.base_batch_size", -1, "base_batch_size must be a positive whole number, got -1"),
    ("training.batch_size", 62, "batch_size is 62, but the training split has only 61 examples"),
    ("optimizer.learning_rate", 0.0, "learning_rate must be a positive number, got 0.0"),
    ("optimizer.learning_rate", -1e-3, "learning_rate must be a positive number, got -0.001"),
    ("optimizer.learning_rate", float("nan"), "learning_rate must be a positive number, got nan"),
    ("optimizer.clip_norm", -1.0, "clip_norm must be a positive number, got -1.0"),
    ("optimizer.warmup_steps", 30, "warmup_steps must lie in [0, training.steps=30), got 30"),
    ("optimizer.warmup_steps", -1, "warmup_steps must lie in [0, training.steps=30), got -1"),
    ("optimizer.schedule", "cosin", "schedule cannot be 'cosin'; did you mean 'cosine'?"),
    ("optimizer.name", "adamm", "no optimizer is called 'adamm'; did you mean 'adam'?"),
    ("optimizer.arguments", {"b_1": 0.9}, "'adam' has no argument 'b_1'; did you mean 'b1'?"),
    ("model.encoder", {"name": "mlpp"}, "no network is called 'mlpp'; did you mean 'mlp'?"),
    ("model.encoder", {"hidden": [8]}, "a network needs a 'name'"),
    ("model.encoder", {"name": "mlp", "hiden": [8]}, "no argument 'hiden'; did you mean 'hidden'?"),
    ("model.encoder", {"name": "mlp", "hidden": [0]}, "must be a positive whole number, got 0"),
    ("model.decoder", {"name": "no.such:thing"}, "cannot import 'no.such:thing'"),
    ("model.bottleneck", {"name": "gausian", "latent_dim": 2}, "did you mean 'gaussian'?"),
    ("model.bottleneck", {"name": "gaussian", "latent_dim": 0}, "latent_dim must be a positive"),
    (
        "model.bottleneck",
        {"name": "gaussian", "latent_dim": -2},
        "number or a shape of them, got -2",
    ),
    ("model.likelihood", {"name": "bernouli"}, "did you mean 'bernoulli'?"),
    (
        "model.likelihood",
        {"name": "gaussian", "scale": 0.0},
        "scale must be a positive number, got 0",
    ),
    ("corruption", {"name": "gausian"}, "did you mean 'gaussian'?"),
    ("objective", {"kll": 1.0}, "no term is called 'kll'; did you mean 'kl'?"),
    ("objective", {}, "the objective has no terms"),
    ("objective", {"kl": {"weight": "big"}}, "objective.kl.weight must be a number, got 'big'"),
    ("data.source", "digit", "did you mean 'digits'?"),
    ("data.preprocessing", {"name": "scal"}, "did you mean 'scale'?"),
    ("data.preprocessing", {"name": "scale", "low": 1, "high": 1}, "scale needs high above low"),
]


@pytest.mark.parametrize(
    ("path", "value", "message"), BAD_FIELDS, ids=[f"{path}={v}" for path, v, _ in BAD_FIELDS]
)
def test_a_bad_field_is_refused_by_name(path, value, message, tmp_path):
    with pytest.raises(ConfigError) as caught:
        ae.fit_config(changed(path, value), tmp_path / "run", progress=False)
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()  # nor does it leave anything behind


def test_names_that_nothing_knows_are_key_errors_and_values_are_value_errors():
    with pytest.raises(KeyError):
        ae.fit_config(changed("training.step", 1), progress=False)
    with pytest.raises(UnknownNameError, match="Known: .*steps"):
        ae.fit_config(changed("training.step", 1), progress=False)
    with pytest.raises(ValueError, match="got 0"):
        ae.fit_config(changed("training.steps", 0), progress=False)


@pytest.mark.parametrize(
    ("batch", "devices", "nearest"), [(10, 4, "8 or 12"), (3, 8, "8"), (17, 2, "16 or 18")]
)
@pytest.mark.parametrize("section", ["training", "evaluation"])
def test_a_batch_that_the_devices_do_not_divide_is_refused(section, batch, devices, nearest):
    config = changed(f"{section}.batch_size", batch)
    config["parallel"]["devices"] = devices
    message = f"{section}.batch_size is {batch}, which {devices} devices do not divide; "
    with pytest.raises(ConfigError, match=f"{message}nearest: {nearest}$"):
        ae.fit_config(config, progress=False)


def test_a_batch_that_devices_and_microbatches_do_not_divide_is_refused():
    config = changed("training.accumulation", 3)
    config["parallel"]["devices"] = 4
    message = r"batch_size is 16, which 4 devices x training.accumulation=3 do not divide; "
    with pytest.raises(ConfigError, match=f"{message}nearest: 12 or 24$"):
        ae.fit_config(config, progress=False)


def test_an_unknown_option_of_fit_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'log_every'"):
        fit(log_evry=5)


@pytest.mark.parametrize("bad", ["adam", 1e-3, lambda step: 1e-3])
def test_an_optimizer_that_is_none_is_refused(bad):
    with pytest.raises(PartError, match="optimizer"):
        fit(optimizer=bad)


@pytest.mark.parametrize("model", [None, "vae", (1, 2), small.vae])
def test_a_model_that_is_none_is_refused(model):
    with pytest.raises(PartError, match="expected a recipe"):
        ae.fit(model, X, progress=False)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("split", ["training", "test"])
def test_values_that_are_not_finite_are_refused_with_their_place(value, split):
    bad = X.copy()
    bad[7, 3] = value
    train, test = (bad, X) if split == "training" else (X, bad)
    message = rf"the {split} data hold 1 value.* not finite, the first {value} at \(7, 3\)"
    with pytest.raises(DataError, match=message):
        fit(train, test=test)


@pytest.mark.parametrize("split", ["train", "test"])
def test_values_outside_the_likelihoods_range_are_refused(split):
    inside = np.clip(np.abs(X), 0, 1)
    outside = inside.copy()
    outside[5, 2] = -0.25
    recipe = small.vae()._replace(likelihood=ae.likelihoods.bernoulli())
    splits = {"train": inside, "test": inside} | {split: outside}
    dataset = ae.data.Dataset(*(ae.data.Arrays(splits[name]) for name in ("train", "test")))
    config = changed("data.preprocessing", {"name": "none"})
    config["model"] = ae.config.for_recipe(recipe)["model"]
    with pytest.raises(DataError, match=r"needs values in \[0, 1\], got -0.25 at \(5, 2\)"):
        ae.runs.planning.resolve(ae.config.complete(config), recipe, dataset)


BAD_DATA = [
    (np.zeros((0, 6), np.float32), "the training data are empty: shape (0, 6)"),
    (np.zeros((9, 0), np.float32), "the training data are empty: shape (9, 0)"),
    (np.zeros(9, np.float32), "must be [n, *event], got shape (9,)"),
    (np.array([["a", "b"]] * 40), "must be real numbers, got dtype"),
    (np.array([[None, 1]] * 40, object), "an array [n, *event] of numbers"),
    (3.0, "an array [n, *event] of numbers"),
]


@pytest.mark.parametrize(("data", "message"), BAD_DATA, ids=range(len(BAD_DATA)))
def test_data_that_are_no_examples_are_refused(data, message):
    with pytest.raises(DataError) as caught:
        fit(data)
    assert message in str(caught.value)


def test_training_and_test_examples_of_two_shapes_are_refused():
    message = r"training examples have shape \(6,\), test examples \(5,\)"
    with pytest.raises(DataError, match=message):
        fit(X, test=X[:, :5])


def test_labels_of_another_length_are_refused():
    data = ae.data.Dataset(ae.data.Arrays(X, {"label": np.zeros(3)}), ae.data.Arrays(X[:0]))
    with pytest.raises(DataError, match="has 98 examples but 3 of 'label'"):
        fit(data)


@pytest.mark.parametrize("below", [False, True])
def test_a_workdir_that_cannot_be_written_is_refused(tmp_path, below):
    (tmp_path / "file").write_text("in the way")
    workdir = tmp_path / "file" / "run" if below else tmp_path / "file"
    error, said = (WorkdirError, "cannot be written") if below else (ConfigError, "is a file")
    with pytest.raises(error, match=said):
        fit(workdir=workdir)
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_workdir_of_another_config_is_refused_with_the_differences(tmp_path):
    stored = small.config(optimizer={"learning_rate": 2e-3}, seed=4)
    complete, data = ae.config.complete(stored), small.small_test_data()
    resolved = ae.runs.planning.resolve(complete, small.vae(), data).config
    workdir = ae._workdir.open_workdir(tmp_path)
    ae._workdir.write_json(
        workdir / "config.json", {"config": ae.config.to_plain(resolved), "spec": {}}
    )
    with pytest.raises(WorkdirError, match="another config") as caught:
        small.train(tmp_path)
    assert "optimizer.learning_rate: 0.002 -> 0.001" in str(caught.value)
    assert "training.seed: 4 -> 0" in str(caught.value)


@pytest.mark.parametrize("content", ["{", '{"something": "else"}', "[]"])
def test_a_damaged_or_foreign_config_in_the_workdir_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(WorkdirError, match="config.json"):
        small.train(tmp_path)
    with pytest.raises(WorkdirError, match="config.json"):
        ae.load(tmp_path)
    assert (tmp_path / "config.json").read_text() == content


def test_a_folder_without_a_run_cannot_be_loaded(tmp_path):
    with pytest.raises(MissingFileError, match="is not the workdir of a run"):
        ae.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        ae.load(tmp_path / "nowhere")


class Normalised(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool = False):
        return nn.Dense(4)(nn.BatchNorm(use_running_average=not train)(x))


def of_encoder(module):
    return small.vae()._replace(encoder=ae.from_linen(module))


def test_an_encoder_that_does_not_fit_the_bottleneck_is_refused_with_both_shapes():
    message = r"the encoder emits shape \(5,\) for .* \(6,\), but the bottleneck takes \(4,\)"
    with pytest.raises(ShapeError, match=message):
        fit(recipe=of_encoder(nn.Dense(5)))


def test_a_decoder_that_does_not_fit_the_likelihood_is_refused_with_both_shapes():
    recipe = small.vae()._replace(decoder=ae.from_linen(nn.Dense(7)))
    with pytest.raises(ShapeError, match=r"decoder emits shape \(7,\).* takes \(6,\)"):
        fit(recipe=recipe)


def test_a_batch_norm_without_its_axis_name_is_refused_with_the_fix():
    with pytest.raises(PartError, match="Give it axis_name='batch'"):
        fit(recipe=of_encoder(Normalised()))


def test_a_module_class_in_place_of_a_module_is_refused():
    with pytest.raises(PartError, match="call the class first"):
        ae.from_linen(Normalised)
