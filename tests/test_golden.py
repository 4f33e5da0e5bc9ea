"""Formats that runs on disk depend on: a change here needs a new version and a way to read the old.

The values were written down from this implementation; nothing outside it fixes them.
"""

import json
import zlib

import jax
import numpy as np
import pytest
from etils import epath

import ae_jax as ae
from ae_jax import config
from ae_jax.config import sections
from ae_jax.runs import summary
from ae_jax.training import checkpoint
from tests import small

PARAMETERS = [
    "['decoder']['dense_0']['bias']",
    "['decoder']['dense_0']['kernel']",
    "['decoder']['output']['bias']",
    "['decoder']['output']['kernel']",
    "['encoder']['dense_0']['bias']",
    "['encoder']['dense_0']['kernel']",
    "['encoder']['output']['bias']",
    "['encoder']['output']['kernel']",
]
TREE = [
    *(f"['optimizer']['model']['{i:06d}']" for i in range(17)),  # Adam: count, 8 mu, 8 nu
    *(f"['params']{name}" for name in PARAMETERS),
    "['root']",
    "['skipped']",
    "['skipped_in_a_row']",
    "['step']",
]
CONFIG = {
    "corruption": None,
    "data": [
        "arguments",
        "engine",
        "preprocessing",
        "resident_mib",
        "source",
        "spec",
        "stand_in",
        "test_fraction",
        "validation_fraction",
        "workers",
    ],
    "evaluation": ["batch_size", "images"],
    "model": ["bottleneck", "critics", "decoder", "encoder", "likelihood"],
    "objective": [],
    "optimizer": [
        "arguments",
        "base_batch_size",
        "clip_norm",
        "learning_rate",
        "name",
        "restart",
        "schedule",
        "warmup_steps",
    ],
    "parallel": ["devices", "mesh", "strategy"],
    "players": [],
    "pod": ["batch_per_chip", "strategies"],
    "training": [
        "accept_new_data",
        "accumulation",
        "average_decay",
        "batch_size",
        "checkpoint_every",
        "compute_dtype",
        "deterministic",
        "eval_every",
        "init_from",
        "init_parts",
        "keep_checkpoints",
        "log_every",
        "max_skipped_in_a_row",
        "seed",
        "steps",
        "steps_per_dispatch",
    ],
}
SUMMARY = [
    "compiles",
    "device_count",
    "device_kind",
    "engine",
    "examples_per_second",
    "examples_seen",
    "git_revision",
    "goodput",
    "hints",
    "input_wait_share",
    "lost_steps",
    "matmul_precision",
    "metrics",
    "precision",
    "preprocessing",
    "process_count",
    "restarts",
    "skipped_records",
    "status",
    "steps",
    "strategy",
    "time_to_first_step_seconds",
    "version",
    "versions",
    "wall_seconds",
    "wanted_steps",
]
TRAIN_LINE = [
    "examples_per_second",
    "grad_norm",
    "kl",
    "learning_rate",
    "loss",
    "reconstruction",
    "skipped",
    "split",
    "step",
]
TEST_LINE = ["kl", "loss", "mse", "neg_elbo", "reconstruction", "split", "step"]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("golden")
    small.train(workdir, steps=20)
    return workdir


def test_versions():
    assert (checkpoint.VERSION, sections.VERSION, summary.VERSION) == (1, 1, 1)


def test_the_paths_of_a_checkpoints_tree(workdir):
    assert sorted(small.leaves(small.newest(workdir))) == sorted(TREE)


def test_the_files_of_a_checkpoint(workdir):
    folder = workdir / "checkpoints" / "20"
    assert {"state", "meta", "metrics"} <= {path.name for path in folder.iterdir()}
    meta = json.loads((folder / "meta" / "metadata").read_text())
    assert sorted(meta) == ["checksum", "examples_seen", "version"]
    assert (meta["version"], meta["examples_seen"]) == (1, 20 * 16)


def test_the_checksum_of_a_fixed_tree():
    tree = {
        "params": {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(3)},
        "step": np.int32(7),
    }
    content = b"['params']['b'] float64 (3,)" + bytes(24)
    content += b"['params']['w'] float32 (2, 3)" + np.arange(6, dtype="<f4").tobytes()
    content += b"['step'] int32 ()" + b"\x07\x00\x00\x00"
    assert checkpoint.checksum(tree) == zlib.crc32(content) == 141120673
    assert checkpoint.checksum(tree | {"step": np.int32(8)}) != checkpoint.checksum(tree)
    assert checkpoint.checksum(tree | {"step": np.int64(7)}) != checkpoint.checksum(tree)
    assert checkpoint.checksum({**tree, "stop": tree["step"]}) != checkpoint.checksum(tree)


def test_the_fields_of_a_config():
    names = lambda section: None if section is None else sorted(section)
    assert {name: names(section) for name, section in config.DEFAULTS.items()} == CONFIG


def test_the_keys_of_config_json(workdir):
    stored = json.loads((workdir / "config.json").read_text())
    keys = ["config", "display_range", "fingerprint", "num_train", "spec", "version"]
    assert sorted(stored) == keys
    assert stored["version"] == 1
    assert sorted(stored["config"]) == sorted(CONFIG)
    assert stored["spec"] == {
        "event_shape": [6],
        "kind": "real",
        "num_classes": None,
        "columns": None,
        "terminator": None,
        "data_shape": [6],
    }
    assert stored["config"]["model"]["encoder"] == {
        "name": "mlp",
        "hidden": [16],
        "activation": "relu",
        "condition": None,
        "dropout": 0.0,
        "dtype": None,
        "normalisation": None,
        "num_classes": None,
    }
    assert stored["config"]["objective"] == {
        "reconstruction": {"weight": 1.0},
        "kl": {"weight": 1.0},
    }


def test_the_keys_of_summary_json(workdir):
    stored = json.loads((workdir / "summary.json").read_text())
    assert sorted(stored) == SUMMARY
    assert sorted(stored["metrics"]) == ["test", "train"]


def test_the_keys_of_a_line_of_metrics(workdir):
    lines = map(json.loads, (workdir / "metrics" / "0.jsonl").read_text().splitlines())
    keys = {line["split"]: sorted(line) for line in lines}
    assert keys["test"] == TEST_LINE
    assert keys["train"] == TRAIN_LINE


def test_the_files_of_a_workdir(workdir):
    found = {path.name for path in workdir.iterdir()}  # the figures are left out here
    assert found == {
        "checkpoints",
        "config.json",
        "metrics",
        "starts.json",
        "summary.json",
        "tensorboard",
    }


def test_the_numbers_of_a_short_run_stay_what_they_are(workdir):
    """A golden run: its noise, data order, initial parameters and optimizer in one number."""
    with checkpoint.Checkpoints(epath.Path(workdir), read_only=True) as checkpoints:
        params = checkpoints.restore().tree["params"]
    total = sum(float(np.abs(leaf).sum()) for leaf in jax.tree.leaves(params))
    assert total == pytest.approx(73.777111, rel=1e-5)
    assert ae.load(workdir).summary["metrics"]["test"]["loss"] == pytest.approx(9.8239555, rel=1e-5)
