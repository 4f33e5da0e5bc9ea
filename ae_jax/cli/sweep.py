"""Trains many runs of one config in one program, which differ in seeds and numbers.

ae-jax sweep --config=configs/vae_digits.py --workdir=runs/beta
    --vary="objective.kl.weight=0.5,1,2;training.seed=0:4"

Every combination is a member; --how=list takes the first values together, then the second ones.
A range FIRST:LAST leaves out the last. --random=16 draws members instead, from fields given as
log_uniform(1e-4,1e-2) or uniform(0,0.5). The same command resumes.

--selection="successive_halving(fraction=0.25,metric='neg_elbo')" stops the worse members early;
--selection="population_based(every=200,metric='neg_elbo')" has the worst start again from the best
every 200 steps, with their numbers a little changed. What a round did is shown, and in the table.

At the end stand a table and figures: all values of a member as a line, learning curves by
quartiles, and of a sweep of a KL's weight rate against distortion. --export=3 --to=DIR writes a
member as the workdir of an ordinary run, for which --workdir alone is needed.

Several processes, on as many machines, train a share of the members each: with --cluster=slurm and
the like, or --coordinator, --num_processes and --process_id, as for train.
"""

import ast
import re
from collections.abc import Callable
from typing import Any

from absl import flags

from ae_jax import _workdir as storage
from ae_jax import fit_population_config, load_population, population
from ae_jax.cli import command
from ae_jax.errors import ConfigError, nearest
from ae_jax.population.pictures import draw
from ae_jax.training.parallel import processes

FLAGS = flags.FLAGS
DRAWS: dict[str, Callable[..., Any]] = {
    "uniform": population.uniform,
    "log_uniform": population.log_uniform,
}
EXAMPLE = "e.g. --vary='objective.kl.weight=0.5,1,2;training.seed=0:4'"


def define_flags() -> None:
    """Defines the flags of the command."""
    command.define_config()
    flags.DEFINE_string("workdir", None, "Where the population is kept, local or gs://.")
    flags.DEFINE_string("vary", None, f"FIELD=VALUES;FIELD=VALUES, {EXAMPLE}.")
    flags.DEFINE_enum("how", "grid", ["grid", "list"], "Every combination, or side by side.")
    flags.DEFINE_integer("random", None, "How many members to draw, from fields with a law.")
    flags.DEFINE_integer("random_seed", 0, "Of these draws.")
    flags.DEFINE_enum("form", None, ["vmap", "map"], "Members side by side, or in turn.")
    flags.DEFINE_integer("memory_mib", None, "What each device may use; all of it by default.")
    flags.DEFINE_string("selection", None, "Who goes on while it trains: NAME or NAME(ARGUMENTS).")
    flags.DEFINE_integer("export", None, "Number of a member to export; nothing is trained.")
    flags.DEFINE_string("to", None, "Where to export it.")
    command.define_processes()


def main() -> None:
    """Runs the command."""
    if FLAGS.export is not None:
        if FLAGS.to is None:
            raise ConfigError("--export needs --to=DIR, the workdir to write")
        load_population(FLAGS.workdir).export(FLAGS.export, FLAGS.to)
        if processes.is_first():
            print(f"member {FLAGS.export} is the run {FLAGS.to}")
        return
    if FLAGS.config is None or FLAGS.vary is None:
        raise ConfigError(f"a sweep needs --config=FILE and --vary, {EXAMPLE}")
    config = command.read_config()
    command.require_deterministic(config)
    fields = parse(FLAGS.vary)
    if FLAGS.random is None and (laws := [path for path in fields if callable(fields[path])]):
        raise ConfigError(f"'{laws[0]}' is drawn at random: say how many members, --random=16")
    found = fit_population_config(
        config,
        FLAGS.workdir,
        vary=fields if FLAGS.random is None else drawn(fields, FLAGS.random, FLAGS.random_seed),
        how=FLAGS.how,
        form=FLAGS.form,
        memory_mib=FLAGS.memory_mib,
        selection=None if FLAGS.selection is None else selection_of(FLAGS.selection),
    )
    if processes.is_first():
        print(found.describe())
        if found.stored.get("selection") is not None:
            print(f"best by {found.ranked_by[0]}: member {found.best()}")
        folder = found.workdir / storage.FIGURES
        print(*(folder / name for name in draw(found, folder)), sep="\n")
    processes.wait_for_all()


def parse(text: str) -> dict[str, Any]:
    """The values of each field, or the law they are drawn from.

    Args:
      text: `FIELD=VALUE,VALUE;FIELD=FIRST:LAST;FIELD=log_uniform(LOW,HIGH)`.

    Raises:
      ConfigError: it is something else.

    Example:
      >>> parse("objective.kl.weight=0.5,1;training.seed=0:3")
      {'objective.kl.weight': [0.5, 1], 'training.seed': [0, 1, 2]}
    """
    fields: dict[str, Any] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        path, equals, values = map(str.strip, part.partition("="))
        if not equals or not path or not values:
            raise ConfigError(f"--vary must be FIELD=VALUES;…, {EXAMPLE}, got {part!r}")
        if path in fields:
            raise ConfigError(f"--vary names '{path}' twice")
        fields[path] = _values(path, values)
    return fields


def selection_of(text: str) -> dict[str, Any]:
    """The config node of a selection.

    Args:
      text: `NAME` or `NAME(ARGUMENT=VALUE, …)`, values as Python writes them.

    Raises:
      ConfigError: it is something else.

    Example:
      >>> selection_of("population_based(every=200, metric='neg_elbo')")
      {'name': 'population_based', 'every': 200, 'metric': 'neg_elbo'}
    """
    example = "--selection=\"successive_halving(fraction=0.25, metric='neg_elbo')\""
    name, opened, rest = text.strip().partition("(")
    try:
        call: Any = ast.parse(f"f({rest if opened else ')'}", mode="eval").body
        named = isinstance(call, ast.Call) and all(k.arg for k in call.keywords)
        if not name.strip() or not named or call.args:
            raise ValueError
        arguments = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (ValueError, SyntaxError):
        raise ConfigError(
            f"--selection must be NAME(ARGUMENT=VALUE), e.g. {example}, got {text!r}"
        ) from None
    return {"name": name.strip(), **arguments}


def _values(path: str, text: str) -> Any:
    if law := re.fullmatch(r"(\w+)\((.*)\)", text):
        name, arguments = law.groups()
        if name not in DRAWS:
            raise ConfigError(f"--vary of '{path}': no law '{name}'{nearest(name, DRAWS)}")
        numbers = [_value(value) for value in arguments.split(",")]
        if len(numbers) != 2:
            raise ConfigError(f"--vary of '{path}' must be {name}(LOW,HIGH), got {text!r}")
        return DRAWS[name](*numbers)
    if span := re.fullmatch(r"(\d+):(\d+)", text):
        return list(range(int(span[1]), int(span[2])))
    return [_value(value) for value in re.split(r",(?![^(\[]*[)\]])", text)]


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text.strip()


def drawn(fields: dict[str, Any], number: int, seed: int) -> list[dict[str, Any]]:
    """Members drawn at random; a field with values instead of a law takes any of them.

    Args:
      fields: of `parse`.
      number: how many.
      seed: of the draws.
    """
    choice = lambda row: lambda generator: row[int(generator.integers(len(row)))]
    draws = {path: row if callable(row) else choice(row) for path, row in fields.items()}
    return population.random(number, seed, draws)


def start() -> None:
    """Runs the command with the arguments of the command line."""
    define_flags()
    command.main(main, required=("workdir",))
