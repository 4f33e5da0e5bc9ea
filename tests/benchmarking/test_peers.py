"""The comparison with other programs: that all train the same model, and who is refused."""

import json

import jax
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.benchmarking.peers import (
    admission,
    elbo,
    jax_loop,
    ours,
    report,
    runner,
    table,
    worker,
    workloads,
)
from ae_jax.benchmarking.peers.store import Store
from ae_jax.benchmarking.peers.trainer import Job
from ae_jax.errors import MissingFileError, UnknownNameError, WorkdirError
from tests import scripts, small

NAMES = tuple(workloads.WORKLOADS)
LONGER = ("conv_vae", "transformer")  # to compile
QUICK = [pytest.param(n, marks=pytest.mark.slow) if n in LONGER else n for n in NAMES]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A workload's prepared folder and its Admission, made at first use."""
    made = {}

    def folder(name):
        if name not in made:
            path = tmp_path_factory.mktemp(name)
            made[name] = path, admission.prepare(name, "smoke", path)
        return made[name]

    return folder


def claim_of(path, name, peer, variant, regime="device"):
    job = Job(workload=name, folder=str(path), peer=peer, variant=variant, regime=regime)
    trainer = table.builder(table.find(peer))(job)
    claim = admission.Claim(
        trainer.replay(admission.read(path)), trainer.parameters, trainer.optimizer
    )
    trainer.close()
    return claim


# --- the tables ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_workload_has_both_sizes_and_a_batch_fits_its_data(name):
    row = workloads.WORKLOADS[name]
    assert row.name == name
    assert set(row.sizes) == {"full", "smoke"}
    for sizes in row.sizes.values():
        assert sizes.batch_size * 4 <= sizes.train
    source, arguments = row.source("smoke")
    dataset = ae.data.load(source, **arguments)
    sizes = row.sizes["smoke"]
    assert dataset.train.spec.x.shape == sizes.shape
    assert (len(dataset.train), len(dataset.test)) == (sizes.train, sizes.test)


def test_the_work_of_a_step_is_that_of_its_matrix_products():
    # Forward, and both gradients but for that of the first layer's input; 2 operations each.
    hidden, latent, pixels, batch = 500, 20, 784, 128
    forward = pixels * hidden + hidden * 2 * latent + latent * hidden + hidden * pixels
    expected = 2 * batch * (3 * forward - pixels * hidden)
    assert workloads.flops_per_step("vae", "full") == expected
    k = workloads.flops_per_step("topk", "full")
    assert k == 2 * 4096 * 768 * 24_576 * (1 + 1 + 1 + 2)


def test_every_peer_has_an_order_to_tune_in_and_no_gpu_variant_runs_on_a_cpu():
    for peer in table.PEERS.values():
        assert peer.best
        assert set(peer.settings) <= {"one", "best"}
        for name in NAMES:
            assert not any(v.needs_gpu for v in peer.variants_for(name, gpu=False))
    names = lambda workload: {v.name for v in table.find("torch").variants_for(workload, False)}
    assert "channels_last" in names("conv_vae") - names("vae")
    assert table.find("pythae").variants_for("topk", False) == []


def test_unknown_names_are_told_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'topk'"):
        workloads.find("topkk", "smoke")
    with pytest.raises(UnknownNameError, match="did you mean 'smoke'"):
        workloads.find("vae", "smok")
    with pytest.raises(UnknownNameError, match="did you mean 'torch'"):
        table.find("torhc")
    with pytest.raises(UnknownNameError, match="did you mean 'eager'"):
        table.find("torch").variant("eagre")
    with pytest.raises(UnknownNameError, match="did you mean 'timing'"):
        worker.parse(["--mode=timin"])


# --- admission -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", QUICK)
def test_the_file_holds_the_losses_of_fit_itself(name, folders, tmp_path):
    path, expected = folders(name)
    row, sizes = workloads.find(name, "smoke")
    config = ours.config(row, sizes, path)
    config["training"] |= {"steps": admission.STEPS, "log_every": 1}
    seen = []

    def collect(point):
        if point.split == "train":
            seen.append(point.metrics["loss"])

    small.fit_quietly(config, callbacks=[collect])
    np.testing.assert_allclose(seen, expected.losses, rtol=1e-5)


def test_the_file_comes_back_as_it_was_written(folders):
    path, expected = folders("vae")
    held = admission.read(path)
    for name in ("batches", "noise", "losses"):
        np.testing.assert_array_equal(getattr(held, name), getattr(expected, name))
    assert held.params.keys() == expected.params.keys()
    assert held[4:] == expected[4:]
    assert held.parameters == 30 * 16 + 16 + 16 * 6 + 6 + 3 * 16 + 16 + 16 * 30 + 30


def test_the_noise_is_that_of_the_forward_pass(folders):
    _, expected = folders("vae")
    row, sizes = workloads.find("vae", "smoke")
    spec = ae.types.Spec(sizes.shape, "real")
    model, _ = row.recipe(sizes).build(spec)
    variables = ae.Variables(admission.nested(expected.params), {})
    x = expected.batches[0].astype(np.float32) / row.scale
    places = np.arange(len(x), dtype=np.uint32)
    keys = ae.keys.for_examples(jax.random.key(0), 0, places)
    outputs, _ = model.forward(variables, ae.types.Batch(x), keys, train=True)
    q = outputs.posterior
    z = q.loc + np.exp(0.5 * q.log_var) * expected.noise[0]
    np.testing.assert_allclose(outputs.z[:, 0], z, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("regime", runner.REGIMES)
@pytest.mark.parametrize("name", QUICK)
def test_the_librarys_own_loop_is_admitted(name, regime, folders):
    path, expected = folders(name)
    claim = claim_of(path, name, "ae_jax", "library", regime)
    assert admission.refusals(claim, expected) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_plain_loop_is_admitted(name, folders):
    path, expected = folders(name)
    claim = claim_of(path, name, "jax_loop", "plain")
    assert admission.refusals(claim, expected) == []
    np.testing.assert_allclose(claim.losses, expected.losses, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"learning_rate": 2e-3}, "the loss of step 1 "),
        ({"scale": 256.0}, "the loss of step 0 "),
    ],
)
def test_another_program_is_refused(change, reason, folders, monkeypatch):
    path, expected = folders("vae")
    other = workloads.WORKLOADS["vae"]._replace(**change)
    monkeypatch.setitem(workloads.WORKLOADS, "vae", other)
    claim = claim_of(path, "vae", "jax_loop", "plain")
    found = admission.refusals(claim, expected)
    assert any(text.startswith(reason) for text in found)
    if "learning_rate" in change:
        assert "optimizer's learning_rate: 0.002, not 0.001" in found


def test_every_difference_is_named():
    optimizer = {"name": "adam", "learning_rate": 1e-3}
    losses = np.full(10, 2.0)
    expected = admission.Admission({}, losses, losses, losses, 7, optimizer)
    same = admission.Claim([2.0] * 10, 7, optimizer)
    assert admission.refusals(same, expected) == []
    assert admission.refusals(same._replace(losses=[2.0001] * 10), expected) == []
    for change, reason in (
        ({"losses": [2.0] * 9 + [2.001]}, "the loss of step 9 is 2.001, not 2"),
        ({"losses": [float("nan")] * 10}, "the loss of step 0 is nan"),
        ({"losses": [2.0] * 9}, "9 losses, not 10"),
        ({"parameters": 8}, "parameters: 8, not 7"),
        ({"optimizer": {"name": "adamw", "learning_rate": 1e-3}}, "optimizer's name: 'adamw'"),
        ({"reduction": "sum"}, "reduction: 'sum'"),
    ):
        (found,) = admission.refusals(same._replace(**change), expected)
        assert found.startswith(reason)


def test_without_a_file_the_message_says_how_to_make_it(tmp_path):
    with pytest.raises(MissingFileError, match="--mode=prepare"):
        admission.read(tmp_path)


# --- PyTorch, where it is installed ----------------------------------------------------------


@pytest.mark.parametrize("variant", ["eager", "fused_adam"])
@pytest.mark.parametrize("name", NAMES)
def test_torch_is_admitted(name, variant, folders):
    pytest.importorskip("torch")
    path, expected = folders(name)
    claim = claim_of(path, name, "torch", variant)
    assert admission.refusals(claim, expected) == []


@pytest.mark.parametrize(
    ("name", "variant"), [("conv_vae", "channels_last"), ("topk", "sparse_decoder")]
)
def test_torch_variants_of_one_workload_are_admitted(name, variant, folders):
    pytest.importorskip("torch")
    path, expected = folders(name)
    assert admission.refusals(claim_of(path, name, "torch", variant), expected) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_torch_compiled_is_admitted(name, folders):
    pytest.importorskip("torch")
    path, expected = folders(name)
    assert admission.refusals(claim_of(path, name, "torch", "compile"), expected) == []


@pytest.mark.parametrize("name", ["vae", "conv_vae"])
def test_pythae_is_admitted(name, folders):
    pytest.importorskip("pythae")
    path, expected = folders(name)
    assert admission.refusals(claim_of(path, name, "pythae", "trainer"), expected) == []


# --- measuring -------------------------------------------------------------------------------


@pytest.mark.parametrize("regime", runner.REGIMES)
def test_the_plain_loop_takes_the_steps_it_says(regime, folders):
    path, _ = folders("vae")
    job = Job(workload="vae", folder=str(path), regime=regime, steps_per_call=3)
    made = jax_loop.build(job)
    taken = [made.advance() for _ in range(4)]
    assert taken == {"host": [3, 3, 3, 3], "device": [3, 3, 2, 3]}[regime]  # of 8 in an epoch
    assert np.isfinite(made.evaluate())


def test_a_timing_holds_every_sample_and_what_follows_from_them(folders):
    path, _ = folders("vae")
    job = Job(workload="vae", folder=str(path), peer="jax_loop", variant="plain", seconds=0.05)
    found = worker.timing(job)
    per_step = [spent / steps for spent, steps in found["samples"]]
    assert len(per_step) >= worker.SHORTEST
    assert found["step_seconds"] == pytest.approx(np.median(per_step))
    assert found["examples_per_second"] == pytest.approx(8 / np.median(per_step))
    assert found["optimizer"] == workloads.WORKLOADS["vae"].optimizer
    json.dumps(found)


def test_a_curve_has_a_point_an_epoch_and_the_first_that_reaches_the_target_counts(folders):
    path, _ = folders("vae")
    job = Job(
        workload="vae",
        folder=str(path),
        peer="jax_loop",
        variant="plain",
        steps_per_call=0,
        epochs=3,
        target=1e9,
    )
    found = worker.elbo(job)
    epochs, seconds, nats = zip(*found["points"], strict=True)
    assert epochs == (1, 2, 3)
    assert list(seconds) == sorted(seconds)
    assert found["seconds_to_target"] == seconds[0]
    assert nats[-1] < nats[0]
    assert worker.elbo(job._replace(target=0.0))["seconds_to_target"] is None


# --- in turns --------------------------------------------------------------------------------


def test_ae_jax_is_always_there_once_more_for_the_noise():
    options = runner.Options("unused", peers=("jax_loop",))
    found = runner.entries(options, "vae")
    assert {side.peer for side in found} == {"ae_jax", "jax_loop"}
    assert [side.name for side in found if side.again] == [
        "ae_jax-library-device-best-again",
        "ae_jax-library-host-best-again",
    ]
    assert len({side.name for side in found}) == len(found) == 10


def test_every_round_has_every_side_and_each_begins_in_turn():
    sides = runner.entries(runner.Options("unused", peers=("jax_loop",)), "vae")
    rounds = [runner.in_turns(sides, turn) for turn in range(2 * len(sides))]
    assert all(sorted(order) == sorted(sides) for order in rounds)
    firsts = [order[0] for order in rounds[::2]] + [order[-1] for order in rounds[1::2]]
    assert all(firsts.count(side) == 2 for side in sides)


def test_what_was_measured_is_kept_and_other_settings_are_refused(tmp_path):
    store = Store(tmp_path, {"seconds": 1.0})
    assert store.get("vae/timing/a/0") is None
    store.put("vae/timing/a/0", {"status": "ok"})
    again = Store(tmp_path, {"seconds": 1.0})
    assert again.get("vae/timing/a/0") == {"status": "ok"}
    with pytest.raises(WorkdirError, match=r"seconds=1\.0, not 2\.0"):
        Store(tmp_path, {"seconds": 2.0})


def recorded(seconds: float) -> dict:
    return {
        "status": "ok",
        "step_seconds": seconds,
        "examples_per_second": 8 / seconds,
        "steps_per_call": 1,
        "threads": 2,
        "first_call_seconds": 1.0,
        "max_rss_mib": 100.0,
    }


def test_the_table_follows_from_the_records(tmp_path):
    options = runner.Options(
        str(tmp_path),
        workloads=("vae",),
        peers=("jax_loop",),
        regimes=("host",),
        settings=("best",),
        processes=3,
    )
    store = Store(tmp_path, options.fixed)
    store.put("vae/prepare", {"status": "ok", "flops_per_step": 1_000, "flops_formula": "…"})
    store.put("vae/peak", {"status": "ok", "peak_flops": 1e6})
    ours_side, theirs, again = runner.entries(options, "vae")
    for turn in range(3):
        for side, seconds in ((ours_side, 0.002), (theirs, 0.006), (again, 0.003)):
            store.put(f"vae/timing/{side.name}/{turn}", recorded(seconds))
    result = report.build(store, options)
    rows = result["workloads"]["vae"]["rows"]
    assert [row["peer"] for row in rows] == ["ae_jax", "jax_loop", "ae_jax"]
    assert rows[0]["ratio"] is None
    assert rows[1]["ratio"] == pytest.approx((3, 3, 3))
    assert rows[0]["share_of_peak"] == pytest.approx(0.5)
    assert rows[1]["examples_per_second"] == pytest.approx(8 / 0.006)
    assert result["workloads"]["vae"]["noise_floor"]["host"] == pytest.approx((1.5, 1.5, 1.5))
    assert "| jax_loop plain | host | 1 | 6 | 1,333 | 3.00 (3.00 to 3.00) |" in report.markdown(
        result
    )
    report.write(result, str(tmp_path))
    assert json.loads((tmp_path / "results.json").read_text())["schema"] == report.SCHEMA


def test_who_failed_or_was_refused_is_named(tmp_path):
    options = runner.Options(str(tmp_path), workloads=("vae",), processes=1)
    store = Store(tmp_path, options.fixed)
    store.put("vae/prepare", {"status": "ok"})
    failed = {"status": "failed", "reason": "No module named 'pythae'"}
    store.put("vae/admission/pythae-trainer", failed)
    store.put("vae/admission/torch-eager", {"status": "refused", "reasons": ["a", "b"]})
    text = report.markdown(report.build(store, options))
    assert "- vae: pythae trainer failed: No module named 'pythae'" in text
    assert "- vae: torch eager refused: a; b" in text


def test_a_process_that_fails_is_a_record(tmp_path):
    found = runner.launch(Job(workload="none"), 100.0, str(tmp_path))
    assert found["status"] == "failed"
    assert "no workload is called 'none'" in found["reason"]
    found = runner.launch(Job(workload="vae"), 0.01, str(tmp_path))
    assert found["reason"] == "not done after 0 s"


@pytest.mark.parametrize(
    ("ours_seconds", "theirs_seconds", "expected"),
    [
        ([10, 11, 12, 13], [5, 8, 11, 14], ("ours", 4)),  # level between 3 and 4
        ([10, 11, 12, 13], [1, 2, 3, 4], ("ours", None)),
        ([1, 3, 5, 7], [4, 5, 6, 7], ("theirs", 4)),
        ([2, 3, 4, 9], [2, 4, 6, 8], (None, 1)),
        ([5, 6, 20, 21], [4, 8, 12, 22], ("ours", 4)),  # ahead once, then behind again
    ],
)
def test_the_epoch_from_which_the_slower_start_is_made_up(ours_seconds, theirs_seconds, expected):
    curve = lambda seconds: [(i + 1, s, 0.0) for i, s in enumerate(seconds)]
    assert elbo.caught_up(curve(ours_seconds), curve(theirs_seconds)) == expected


def test_rows_of_time_to_an_elbo():
    record = lambda start, reached: {
        "points": [(1.0, start, 250.0), (2.0, start + 1, 240.0)],
        "seconds_to_target": reached,
    }
    found = {
        "ae_jax-library": [record(5.0, 6.0), record(7.0, 8.0)],
        "torch-eager": [record(4.0, 5.0), record(4.0, None)],
    }
    first, second = elbo.rows(found, 245.0)
    assert first["seconds_to_target"] == 7.0
    assert first["curve"][0] == [1.0, 6.0, 250.0]
    assert second["seconds_to_target"] is None
    assert (second["slower_start"], second["caught_up_at"]) == ("ours", None)


@pytest.mark.slow
def test_the_command_compares_and_goes_on_where_it_stopped(tmp_path):
    flags = (
        f"--folder={tmp_path}",
        "--workloads=vae",
        "--size=smoke",
        "--peers=jax_loop",
        "--settings=one",
        "--regimes=host",
        "--seconds=0.1",
    )
    scripts.run("benchmark_peers.py", *flags, "--processes=1")
    before = {path: path.read_bytes() for path in (tmp_path / "processes").rglob("*.json")}
    output = scripts.run("benchmark_peers.py", *flags, "--processes=2")
    assert all(path.read_bytes() == held for path, held in before.items())
    assert "| jax_loop plain | host | 1 |" in output
    result = json.loads((tmp_path / "results.json").read_text())
    rows = result["workloads"]["vae"]["rows"]
    assert [len(row["processes"]) for row in rows] == [2, 2, 2]
    scripts.run("benchmark_peers.py", f"--folder={tmp_path}", "--peers=torhc", code=2)
