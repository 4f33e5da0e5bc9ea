"""The files of a workdir: JSON written whole, metrics merged over starts, errors."""

import json
import os

import numpy as np
import pytest
from etils import epath

import ae_jax as ae
from ae_jax import _workdir as storage


@pytest.fixture
def workdir(tmp_path):
    return epath.Path(tmp_path)


def write_segment(workdir, first_step, steps, loss):
    segment = storage.MetricsSegment(workdir, first_step)
    for step in steps:
        segment.write(step, "train", {"loss": loss})
    segment.close()


def test_json_comes_back_and_numpy_becomes_plain(workdir):
    path = workdir / "a.json"
    value = {"n": np.int64(3), "x": np.float32(0.5), "v": np.arange(3), "p": workdir, "none": None}
    storage.write_json(path, value)
    assert storage.read_json(path) == {
        "n": 3,
        "x": 0.5,
        "v": [0, 1, 2],
        "p": str(workdir),
        "none": None,
    }


def test_a_reader_never_sees_half_a_file(workdir, monkeypatch):
    path = workdir / "a.json"
    storage.write_json(path, {"version": 1})
    replaced, replace = [], os.replace

    def watching(source, target):
        assert storage.read_json(path) == {"version": 1}  # until the very end, the old file
        assert json.loads(epath.Path(source).read_text()) == {"version": 2}
        replaced.append(os.fspath(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watching)
    storage.write_json(path, {"version": 2})
    assert replaced == [os.fspath(path)]
    assert storage.read_json(path) == {"version": 2}
    assert [p.name for p in workdir.iterdir()] == ["a.json"]


def test_a_value_that_fails_to_be_written_leaves_the_old_file(workdir):
    path = workdir / "a.json"
    storage.write_json(path, [1])
    cyclic: list = []
    cyclic.append(cyclic)
    with pytest.raises(ValueError, match="Circular"):
        storage.write_json(path, cyclic)
    assert storage.read_json(path) == [1]


def test_reading_a_file_that_is_missing_or_damaged(workdir):
    with pytest.raises(ae.errors.MissingFileError, match=r"there is no '.*nothing\.json'"):
        storage.read_json(workdir / "nothing.json")
    (workdir / "half.json").write_text('{"a": ')
    with pytest.raises(ae.errors.WorkdirError, match=r"half\.json' is damaged: Expecting"):
        storage.read_json(workdir / "half.json")


def test_metrics_come_back_in_order(workdir):
    segment = storage.MetricsSegment(workdir, 0)
    segment.write(10, "train", {"loss": 1.5})
    segment.write(10, "test", {"loss": 2.5, "kl": 0.25})
    assert ae.read_metrics(workdir)[0]["loss"] == 1.5  # readable while the run goes on
    segment.close()
    assert ae.read_metrics(workdir) == [
        {"step": 10, "split": "train", "loss": 1.5},
        {"step": 10, "split": "test", "loss": 2.5, "kl": 0.25},
    ]


def test_later_starts_win_where_they_overlap(workdir):
    write_segment(workdir, 0, (10, 20, 30), loss=1.0)
    write_segment(workdir, 20, (30, 40, 100, 110), loss=2.0)
    write_segment(workdir, 100, (110,), loss=3.0)  # read after 20, not before as a string would be
    got = [(point["step"], point["loss"]) for point in ae.read_metrics(workdir)]
    assert got == [(10, 1), (20, 1), (30, 2), (40, 2), (100, 2), (110, 3)]


def test_a_start_that_goes_back_behind_an_earlier_one_wins_too(workdir):
    write_segment(workdir, 0, (10, 20, 30), loss=1.0)
    write_segment(workdir, 100, (110,), loss=2.0)
    write_segment(workdir, 20, (30,), loss=3.0)
    got = [(point["step"], point["loss"]) for point in ae.read_metrics(workdir)]
    assert got == [(10, 1), (20, 1), (30, 3)]


def test_a_start_at_the_same_step_replaces_the_earlier_one(workdir):
    write_segment(workdir, 0, (10, 20), loss=1.0)
    write_segment(workdir, 0, (10,), loss=2.0)
    assert [(p["step"], p["loss"]) for p in ae.read_metrics(workdir)] == [(10, 2.0)]


def test_a_last_line_cut_short_by_a_kill_is_left_out(workdir):
    write_segment(workdir, 0, (10, 20), loss=1.0)
    path = workdir / "metrics" / "0.jsonl"
    path.write_text(path.read_text()[:-9])
    assert [point["step"] for point in ae.read_metrics(workdir)] == [10]
    write_segment(workdir, 10, (20, 30), loss=2.0)
    assert [point["step"] for point in ae.read_metrics(workdir)] == [10, 20, 30]


def test_no_metrics_are_an_empty_list(workdir):
    assert ae.read_metrics(workdir) == []
    assert ae.read_metrics(str(workdir / "nowhere")) == []


def test_a_store_that_cannot_append_gets_the_segment_whole(workdir, monkeypatch):
    monkeypatch.setattr(storage, "is_local", lambda path: False)
    segment = storage.MetricsSegment(workdir, 0)
    segment.write(10, "train", {"loss": 1.0})
    assert ae.read_metrics(workdir) == []
    segment.flush()
    segment.write(20, "train", {"loss": 2.0})
    segment.close()
    assert [point["step"] for point in ae.read_metrics(workdir)] == [10, 20]


@pytest.mark.parametrize(("path", "local"), [("/a/b", True), ("runs/a", True), ("gs://b/a", False)])
def test_which_stores_are_local(path, local):
    assert storage.is_local(path) is local


def test_a_workdir_is_created_and_left_clean(workdir):
    made = storage.open_workdir(workdir / "deep" / "er")
    assert made.is_dir()
    assert list(made.iterdir()) == []


def test_a_workdir_that_cannot_be_written(workdir):
    (workdir / "file").write_text("in the way")
    with pytest.raises(ae.errors.WorkdirError, match=r"the workdir '.*file/a' cannot be"):
        storage.open_workdir(workdir / "file" / "a")


def test_a_folder_that_is_no_run(workdir):
    with pytest.raises(FileNotFoundError, match="is not the workdir of a run: it has no config"):
        storage.existing_workdir(workdir)
    storage.write_json(workdir / storage.CONFIG, {})
    assert storage.existing_workdir(workdir) == workdir
