"""Checkpoints: what they keep, and what happens when one cannot be read."""

import json
import pathlib
import shutil

import jax
import numpy as np
import optax
import pytest
from etils import epath

import ae_jax as ae
from ae_jax.errors import CheckpointError
from ae_jax.training import checkpoint as lib
from ae_jax.training import single_player
from ae_jax.training.checkpoint_tree import from_tree, to_tree
from ae_jax.training.parallel import strategies as parallel
from tests import small


@pytest.fixture(scope="module", autouse=True)
def compiled_once():
    with small.compiled_once():
        yield


def make_state(hidden=16, optimizer=None):
    network = ae.networks.mlp((hidden,))
    recipe = small.vae()._replace(encoder=network, decoder=network)
    model, objective = recipe.build(ae.Spec((small.WIDTH,), "real"))
    names = ae.Variables({"decoder": 0, "encoder": 0}, {})
    players = single_player(objective, optimizer or optax.adam(1e-3), names)
    return parallel.fetch(small.filled_state(model, players, seed=7))


@pytest.fixture(scope="module")
def state():
    return make_state()


def save(workdir, state, losses, keep=2):
    """One checkpoint a step, at steps 1, 2, …."""
    with lib.Checkpoints(epath.Path(workdir), keep) as checkpoints:
        for step, loss in enumerate(losses, start=1):
            metrics = None if loss is None else {"loss": loss}
            checkpoints.save(state._replace(step=np.int32(step)), 16 * step, metrics)
            checkpoints.wait()


def restore(workdir, step=None):
    with lib.Checkpoints(epath.Path(workdir)) as checkpoints:
        return checkpoints.restore(step)


def folder(workdir, step):
    return pathlib.Path(workdir) / "checkpoints" / str(step)


def data_files(path):
    return [file for file in (path / "state").rglob("d/*") if file.is_file()]


def flip_bytes(path):
    for file in data_files(path):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 0xFF
        file.write_bytes(content)


def truncate(path):
    for file in data_files(path):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def lose_arrays(path):
    shutil.rmtree(path / "state")


def edit_meta(path, **values):
    file = path / "meta" / "metadata"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def wrong_checksum(path):
    edit_meta(path, checksum=1)


def other_version(path):
    edit_meta(path, version=99)


def foreign(path):
    shutil.rmtree(path)
    path.mkdir()
    (path / "notes.txt").write_text("not a checkpoint")


def emptied(path):
    shutil.rmtree(path)
    path.mkdir()


DAMAGE = [flip_bytes, truncate, lose_arrays, wrong_checksum, other_version, foreign, emptied]


def test_everything_comes_back_as_it_was(state, tmp_path):
    save(tmp_path, state, [1.0])
    restored = restore(tmp_path)
    assert (restored.step, restored.examples_seen, restored.passed_over) == (1, 16, ())
    small.assert_identical(restored.tree, to_tree(state._replace(step=np.int32(1))))
    again = from_tree(restored.tree, make_state())
    assert jax.tree.structure(again.optimizer) == jax.tree.structure(state.optimizer)
    small.assert_identical(again.variables, state.variables)
    assert jax.random.key_data(again.root).tolist() == np.asarray(state.root).tolist()


def test_the_last_ones_and_the_best_are_kept(state, tmp_path):
    save(tmp_path, state, [5.0, 1.0, 3.0, 2.0, 4.0, None])
    with lib.Checkpoints(epath.Path(tmp_path)) as checkpoints:
        assert checkpoints.steps() == [2, 5, 6]
        assert checkpoints.best_step() == 2


def test_a_loss_that_is_not_finite_is_never_the_best(state, tmp_path):
    save(tmp_path, state, [5.0, float("nan"), float("-inf")])
    with lib.Checkpoints(epath.Path(tmp_path)) as checkpoints:
        assert checkpoints.best_step() == 1


def test_an_empty_workdir_has_none(tmp_path):
    assert restore(tmp_path) is None


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(state, tmp_path, damage, caplog):
    save(tmp_path, state, [1.0, 2.0, 3.0])
    damage(folder(tmp_path, 3))
    restored = restore(tmp_path)
    assert restored.step == 2
    small.assert_identical(restored.tree, to_tree(state._replace(step=np.int32(2))))
    assert restored.passed_over == (3,)
    assert "checkpoint 3 cannot be read" in caplog.text


def test_our_checksum_alone_catches_changed_contents(state, tmp_path, caplog):
    save(tmp_path, state, [1.0, 2.0])
    wrong_checksum(folder(tmp_path, 2))
    assert restore(tmp_path).step == 1
    assert "do not have the checksum" in caplog.text


def test_all_damaged_is_an_error_that_names_each(state, tmp_path):
    save(tmp_path, state, [2.0, 1.0, 3.0])
    for step in (1, 2, 3):
        if folder(tmp_path, step).exists():
            truncate(folder(tmp_path, step))
    with pytest.raises(CheckpointError, match="can be read: 3: .*; 2: "):
        restore(tmp_path)


def test_what_a_kill_leaves_of_a_half_written_checkpoint_is_ignored(state, tmp_path):
    save(tmp_path, state, [1.0, 2.0])
    half = folder(tmp_path, "3.orbax-checkpoint-tmp-1700000000000000")
    shutil.copytree(folder(tmp_path, 2), half)
    truncate(half)
    restored = restore(tmp_path)
    assert (restored.step, restored.passed_over) == (2, ())


def test_foreign_files_and_folders_do_no_harm(state, tmp_path):
    save(tmp_path, state, [1.0, 2.0])
    (tmp_path / "checkpoints" / "mine").mkdir()
    (tmp_path / "checkpoints" / "mine" / "notes.txt").write_text("keep")
    (tmp_path / "checkpoints" / "README").write_text("keep")
    assert restore(tmp_path).step == 2
    save(tmp_path, state, [1.0, 2.0, 3.0])
    assert restore(tmp_path).step == 3
    assert (tmp_path / "checkpoints" / "mine" / "notes.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("hidden", "optimizer", "shapes"),
    [(7, None, r"\(16,\), expected \(7,\)"), (16, optax.sgd(1e-3), r"\(\), expected None")],
)
def test_a_checkpoint_of_another_model_or_optimizer_is_refused(state, hidden, optimizer, shapes):
    with pytest.raises(CheckpointError, match=f"another model or optimizer: .* has shape {shapes}"):
        from_tree(to_tree(state), make_state(hidden, optimizer))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    small.train(workdir, steps=20)
    return workdir


@pytest.mark.parametrize("damage", [truncate, other_version, emptied])
def test_a_run_restarts_from_the_checkpoint_before_a_damaged_one(finished, tmp_path, damage):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    (tmp_path / "summary.json").unlink()  # killed before its end
    damage(folder(tmp_path, 20))
    run = small.train(tmp_path, steps=20)
    assert run.summary["restarts"] == 1
    assert small.steps_of(tmp_path) == [10, 20]
    small.assert_identical(small.newest(tmp_path), small.newest(finished))


def test_metrics_of_steps_that_are_trained_again_are_replaced(tmp_path):
    fields = {"checkpoint_every": 5, "keep_checkpoints": 9, "eval_every": 100}
    for steps in (10, 20):
        small.train(tmp_path, steps=steps, log_every=5, **fields)
    for step in (10, 15, 20):
        truncate(folder(tmp_path, step))
    small.train(tmp_path, steps=30, log_every=5, **fields)
    trained = [point["step"] for point in ae.read_metrics(tmp_path) if point["split"] == "train"]
    assert trained == [5, 10, 15, 20, 25, 30]


def test_a_finished_run_whose_last_checkpoint_is_damaged_trains_it_again(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    truncate(folder(tmp_path, 20))
    small.train(tmp_path, steps=20)
    small.assert_identical(small.newest(tmp_path), small.newest(finished))


def test_a_run_none_of_whose_checkpoints_can_be_read_stops_and_deletes_none(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    for step in (10, 20):
        truncate(folder(tmp_path, step))
    with pytest.raises(CheckpointError, match="10: .*"):
        small.train(tmp_path, steps=30)
    assert small.steps_of(tmp_path) == [10, 20]


@pytest.mark.slow
def test_the_best_checkpoint_is_chosen_by_validation(tmp_path):
    data = {"validation_fraction": 0.3}
    run = small.train(tmp_path, data=data, checkpoint_every=15)
    assert set(run.summary["metrics"]) == {"train", "validation", "test"}
    points = [p for p in ae.read_metrics(tmp_path) if p["split"] == "validation"]
    best = min(points, key=lambda point: point["loss"])["step"]
    with lib.Checkpoints(epath.Path(tmp_path), read_only=True) as checkpoints:
        assert checkpoints.best_step() == best
