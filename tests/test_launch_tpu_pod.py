"""The launcher of TPU slices: what it would run, and what it makes of a slice's states."""

import os
import shlex
import shutil
import subprocess

import pytest

from tests import scripts

SLICE = ["--name=ae", "--zone=us-west4-a", "--type=v5litepod-256", "--version=v2-tpu"]
TRAIN = ["--config=configs/vae_digits.py:smoke", "--workdir=gs://bucket/a run", "--x=(16,)"]
PLACE = "--zone=us-west4-a"

# Each look takes the next state, each run of train.py the next exit code; every call is noted.
GCLOUD = """#!/usr/bin/env bash
printf '%s ' "${@:4:2}" >>"$FAKE/calls"
next() { head -n 1 "$FAKE/$1"; sed -i 1d "$FAKE/$1"; }
case $4 in
    list) next states ;;
    ssh) [[ $* != *train.py* ]] || { printf 'train' >>"$FAKE/calls"; code=$(next codes); } ;;
esac
printf '\\n' >>"$FAKE/calls"
exit "${code:-0}"
"""
LOOK, CREATE, DELETE, TRAINED = "list --filter=name~/ae$", "create ae", "delete ae", "ssh ae train"
RUN = ["scp", "ssh ae", TRAINED]


def launch(*arguments, environment=(), code=0):
    command = ["bash", str(scripts.ROOT / "scripts/launch_tpu_pod.sh"), *arguments]
    found = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | dict(environment),
    )
    assert found.returncode == code, found.stderr
    return found


def test_a_dry_run_prints_every_command_up_to_the_resumption_after_a_preemption():
    arguments = [*SLICE, "--project=p", "--spot", "--delete", "--dry_run", "--", *TRAIN]
    printed = list(map(shlex.split, launch(*arguments).stdout.splitlines()))
    tpu = [line[4:] for line in printed if line[:4] == ["gcloud", "compute", "tpus", "tpu-vm"]]
    assert all(line[-2:] == [PLACE, "--project=p"] for line in tpu)
    create = ["create", "ae", "--accelerator-type=v5litepod-256", "--version=v2-tpu", "--spot"]
    made = ["list", "create", "list", "scp", "ssh", "ssh"]
    again = ["list", "list", "delete", *made]
    assert [line[0] for line in tpu] == [*made, *again, "delete"]
    assert tpu[1][:-2] == create
    assert sum(line[:2] == ["git", "archive"] for line in printed) == 2
    copied, installed, trained = tpu[3:6]
    assert copied[2:4] == ["ae:", "--worker=all"]
    assert installed[1:3] == trained[1:3] == ["ae", "--worker=all"]
    assert "tar -xzf ae_jax.tar.gz" in installed[3]
    assert "-e '.[tpu]'" in installed[3]
    remote = shlex.split(trained[3].removeprefix("--command=").rpartition("exec ")[2])
    assert remote == [".venv/bin/python", "scripts/train.py", "--cluster=gcetpu", *TRAIN]
    assert tpu[-2][3] == trained[3]


@pytest.mark.parametrize(
    ("states", "codes", "calls", "code"),
    [
        (["READY"], [0], [LOOK, *RUN], 0),
        (
            ["", "CREATING", "READY", "PREEMPTED", "PREEMPTED", "", "READY"],
            [143, 0],
            [LOOK, CREATE, LOOK, LOOK, *RUN, LOOK, LOOK, DELETE, LOOK, CREATE, LOOK, *RUN],
            0,
        ),
        (
            ["STOPPED", "READY", "READY", "READY", "READY"],
            [1, 1],
            [LOOK, "start ae", LOOK, *RUN, LOOK, LOOK, TRAINED, LOOK],
            1,
        ),
    ],
)
def test_it_makes_reuses_and_remakes_the_slice(tmp_path, states, codes, calls, code):
    (tmp_path / "gcloud").write_text(GCLOUD)
    (tmp_path / "gcloud").chmod(0o755)
    (tmp_path / "states").write_text("".join(f"{state}\n" for state in states))
    (tmp_path / "codes").write_text("".join(f"{number}\n" for number in codes))
    environment = {"FAKE": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    options = ["--wait=0", "--retries=1"]
    launch(*SLICE, *options, "--", *TRAIN, environment=environment, code=code)
    found = [line.strip() for line in (tmp_path / "calls").read_text().splitlines()]
    found = ["scp" if line.startswith("scp") else line for line in found]
    assert found == calls


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*SLICE[1:], "--", *TRAIN], "--name is missing"),
        ([*SLICE, "--", TRAIN[0]], "--workdir is missing after --"),
        ([*SLICE, *TRAIN], "unknown option '--config=configs/vae_digits.py:smoke'"),
    ],
)
def test_what_is_missing_is_named(arguments, message):
    assert message in launch(*arguments, code=2).stderr


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_shellcheck_finds_nothing():
    subprocess.run(["shellcheck", str(scripts.ROOT / "scripts/launch_tpu_pod.sh")], check=True)
