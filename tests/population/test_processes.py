"""Several processes are one population: each trains a share of the members, the first writes.

Every process is `scripts/sweep.py` on this machine, with simulated devices of its own.
"""

import signal

import pytest

import ae_jax as ae
from tests import scripts, small
from tests.training.parallel.test_processes import end

VARY = {"optimizer.learning_rate": [0.002, 0.01, 0.005]}  # which two devices cannot share evenly
SELECTION = {"name": "population_based", "every": 30, "metric": "neg_elbo"}
STEPS = 60
SMALL = [
    "--config=configs/vae_digits.py:smoke",
    "--vary=optimizer.learning_rate=0.002,0.01,0.005",
    "--selection=population_based(every=30,metric='neg_elbo')",
    "--config.model.encoder.hidden=(32,)",
    "--config.model.decoder.hidden=(32,)",
    "--config.training.batch_size=32",
    f"--config.training.steps={STEPS}",
    "--config.training.log_every=10",
    "--config.training.eval_every=30",
]


def start_all(workdir, *arguments, own=((), ())):
    """Starts two processes of one device each."""
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=1", "PYTHONUNBUFFERED": 1}
    given = [*SMALL, f"--workdir={workdir}", f"--coordinator=localhost:{small.free_port()}"]
    given += ["--num_processes=2", *arguments]
    start = lambda *rest: scripts.start("sweep.py", *given, *rest, environment=environment)
    return [start(f"--process_id={i}", *rest) for i, rest in enumerate(own)]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The workdir of a population of two processes that nothing stopped."""
    workdir = tmp_path_factory.mktemp("swept")
    outputs = end(start_all(workdir, "--config.training.checkpoint_every=30"))
    assert "3 members on 2 device(s) of 2 processes" in outputs[0]
    assert "starting again: 0 from 1" in outputs[0]
    assert "curves.png" in outputs[0]
    assert "member" not in outputs[1]  # the first speaks for all
    return workdir


@pytest.mark.slow
@pytest.mark.devices(2)
def test_two_processes_are_one_of_as_many_devices_bit_for_bit(swept):
    config = scripts.read_json(swept / "config.json")["config"]
    config["parallel"]["devices"] = 2
    how = {"vary": VARY, "selection": SELECTION}
    one = ae.fit_population_config(config, **how, progress=False)
    two = ae.load_population(swept)
    for number in range(3):
        small.assert_identical(two.state(number).variables, one.state(number).variables)
    assert two.table == one.table
    summary = two.summary
    assert (summary["process_count"], summary["device_count"]) == (2, 2)
    assert (summary["members"], summary["compiles"]["population train"]) == (3, 1)
    points = {(p["step"], p["split"], p["member"]) for p in ae.read_metrics(swept)}
    assert {member for step, split, member in points if (step, split) == (60, "train")} == {0, 1, 2}


@pytest.mark.slow
def test_sigterm_to_one_process_saves_all_and_the_same_command_goes_on(swept, tmp_path):
    every_step = "--config.training.checkpoint_every=1"  # so that the signal comes in time
    running = start_all(tmp_path, every_step)
    scripts.wait_for(running[0], tmp_path / "checkpoints" / "5")
    running[1].send_signal(signal.SIGTERM)
    outputs = end(running, 143)
    assert all("Traceback" not in output for output in outputs)
    summary = scripts.read_json(tmp_path / "summary.json")
    assert summary["status"] == "preempted"
    assert small.steps_of(tmp_path)[-1] == summary["steps"] < STEPS
    end(start_all(tmp_path, every_step))
    small.assert_identical(small.newest(tmp_path), small.newest(swept))
    summary = scripts.read_json(tmp_path / "summary.json")
    assert (summary["status"], summary["restarts"], summary["lost_steps"]) == ("finished", 1, 0)


@pytest.mark.slow
def test_processes_with_other_members_all_end_with_the_reason(tmp_path):
    others = "--vary=optimizer.learning_rate=0.002,0.01,0.006"
    outputs = end(start_all(tmp_path, own=[(), (others,)]), 2)
    assert all("processes 0 and 1 were started with different" in output for output in outputs)
    assert all("Traceback" not in output for output in outputs)
    assert not (tmp_path / "config.json").exists()
