"""A trained population: its members as ordinary runs, their table, and the best of them."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from etils import epath

from ae_jax import config as config_lib
from ae_jax.checks import require_whole
from ae_jax.config.sections import Config
from ae_jax.data.preprocessing import build as build_preprocessing
from ae_jax.errors import CheckpointError, ConfigError, nearest
from ae_jax.population.members import Member
from ae_jax.population.programs import Values, configs_with
from ae_jax.population.rounds import events_of, lineage
from ae_jax.population.traced import recipe_with
from ae_jax.precision import compiled_in_float32, with_compute_dtype
from ae_jax.recipes.recipe import Recipe, as_recipe
from ae_jax.runs.run import Run
from ae_jax.training.state import TrainState
from ae_jax.types import spec_from_dict

FATES = ("steps", "rung", "copies", "copied_from")
"""Columns of the table that a selection fills."""


@dataclasses.dataclass(frozen=True, eq=False)
class Population:
    """What `fit_population` and `load_population` return.

    Attributes:
      members: the values of each by dotted path of the config, in order of their numbers.
      configs: of each, complete, with the values that a selection has given it since.
      table: of each `{"member", "values", "status", "metrics"}`, as members.json holds it; status
        is "trained", "stopped" by a selection, or "diverged", whose parameters are those of its
        last good step; empty before the first start has ended. With a selection also `"steps"`
        trained, `"rung"` reached, `"copies"` of others taken and `"copied_from"`, the last of them.
      groups: of those that one program trains, their numbers in the population.
      states: of each group, the TrainState with members first, `[members, …]`, NumPy.
      values: of each group, the numbers that its program takes, `[members]` by dotted path.
      recipe: what members are built of.
      stored: the contents of config.json.
      summary: the contents of summary.json.
      workdir: where it is kept, an `etils.epath.Path`; None: nowhere.
      events: what a selection has made of members, in order: `{"step", "member", "rung"}` of one
        that stopped, `{"step", "member", "source", …}`, with its numbers from then on by dotted
        path, of one that went on from another.
    """

    members: Sequence[Member]
    configs: Sequence[Config]
    table: Sequence[Mapping[str, Any]]
    groups: Sequence[Sequence[int]]
    states: Sequence[TrainState]
    values: Sequence[Values]
    recipe: Recipe
    stored: Mapping[str, Any]
    summary: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    workdir: Any = None
    events: Sequence[Mapping[str, Any]] = ()

    def __len__(self) -> int:
        """How many members there are."""
        return len(self.members)

    def state(self, number: int) -> TrainState:
        """The TrainState of a member, NumPy, as it would be alone."""
        self._require(number)
        group = next(i for i, numbers in enumerate(self.groups) if number in numbers)
        row = list(self.groups[group]).index(number)
        return jax.tree.map(lambda leaf: leaf[row], self.states[group])

    @compiled_in_float32()
    def member(self, number: int) -> Run:
        """A member as an ordinary run.

        Args:
          number: from 0, its place in `members`.

        Returns:
          A Run.

        Raises:
          ConfigError: there is no such member.
        """
        state, config = self.state(number), self.configs[number]
        recipe = recipe_with(self.recipe, config, set(self.members[number]))
        spec = spec_from_dict(dict(self.stored["spec"]))
        model, objective = recipe.build(spec)
        summary = dict(self.summary)
        if self.table:
            summary |= {"metrics": self.table[number]["metrics"]}
        if (steps := int(state.step)) < summary.get("steps", 0):
            summary |= {"steps": steps, "status": "preempted"}
        return Run(
            with_compute_dtype(model, config.training.compute_dtype, spec),
            objective if objective.terms else None,
            state.evaluated,
            config,
            build_preprocessing(config.data.preprocessing),
            spec,
            tuple(self.stored["spec"]["data_shape"]),
            self.stored["num_train"],
            tuple(self.stored["display_range"]),
            summary,
        )

    def best(
        self, metric: str | None = None, split: str | None = None, largest: bool | None = None
    ) -> int:
        """The number of the member with the best last value of a metric.

        Args:
          metric: a name in the table's metrics; None: that by which members were selected, or else
            the loss.
          split: "train", "validation" or "test"; None: validation, where there is one, else test.
          largest: whether large values are good; None: of the metric that members were selected by
            what was so then, of others no.

        Returns:
          Its number. Members that have diverged, or were stopped, are passed over.

        Raises:
          ConfigError: no member has such a metric, or none has a finite one.
        """
        ranked = self.ranked_by
        metric = ranked[0] if metric is None else metric
        largest = ranked == (metric, True) if largest is None else largest
        splits = sorted(self.table[0]["metrics"]) if self.table else []
        if split is None:
            split = "validation" if "validation" in splits else "test"
        if split not in splits:
            raise ConfigError(f"there is no split '{split}'{nearest(split, splits)}")
        names = sorted(self.table[0]["metrics"][split])
        if not any(metric in row["metrics"][split] for row in self.table):
            raise ConfigError(f"no metric is called '{metric}'{nearest(metric, names)}")
        scores = {}
        for row in self.table:
            value = row["metrics"][split].get(metric)
            if row["status"] == "trained" and value is not None and math.isfinite(value):
                scores[row["member"]] = -value if largest else value
        if not scores:
            raise ConfigError(f"no member has a finite '{metric}' of the split '{split}'")
        return min(scores, key=lambda number: scores[number])

    @property
    def ranked_by(self) -> tuple[str, bool]:
        """The metric that members were selected by, else the loss; whether it is to be large."""
        node = self.stored.get("selection")
        known = node if isinstance(node, Mapping) else {}
        return known.get("metric", "loss"), known.get("largest", False)

    def lineage(self, number: int) -> list[dict[str, Any]]:
        """Whose training a member's state has come through, and with which values.

        Args:
          number: from 0.

        Returns:
          Stages in order, `{"member", "from_step", "values"}`: one, unless a selection had it go on
          from another member's state.

        Raises:
          ConfigError: there is no such member.
        """
        self._require(number)
        return lineage(self.events, number, self.members)

    def export(self, number: int, workdir: Any) -> Run:
        """Writes a member as the workdir of an ordinary run, which every command accepts.

        Args:
          number: from 0.
          workdir: an empty or new folder; training goes on there as if it had begun alone. The
            metrics are those of its whole lineage; where that has several stages, `lineage.json`
            holds them.

        Returns:
          The Run.

        Raises:
          ConfigError: there is no such member.
          WorkdirError: the folder holds a run, or cannot be written.
        """
        from ae_jax.population.export import export

        self._require(number)
        return export(self, number, workdir)

    def describe(self, split: str | None = None) -> str:
        """A table of the members: number, values, status, and the metrics of a split.

        With a selection it also has what differs between members of the steps each has trained, the
        rung it reached, how often it took another's state and whose the last time.

        Args:
          split: None: validation, where there is one, else test, else train.
        """
        if not self.table:
            return "no member has been evaluated"
        known = self.table[0]["metrics"]
        order = ("validation", "test", "train") if split is None else (split,)
        split = next((name for name in order if name in known), None)
        names = [] if split is None else [n for n in known[split] if n != "grad_norm"][:6]
        fates = [name for name in FATES if len({row.get(name) for row in self.table}) > 1]
        rows = [("member", *self.members[0], "status", *fates, *names)]
        text = lambda value: f"{value:.6g}" if isinstance(value, float) else str(value)
        for row in self.table:
            metrics = row["metrics"].get(split, {})
            shown = (text(metrics.get(name)) for name in names)
            values = map(text, row["values"].values())
            of_rounds = ("-" if row[name] is None else str(row[name]) for name in fates)
            rows.append((str(row["member"]), *values, row["status"], *of_rounds, *shown))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)

    def _require(self, number: int) -> None:
        require_whole(number=number)
        if number >= len(self):
            raise ConfigError(f"there is no member {number}: there are {len(self)}, from 0")


@compiled_in_float32()
def load_population(workdir: Any, model: Any = None) -> Population:
    """A population from its workdir, as `fit_population` left it.

    Args:
      workdir: local or `gs://`.
      model: the recipe or `(model, objective)` pair, needed only where parts of it were the user's
        own Python objects.

    Returns:
      A Population, of the newest readable checkpoint.

    Raises:
      MissingFileError: there is none.
      WorkdirError: this is the workdir of a single run.
      CheckpointError: there is no checkpoint, or none can be read.
    """
    from ae_jax import _workdir as storage
    from ae_jax.population.saved import states_of
    from ae_jax.runs import summary
    from ae_jax.training.checkpoint import Checkpoints

    path = epath.Path(workdir).expanduser()
    stored = storage.read_config(storage.existing_workdir(path), population=True)
    config = config_lib.complete(stored["config"])
    given = Recipe.from_config(config, need_objective=False) if model is None else as_recipe(model)
    with Checkpoints(path, read_only=True) as checkpoints:
        restored = checkpoints.restore()
    if restored is None:
        raise CheckpointError(f"'{path}' holds no finished checkpoint yet")
    groups = states_of(restored.tree, stored)
    file = path / storage.TABLE
    table = storage.read_json(file) if file.exists() else []
    configs = [config_lib.replaced(config, member) for member in stored["members"]]
    numbers, values = [g["members"] for g in stored["groups"]], [values for _, values in groups]
    return Population(
        stored["members"],
        present(configs, numbers, values) if "selection" in stored else configs,
        table,
        numbers,
        [state for state, _ in groups],
        values,
        given.fill(spec_from_dict(dict(stored["spec"]))),
        stored,
        summary.read(path),
        path,
        events_of(path),
    )


def present(
    configs: Sequence[Config], groups: Sequence[Sequence[int]], values: Sequence[Values]
) -> list[Config]:
    """The configs of members with the numbers that a selection has given them.

    Args:
      configs: of each, as it began.
      groups: numbers of the members of each group.
      values: of each group, `[members]` by dotted path.
    """
    now = list(configs)
    for numbers, row in zip(groups, values, strict=True):
        for number, config in zip(
            numbers, configs_with([configs[n] for n in numbers], row), strict=True
        ):
            now[number] = config
    return now
