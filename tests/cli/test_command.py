"""Overrides on the command line: whatever a section may hold can be set."""

import importlib

import pytest
from absl import flags

import ae_jax as ae
from ae_jax.cli import command
from ae_jax.cli.__main__ import COMMANDS

pytestmark = pytest.mark.filterwarnings("ignore:the load_module")  # ml_collections'


def parsed(*arguments):
    """The complete config of a command line."""
    values = flags.FlagValues()
    argv = ["train", "--config=configs/vae_digits.py:smoke", *arguments]
    command.define_config(flag_values=values, sys_argv=argv)
    values(argv)
    given = values["config"].value.copy_and_resolve_references()  # pyright: ignore[reportOptionalMemberAccess]
    return ae.config.to_plain(ae.config.complete(given))


@pytest.mark.parametrize(
    ("argument", "section", "expected"),
    [
        ("data.arguments.size=16", ("data", "arguments"), {"size": 16}),
        ("data.arguments.mode=RGB", ("data", "arguments"), {"mode": "RGB"}),
        ("data.arguments.sizes=(1,2)", ("data", "arguments"), {"sizes": [1, 2]}),
        ("data.arguments={'size': 16}", ("data", "arguments"), {"size": 16}),
        ("optimizer.arguments.b1=0.5", ("optimizer", "arguments"), {"b1": 0.5}),
    ],
)
def test_arguments_that_the_file_does_not_set(argument, section, expected):
    found = parsed(f"--config.{argument}")
    assert found[section[0]][section[1]] == expected


def test_a_part_takes_a_further_argument():
    made = parsed("--config.model.encoder.normalization=layer", "--config.training.steps=3")
    assert made["model"]["encoder"]["normalization"] == "layer"
    assert made["training"]["steps"] == 3


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("training.step", "steps"),
        ("optimizer.arguments_.b1", "arguments"),
        ("trainin.a", "trainin"),
    ],
)
def test_fields_that_do_not_exist_are_still_refused(field, said):
    with pytest.raises((ae.errors.ConfigError, KeyError), match=said):
        parsed(f"--config.{field}=5")


def test_commands_can_be_imported_side_by_side():
    """Flags are defined when a command starts: importing one leaves absl's flags as they were."""
    before = set(flags.FLAGS)
    for name in [*COMMANDS, "command", "jobs"]:
        importlib.import_module(f"ae_jax.cli.{name}")
    assert set(flags.FLAGS) == before
