"""`ae-jax sweep`: what its flags say, and a population that is halved from the command line."""

import pytest

from ae_jax.cli import sweep
from ae_jax.errors import ConfigError
from tests import scripts


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("successive_halving", {"name": "successive_halving"}),
        (" successive_halving() ", {"name": "successive_halving"}),
        ("mine.module:pick(n=3)", {"name": "mine.module:pick", "n": 3}),
        (
            "population_based(explore={'a.b': (1e-5, 1)}, metric='kl', largest=True)",
            {
                "name": "population_based",
                "explore": {"a.b": (1e-5, 1)},
                "metric": "kl",
                "largest": True,
            },
        ),
    ],
)
def test_a_selection_is_written_as_a_call(text, node):
    assert sweep.selection_of(text) == node


@pytest.mark.parametrize(
    "text", ["", "halving(", "halving(0.5)", "halving(fraction=half)", "halving(**{'a': 1})"]
)
def test_what_is_no_call_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match=r"must be NAME\(ARGUMENT=VALUE\).*got ") as error:
        sweep.selection_of(text)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_sweep_is_halved(tmp_path):
    flags = ["--config=configs/vae_digits.py:smoke", f"--workdir={tmp_path}"]
    flags += ["--vary=optimizer.learning_rate=1e-4,1e-3,3e-3,1e3"]
    output = scripts.run("sweep.py", *flags, "--selection=successive_halving(metric='neg_elbo')")
    assert "round 1: " in output
    assert "2 of 4 go on" in output
    rows = {line.split()[0]: line.split() for line in output.splitlines() if line.strip()}
    assert rows["member"][2:5] == ["status", "steps", "rung"]
    assert rows["3"][2:5] == ["diverged", "8", "0"]
    assert "best by neg_elbo: member 2" in output
    assert (tmp_path / "figures" / "curves.png").stat().st_size > 1_000
