"""The scripts, run as a user does: each in a process of its own."""

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

ROOT = pathlib.Path(__file__).parent.parent
LIMIT = 300  # seconds; only a hang takes so long


def start(
    script: str, *arguments: Any, environment: Mapping[str, Any] = MappingProxyType({})
) -> subprocess.Popen[str]:
    """Starts `python scripts/SCRIPT arguments`, on the devices and with the cache of the tests."""
    changed = {name: str(value) for name, value in environment.items()}
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | changed
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


def run(script: str, *arguments: Any, code: int = 0, **environment: Any) -> str:
    """Runs a script to its end and returns what it printed, if its exit code is this one."""
    process = start(script, *arguments, environment=environment)
    output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == code, f"exit code {process.returncode}, not {code}:\n{output}"
    return output


def wait_for(process: subprocess.Popen[str], path: pathlib.Path) -> None:
    """Returns once a file or folder that the process makes is there."""
    deadline = time.monotonic() + LIMIT
    while not path.exists():
        assert process.poll() is None, f"it ended by itself:\n{process.communicate()[0]}"
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.01)


def read_json(path: pathlib.Path) -> Any:
    """The contents of a JSON file."""
    return json.loads(path.read_text())
