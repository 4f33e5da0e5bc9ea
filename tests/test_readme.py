"""The Python of every README, run as it stands, block after block, each in an empty folder."""

import re

import pytest

from tests.scripts import ROOT

README = ROOT / "README.md"


def blocks(readme):
    return re.findall(r"^```python\n(.*?)^```", readme.read_text(), re.M | re.S)


def executed(readme, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "readme"}
    for block in blocks(readme):
        exec(compile(block, str(readme), "exec"), namespace)
    return namespace


def first_minute(namespace, folder):
    assert namespace["new"].shape == (16, 8, 8, 1)
    assert namespace["odd"].shape == (364,)
    assert namespace["reduced"]["run"]["explained_variance"] > 0.5
    assert namespace["judged"]["samples"]["coverage"] > 0.5
    assert namespace["gan"].sample(16).shape == (16, 8, 8, 1)
    assert len(namespace["six"]) == 6
    assert namespace["bound"].mean() > 0  # nats of a density over 64 pixels in [0, 1]
    assert float(namespace["metrics"]["loss"]) < 40
    assert namespace["images"].shape == (8, 8, 8, 1)
    assert (folder / "runs/first/figures/samples.png").stat().st_size > 1_000


def library(namespace, folder):
    assert namespace["auroc"] > 0.98  # of anomalies among the digits
    assert float(namespace["accuracy"]) > 0.93


def data(namespace, folder):
    assert namespace["filled"].shape == (1_000, 12)


def configs(namespace, folder):
    config = namespace["get_config"]("smoke")
    assert config.data.source == "digits"
    assert config.training.steps < 1_000


CHECKS = {
    "README.md": first_minute,
    "ae_jax/README.md": library,
    "ae_jax/data/README.md": data,
    "configs/README.md": configs,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_every_python_block_runs(name, tmp_path, monkeypatch):
    CHECKS[name](executed(ROOT / name, tmp_path, monkeypatch), tmp_path)


def test_every_readme_with_python_is_run():
    written = {
        str(path.relative_to(ROOT))
        for folder in ("ae_jax", "configs", "scripts", "tests")
        for path in (ROOT / folder).rglob("README.md")
        if blocks(path)
    }
    assert written | {"README.md"} == set(CHECKS)


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= 180


@pytest.mark.parametrize("readme", sorted(ROOT.rglob("README.md")), ids=lambda p: p.parent.name)
def test_every_link_between_files_leads_somewhere(readme):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", readme.read_text()):
        assert "://" in target or (readme.parent / target).exists(), target


@pytest.mark.parametrize("command", ["pytest", 'pip install -e ".[test]"'])
def test_the_commands_that_ci_runs_are_those_of_the_readme(command):
    assert command in README.read_text()
    assert command.split()[0] in (ROOT / ".ci" / "run").read_text()
