"""Compiled by the TPU's own compiler for slices that are not there; needs libtpu, see .ci/run."""

import importlib.util
import json
import math
import pathlib
import runpy

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import ae_jax as ae
from ae_jax import benchmarking
from ae_jax.benchmarking.hardware.chips import GIB, slice_of
from ae_jax.benchmarking.pods import programs, roofline
from ae_jax.benchmarking.program import compiled
from ae_jax.errors import ConfigError
from tests import scripts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("libtpu") is None, reason='needs pip install -e ".[tpu-compile]"'
    ),
]
POD = "v5e:16x16"


def wide(hidden, batch=128):
    """An autoencoder of the digits whose second layer is square."""
    network = ae.networks.mlp((hidden, hidden))
    recipe = ae.recipes.autoencoder(64, encoder=network, decoder=ae.networks.mlp((hidden,)))
    config = ae.config.for_recipe(recipe)
    config["training"]["batch_size"] = batch
    return config


def digits():
    network = ae.networks.mlp((128,))
    likelihood = ae.likelihoods.gaussian(variance="global")
    recipe = ae.recipes.vae(8, encoder=network, decoder=network, likelihood=likelihood)
    return ae.config.for_recipe(recipe)


@pytest.mark.parametrize("strategy", ["pmap", "shard_map"])
def test_a_data_parallel_step_sends_gradients_and_metrics_and_no_more(strategy):
    report = benchmarking.compile_for_pod(digits(), POD, strategy)
    weights = (64 * 128 + 128) + (128 * 16 + 16) + (8 * 128 + 128) + (128 * 64 + 64) + 1
    assert report["fits"]
    assert report["chips"] == 256
    assert report["batch_size"] == 256 * 128
    operations = 2 * 128 * (3 * (64 * 128 + 128 * 16 + 8 * 128 + 128 * 64) - 64 * 128)
    assert report["flops"] == {"model": operations, "executed": operations}
    moved = report["collective_bytes"]
    assert moved["declared"] == {"gradients": 4 * weights, "all-reduce": 4 * (weights + 3)}
    assert moved["unexpected"] == 0
    payload = sum(row["times"] * row["payload_bytes"] for row in report["collectives"])
    assert payload <= 4 * (weights + 3)
    assert moved["sent"] == pytest.approx(2 * 255 / 256 * payload)
    line = report["roofline"]
    assert line["collective_seconds"] == pytest.approx(moved["sent"] / 200e9)
    assert line["compute_seconds"] == pytest.approx(operations / 197e12)
    assert [row["chips"] for row in report["weak_scaling"]] == [1, 4, 16, 64, 256]
    json.dumps(report)


def test_fsdp_holds_an_even_share_of_the_state_and_gathers_parameters_at_use():
    report = benchmarking.compile_for_pod(wide(2048), POD, "fsdp")
    assert report["mesh"] == {"data": 16, "fsdp": 16}
    state, params = report["state"], report["collective_bytes"]["declared"]["gradients"]
    assert state["bytes"] == pytest.approx(3 * params, rel=1e-3)  # Adam's two moments
    assert 1 <= state["ratio"] <= 1.02
    batch = 1437 * 64 * 4  # of the data set, which lies on every chip
    assert report["memory"]["arguments"] - batch <= 1.1 * state["bytes"] / 16 + 2**20
    gathered = [row for row in report["collectives"] if row["kind"] == "all-gather"]
    total = sum(row["times"] * row["payload_bytes"] for row in gathered)
    assert 0.95 * params < total <= params
    assert report["collective_bytes"]["unexpected"] == 0


CONFIGS = [
    *(("dcgan_fashion_mnist", strategy) for strategy in ("pmap", "shard_map", "fsdp")),
    ("vae_gan_fashion_mnist", "pmap"),
    ("vdvae_digits", "fsdp"),
]


@pytest.mark.parametrize(("name", "strategy"), CONFIGS)
def test_games_and_hierarchies_compile_and_send_each_players_gradients_once(name, strategy):
    config = runpy.run_path(str(scripts.ROOT / "configs" / f"{name}.py"))["get_config"]()
    report = benchmarking.compile_for_pod(config, POD, strategy)
    assert report["fits"]
    assert report["chips"] == 256
    moved = report["collective_bytes"]
    assert moved["unexpected"] == 0
    # Adam's two moments and the parameters themselves, of both sides of a game.
    assert report["state"]["bytes"] == pytest.approx(3 * moved["declared"]["gradients"], rel=0.01)
    payload = sum(row["times"] * row["payload_bytes"] for row in report["collectives"])
    declared = moved["declared"]
    assert 0.95 * declared["gradients"] < payload <= declared.get("all-reduce", math.inf)


def test_what_does_not_fit_says_how_much_is_missing_and_what_to_turn_on():
    report = benchmarking.compile_for_pod(wide(32_768), POD, "pmap")
    assert not report["fits"]
    assert report["memory"]["total"] > report["memory"]["hbm"] > 15 * GIB
    short = (report["memory"]["total"] - report["memory"]["hbm"]) / GIB
    assert f"{short:.2f} short" in report["verdict"]
    assert "--strategy=fsdp" in report["verdict"]
    assert "--config.training.accumulation=2" in report["verdict"]
    assert benchmarking.compile_for_pod(wide(32_768), POD, "fsdp")["fits"]


def bound_of(function, *shapes):
    """The bound of a function on each of four chips, nothing exchanged."""
    where = slice_of("v5e:2x2")
    devices = programs.devices_of(where)
    alone = NamedSharding(Mesh(np.array(devices), ("d",)), PartitionSpec())
    structs = [jax.ShapeDtypeStruct(shape, dtype, sharding=alone) for shape, dtype in shapes]
    text = jax.jit(function).lower(*structs).compile().as_text()
    work = compiled.work(text)
    return work, roofline.bound(work, where, [tuple(d.coords) for d in devices])


def test_a_large_product_takes_its_operations_over_the_peak():
    n = 8192
    work, found = bound_of(lambda a, b: a @ b, *[((n, n), "bfloat16")] * 2)
    assert work.flops == 2 * n**3
    assert work.hbm_bytes == pytest.approx(3 * n * n * 2, rel=0.01)
    assert found.held_by == "compute"
    assert found.step_seconds == pytest.approx(2 * n**3 / 197e12)  # 5.58 ms


def test_a_memory_bound_program_takes_its_bytes_over_the_bandwidth():
    n = 2**28
    work, found = bound_of(lambda m, g: 0.9 * m + g, *[((n,), "float32")] * 2)
    assert work.hbm_bytes == 3 * 4 * n
    assert found.held_by == "memory"
    assert found.step_seconds == pytest.approx(3 * 4 * n / 819e9)  # 3.93 ms


def test_a_topology_that_there_is_not_is_refused():
    with pytest.raises(ConfigError, match="must give 2 sizes"):
        benchmarking.compile_for_pod(digits(), "v5e:4x4x4")


def test_the_script_writes_reports_and_a_figure(tmp_path):
    file, figure = tmp_path / "pod.json", tmp_path / "pod.png"
    output = scripts.run(
        "compile_for_pod.py",
        "--config=configs/autoencoder_digits.py",
        f"--topology={POD}",
        "--strategy=pmap,fsdp",
        f"--json={file}",
        f"--figure={figure}",
    )
    reports = json.loads(file.read_text())
    assert [(r["config"], r["strategy"]) for r in reports] == [
        ("autoencoder_digits", "pmap"),
        ("autoencoder_digits", "fsdp"),
    ]
    assert "a step takes at least" in output
    assert "| autoencoder_digits | v5e:16x16 | pmap | 128 |" in output
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert math.isfinite(reports[0]["roofline"]["step_seconds"])
    assert pathlib.Path(figure).stat().st_size > 10_000
