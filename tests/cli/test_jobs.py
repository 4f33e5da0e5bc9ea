"""The queue: workdirs by hash, finished ones skipped, failures noted and passed over."""

import json
import signal
import sys
import threading
import time

import pytest

from ae_jax.cli import jobs
from tests import scripts

# ml_collections loads config files in a way that Python 3.12 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

DIGITS, PLAIN = "configs/vae_digits.py:smoke", "configs/autoencoder_digits.py:smoke"
TRAINER = """
import json, pathlib, signal, sys, time
flags = dict(word[2:].split("=", 1) for word in sys.argv[1:])
workdir = pathlib.Path(flags["workdir"])
workdir.mkdir(parents=True, exist_ok=True)
with (workdir / "calls").open("a") as file:
    file.write(flags["config"] + "\\n")
seed = int(flags.get("config.training.seed", 0))
if seed == 3:
    sys.exit("Traceback\\nMemoryError: too large")
if seed == 4:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    (workdir / "ready").touch()
    time.sleep(60)
(workdir / "summary.json").write_text(json.dumps({"status": "finished"}))
"""


def run(lines, root, overrides=()):
    queue = jobs.Queue(jobs.read(lines, overrides), root, [sys.executable, "-c", TRAINER])
    code = queue.run()
    return code, json.loads((root / "queue.json").read_text())["jobs"]


def test_the_name_depends_on_the_whole_config_and_on_nothing_else():
    same = [DIGITS, f"{DIGITS} --config.training.seed=0", f"  {DIGITS}   # again"]
    (only,) = jobs.read(["", "# a list", *same])
    assert only.name.startswith("vae_digits-")
    other = jobs.read([DIGITS, f"{DIGITS} --config.training.steps=31", PLAIN])
    assert other[0] == only
    assert len({job.name for job in other}) == 3
    (common,) = jobs.read([DIGITS], ["--config.training.steps=31"])
    assert common.name == other[1].name


def test_failures_are_noted_and_passed_over_and_finished_ones_skipped(tmp_path):
    lines = [f"{DIGITS} --config.training.seed=3", DIGITS, "configs/none.py", PLAIN]
    code, records = run(lines, tmp_path)
    assert code == 1
    assert [r["status"] for r in records] == ["failed", "finished", "failed", "finished"]
    assert [r["exit_code"] for r in records] == [1, 0, None, 0]
    assert records[0]["error"].endswith("MemoryError: too large")
    assert "none.py" in records[2]["error"]
    code, again = run(lines, tmp_path)
    assert code == 1
    assert [r["status"] for r in again] == [r["status"] for r in records]
    called = {path.parent.name: len(path.read_text().split()) for path in tmp_path.glob("*/calls")}
    assert sorted(called.values()) == [1, 1, 2]  # only the one that failed was tried again
    assert called[records[0]["workdir"].rpartition("/")[2]] == 2


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("--config.training.step=5", "step"),
        ("--config.training.steps=0", "training.steps must be a positive"),
        ("stray", "unexpected argument 'stray'"),
    ],
)
def test_a_line_that_is_no_config_is_a_failure_of_its_own(tmp_path, override, problem):
    code, records = run([f"{DIGITS} {override}", PLAIN], tmp_path)
    assert code == 1
    assert [record["status"] for record in records] == ["failed", "finished"]
    assert problem in records[0]["error"]


def test_all_finished_is_0(tmp_path):
    assert run([DIGITS, PLAIN], tmp_path)[0] == 0


def test_sigterm_reaches_the_job_and_ends_the_queue(tmp_path):
    queue = jobs.Queue(
        jobs.read([DIGITS, PLAIN], ["--config.training.seed=4"]),
        tmp_path,
        [sys.executable, "-c", TRAINER],
    )

    def stop():
        for _ in range(1_000):
            if list(tmp_path.glob("*/ready")):
                signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
                return
            time.sleep(0.03)

    threading.Thread(target=stop, daemon=True).start()
    before = signal.getsignal(signal.SIGTERM)
    assert queue.run() == 143
    assert signal.getsignal(signal.SIGTERM) == before
    assert [record["status"] for record in queue.records] == ["preempted", "waiting"]


@pytest.mark.slow
def test_the_script_trains_a_list(tmp_path):
    lines, small = tmp_path / "lines.txt", "--config.model.encoder.hidden=(16,)"
    lines.write_text(f"{DIGITS} {small}\n{DIGITS} {small} --config.data.source=nothing\n")
    arguments = [
        f"--lines={lines}",
        f"--root={tmp_path}",
        "--overrides=--config.parallel.devices=1",
    ]
    output = scripts.run("run_queue.py", *arguments, code=1)
    assert "finished at step 30" in output
    finished, failed = scripts.read_json(tmp_path / "queue.json")["jobs"]
    assert (finished["status"], failed["status"], failed["exit_code"]) == ("finished", "failed", 2)
    assert "no data source is called 'nothing'" in failed["error"]
    assert "finished before" in scripts.run("run_queue.py", *arguments, code=1)
    output = scripts.run("run_queue.py", f"--root={tmp_path}", code=2)
    assert "nothing to train" in output
