"""Several processes are one run: the same parameters, one checkpoint, one end.

Every process is `scripts/train.py` on this machine, with simulated devices of its own.
"""

import os
import signal
import threading
import time

import pytest

import ae_jax as ae
from ae_jax.errors import ConfigError
from ae_jax.training.parallel import processes
from tests import scripts, small

STEPS = 60
SMALL = [
    "--config=configs/vae_digits.py:smoke",
    "--config.model.encoder.hidden=(512,)",  # wide enough for fsdp to split over four devices
    "--config.model.decoder.hidden=(512,)",
    "--config.optimizer.name=sgd",  # Adam makes whole steps of rounding errors
    "--config.optimizer.learning_rate=2e-4",
    "--config.training.batch_size=32",
    f"--config.training.steps={STEPS}",
    "--config.evaluation.images=1",
]
SLOWLY = [*SMALL, "--config.training.checkpoint_every=1"]  # so that a signal comes in time
NOTICED = 60  # seconds in which a process must notice that another is gone


def start(*arguments, devices=1, environment=()):
    """Starts one process of a run."""
    flag = f"--xla_force_host_platform_device_count={devices}"
    changed = {"XLA_FLAGS": flag, "PYTHONUNBUFFERED": "1", **dict(environment)}
    return scripts.start("train.py", *arguments, environment=changed)


def start_all(count, devices, *arguments, own=()):
    """Starts all of them with explicit flags; `own` are further arguments of each."""
    address = [f"--coordinator=localhost:{small.free_port()}", f"--num_processes={count}"]
    own = own or [()] * count
    return [
        start(*arguments, *address, f"--process_id={i}", *own[i], devices=devices)
        for i in range(count)
    ]


def end(running, code=0):
    """Waits for all processes to end with this code, or each with its own; what they printed."""
    codes = code if isinstance(code, list) else [code] * len(running)
    outputs = [process.communicate(timeout=scripts.LIMIT)[0] for process in running]
    assert [process.returncode for process in running] == codes, "\n\n".join(outputs)
    return outputs


def started(running, workdir, after=5):
    """Waits for the processes to have saved so many steps more than they began with."""
    folder = workdir / "checkpoints"
    begun = max([0, *small.steps_of(workdir)]) if folder.exists() else 0
    scripts.wait_for(running[0], folder / str(begun + after))


@pytest.fixture(scope="module")
def unreachable():
    """A process whose coordinator never comes; it waits while the other tests run."""
    address = [f"--coordinator=localhost:{small.free_port()}", "--num_processes=2"]
    with start(*SMALL, "--workdir=/nowhere", *address, "--process_id=1") as process:
        limit = threading.Timer(2 * NOTICED, process.kill)  # half is for a busy machine to start
        limit.start()
        yield process
        limit.cancel()
        process.kill()


@pytest.fixture(scope="module")
def whole(tmp_path_factory, unreachable):
    """The workdir of a run of two processes with two devices each that nothing stopped."""
    workdir = tmp_path_factory.mktemp("whole")
    outputs = end(start_all(2, 2, *SMALL, f"--workdir={workdir}"))
    for i, output in enumerate(outputs):
        assert f"process {i} of 2 on " in output
        assert "2 of 4 devices (cpu), pmap on the mesh devices=4" in output
    assert "finished at step" in outputs[0]
    assert "step" not in outputs[1].split("mesh")[1]  # the first speaks for all
    summary = scripts.read_json(workdir / "summary.json")
    assert (summary["process_count"], summary["device_count"]) == (2, 4)
    return workdir


@pytest.mark.slow
def test_two_processes_of_two_devices_train_as_one_of_four(whole):
    config = scripts.read_json(whole / "config.json")["config"]
    one = small.fit_quietly(config | {"parallel": config["parallel"] | {"devices": 4}})
    two = ae.load(whole)
    assert small.distance(two.variables.params, one.variables.params) <= 1e-5
    test = one.summary["metrics"]["test"]
    assert two.summary["metrics"]["test"] == pytest.approx(test, rel=1e-4)
    trained = small.fit_quietly(config | {"training": config["training"] | {"steps": 1}})
    assert small.distance(two.variables.params, trained.variables.params) > 0.01  # they moved


@pytest.mark.slow
def test_four_processes_of_one_device_found_by_slurm_train_the_same(whole, tmp_path):
    task = {"JOB_ID": os.getpid(), "STEP_NODELIST": "localhost", "NTASKS": 4, "LOCALID": 0}
    arguments = [*SMALL, "--config.data.engine=streaming", "--cluster=slurm"]
    running = []
    for i in range(4):
        environment = {f"SLURM_{name}": value for name, value in {**task, "PROCID": i}.items()}
        running.append(start(*arguments, f"--workdir={tmp_path}", environment=environment))
    end(running)
    assert scripts.read_json(tmp_path / "summary.json")["engine"] == "streaming"
    four, two = ae.load(tmp_path), ae.load(whole)
    assert small.distance(four.variables.params, two.variables.params) <= 1e-5


@pytest.mark.slow
def test_a_killed_process_ends_the_others_and_a_restart_goes_on(whole, tmp_path):
    for victim in (1, 0):
        running = start_all(2, 2, *SLOWLY, f"--workdir={tmp_path}")
        started(running, tmp_path)
        running[victim].kill()
        began = time.monotonic()
        other = running[1 - victim]
        other.communicate(timeout=NOTICED)
        print(f"process {1 - victim} ended after {time.monotonic() - began:.1f} s")
        assert other.returncode not in (0, 143)
        running[victim].communicate()
    kept = small.steps_of(tmp_path)[-1]
    outputs = end(start_all(2, 2, *SMALL, f"--workdir={tmp_path}"))
    assert f"resuming at step {kept}" in outputs[0]
    small.assert_identical(small.newest(tmp_path), small.newest(whole))
    summary = scripts.read_json(tmp_path / "summary.json")
    assert (summary["status"], summary["restarts"]) == ("finished", 2)
    assert 0 < summary["goodput"] < 1


@pytest.mark.slow
def test_sigterm_to_one_process_saves_in_all_and_another_strategy_resumes(whole, tmp_path):
    strategy = "--config.parallel.strategy"
    running = start_all(2, 2, *SLOWLY, f"--workdir={tmp_path}", f"{strategy}=fsdp")
    started(running, tmp_path)
    running[1].send_signal(signal.SIGTERM)
    began = time.monotonic()
    outputs = end(running, 143)
    print(f"both ended {time.monotonic() - began:.1f} s after the signal")
    assert all("Traceback" not in output for output in outputs)
    summary = scripts.read_json(tmp_path / "summary.json")
    assert summary["status"] == "preempted"
    assert small.steps_of(tmp_path)[-1] == summary["steps"] < STEPS
    end(start_all(2, 2, *SMALL, f"--workdir={tmp_path}", f"{strategy}=shard_map"))
    assert small.distance(small.newest(tmp_path)["params"], small.newest(whole)["params"]) <= 1e-5
    summary = scripts.read_json(tmp_path / "summary.json")
    assert (summary["restarts"], summary["lost_steps"]) == (1, 0)


APART = {  # what the second process is given besides, both exit codes, what both say
    "another config": (
        ["--config.training.seed=1", "--config.optimizer.learning_rate=0.1"],
        [2, 2],
        ["optimizer.learning_rate: 0.0002 and 0.1; config.training.seed: 0 and 1"] * 2,
    ),
    "another folder": (["--workdir={tmp_path}/other"], [1, 1], ["the workdir is not shared"] * 2),
    "no data": (
        ["--config.data.source=npy:{tmp_path}/none.npy"],
        [1, 2],
        ["ProcessError: process 1 stopped with MissingFileError", "MissingFileError"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", APART)
def test_processes_that_do_not_belong_together_all_end_with_the_reason(tmp_path, case):
    arguments, codes, messages = APART[case]
    second = [argument.format(tmp_path=tmp_path) for argument in arguments]
    workdir = tmp_path / "run"
    outputs = end(start_all(2, 1, *SMALL, f"--workdir={workdir}", own=[[], second]), codes)
    for output, message in zip(outputs, messages, strict=True):
        assert message in output
        assert "Traceback" not in output
    assert not (workdir / "metrics").exists()


@pytest.mark.slow
def test_a_coordinator_out_of_reach_is_an_error_within_a_minute(unreachable):
    output, _ = unreachable.communicate()
    assert unreachable.returncode == 1
    assert "ProcessError: the coordinator at localhost:" in output
    assert "was not reached within 45 s" in output


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("localhost:1234", None, 0), "--num_processes not given"),
        ((None, 2, None), "--coordinator, --process_id not given"),
        (("localhost", 2, 0), "HOST:PORT of process 0, got 'localhost'"),
        (("localhost:1234", 2, 2), "from 0 to 1, got 2"),
        ((None, None, None, "slrum"), "no cluster is called 'slrum'; did you mean 'slurm'?"),
    ],
)
def test_what_joining_needs_is_checked_first(arguments, match):
    with pytest.raises(ConfigError, match=match):
        processes.join(*arguments)


def test_one_process_agrees_with_itself():
    assert processes.is_first()
    assert not processes.several()
    assert processes.texts("alone") == ["alone"]
    assert processes.from_first(0.1) == 0.1
    processes.check_same({"a": 1})
    with pytest.raises(KeyError), processes.agreed():
        raise KeyError
