"""What a type checker tells a user of ae_jax: each line's mistake, and each result's type."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

USER = pathlib.Path(__file__).parent / "reference" / "user_typing.py"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pyright") is None, reason="pyright comes with the extra dev")
def test_a_users_mistakes_are_seen_and_what_is_right_passes(tmp_path):
    (tmp_path / "user.py").write_text(USER.read_text())
    command = ["pyright", "--outputjson", "--pythonpath", sys.executable, "user.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    lines = USER.read_text().splitlines()
    expected = {i for i, line in enumerate(lines) if line.endswith("# error")}
    shown = json.loads(done.stdout)["generalDiagnostics"]
    errors = {item["range"]["start"]["line"] for item in shown if item["severity"] == "error"}
    assert {lines[i] for i in errors} == {lines[i] for i in expected}
    types = dict(re.findall(r'Type of "(\w+)" is "(.*)"', "\n".join(i["message"] for i in shown)))
    assert types == {
        "recipe": "Recipe",
        "run": "Run",
        "codes": "ndarray[tuple[Any, ...], dtype[Any]]",
        "network": "Network",
        "likelihood": "Likelihood",
        "objective": "Objective",
        "own": "Objective",
        "variables": "Variables",
    }
