"""The README's Python, run as it stands, block after block in one namespace and an empty folder."""

import pathlib
import re

import pytest

README = pathlib.Path(__file__).parent.parent / "README.md"


@pytest.mark.slow
def test_every_python_block_runs(tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.M | re.S)
    assert len(blocks) >= 4
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
    assert namespace["new"].shape == (16, 8, 8, 1)
    assert namespace["errors"].shape == (1_000,)
    assert namespace["bound"].mean() > 0  # nats of a density over 64 pixels in [0, 1]
    assert float(namespace["metrics"]["loss"]) < 40
    assert float(namespace["accuracy"]) > 0.93
    assert (tmp_path / "runs/first/figures/samples.png").stat().st_size > 1_000


@pytest.mark.parametrize("command", ["pytest", 'pip install -e ".[test]"'])
def test_the_commands_that_ci_runs_are_those_of_the_readme(command):
    assert command in README.read_text()
    assert command.split()[0] in (README.parent / ".ci" / "run").read_text()
