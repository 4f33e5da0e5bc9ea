"""`ae-jax COMMAND`: the table of commands, what starts them, and what --help says."""

import importlib
import os
import subprocess
import sys

import pytest

from ae_jax.cli import __main__ as cli
from tests.scripts import ROOT


def run(*arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_without_a_command_all_are_listed(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ae-jax"])
    cli.main()
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in cli.COMMANDS)


def test_an_unknown_command_names_the_nearest(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ae-jax", "trian"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert "no command 'trian'; did you mean 'train'?" in capsys.readouterr().err


def test_a_command_is_started_with_the_arguments_that_follow(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "argv", ["ae-jax", "train", "--workdir=w"])
    module = type("module", (), {"start": staticmethod(lambda: seen.append(list(sys.argv)))})
    monkeypatch.setattr(importlib, "import_module", lambda name: {"ae_jax.cli.train": module}[name])
    cli.main()
    assert seen == [["ae-jax train", "--workdir=w"]]


def test_every_command_has_a_module_and_a_script_that_starts_it():
    folder = ROOT / "ae_jax" / "cli"
    started = " ".join(path.read_text() for path in (ROOT / "scripts").glob("*.py"))
    for name in cli.COMMANDS:
        assert "def start()" in (folder / f"{name}.py").read_text()
        assert f"from ae_jax.cli import {name}\n" in started or f", {name}\n" in started


@pytest.mark.parametrize(
    "how", [("-m", "ae_jax.cli", "sample"), (ROOT / "scripts" / "sample.py",)], ids=["-m", "script"]
)
def test_help_speaks_of_the_command_and_its_flags(how):
    done = run(*how, "--help")
    printed = done.stdout + done.stderr
    assert "Writes samples, interpolations and traversals of a run" in printed
    assert "--num" in printed
    assert "--workdir" in printed


def test_when_a_process_began():
    code = (
        "import time; now = time.time(); time.sleep(0.3); from ae_jax.cli import command; "
        "print(now - command.process_started())"
    )
    assert -0.1 < float(run("-c", code).stdout) < 30  # before its first line, not long before
