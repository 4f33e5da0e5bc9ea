"""Members resolved and checked one by one, and gathered into groups that one program can train."""

import dataclasses
import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from ae_jax.config.sections import Config, Parallel
from ae_jax.data.intake import take_in
from ae_jax.data.source import in_memory
from ae_jax.errors import AeJaxError, ConfigError
from ae_jax.population.members import SEED, Member, configs_of, is_number, value_at
from ae_jax.population.programs import failure, stacked_values
from ae_jax.population.traced import with_values
from ae_jax.recipes.recipe import Recipe
from ae_jax.runs import planning
from ae_jax.runs.planning import shapes_of
from ae_jax.runs.rehearsal import rehearse
from ae_jax.training.plan import Plan


class Group(NamedTuple):
    """Members of one program: all that differs between them are numbers it takes, and seeds.

    Attributes:
      numbers: of its members in the population, ascending.
      configs: of each, complete.
      plan: of the first.
      traced: dotted paths of the numbers that the program takes, in alphabetical order.
      own_seeds: whether the members of the population have seeds of their own.
    """

    numbers: tuple[int, ...]
    configs: tuple[Config, ...]
    plan: Plan
    traced: tuple[str, ...]
    own_seeds: bool


class Resolved(NamedTuple):
    """A population before it is trained.

    Attributes:
      base: the plan that all members change.
      members: values of each by dotted path.
      configs: of each, complete.
      groups: of them.
      apart: why a field splits the population into groups, by dotted path.
    """

    base: Plan
    members: list[Member]
    configs: list[Config]
    groups: list[Group]
    apart: dict[str, str]


def resolve(
    config: Config,
    recipe: Recipe,
    dataset: Any,
    members: list[Member],
    optimizer: Any = None,
    verbose: bool = False,
) -> Resolved:
    """Checks every member as a single run is checked, and finds those of one program.

    Args:
      config: that all members change.
      recipe: of its model sections.
      dataset: checked; its facts are looked at once.
      members: of `members_of`.
      optimizer: in place of the config's section.
      verbose: print what is chosen.

    Returns:
      A Resolved.

    Raises:
      ConfigError: a member's values do not fit; the member is named.
      What `planning.resolve` raises.
    """
    base = _resolved(config, recipe, dataset, optimizer, verbose)
    configs = configs_of(base.config, members)
    if base.engine != "resident":
        raise ConfigError(
            "the data of a population lie on the devices, and these are streamed, with "
            f"data.engine={base.config.data.engine!r} and "
            f"data.resident_mib={base.config.data.resident_mib}: raise that where there is memory, "
            "or train the members one by one"
        )
    if optimizer is not None and (own := [p for p in members[0] if p.startswith("optimizer.")]):
        raise ConfigError(
            f"'{own[0]}' cannot vary: the optimizer came as a Python object; give it as a section, "
            "optimizer={'name': 'adam', 'learning_rate': 1e-3}"
        )
    of = (optimizer, shapes_of(base))
    plans = [_member_plan(base, member, n, *of) for n, member in enumerate(members)]
    apart = _apart(plans[0], configs, list(members[0]), optimizer)
    groups = list(_grouped(base, configs, plans, list(members[0]), apart, optimizer))
    return Resolved(base, members, configs, groups, apart)


def _resolved(config: Config, recipe: Recipe, dataset: Any, optimizer: Any, verbose: bool) -> Plan:
    """A plan on one device, which is what a member is trained on, with the config's own devices."""
    alone = dataclasses.replace(config, parallel=Parallel(devices=1))
    plan = planning.resolve(alone, recipe, dataset, optimizer, verbose)
    return plan._replace(config=dataclasses.replace(plan.config, parallel=config.parallel))


def _member_plan(base: Plan, member: Member, number: int, optimizer: Any, shapes: Any) -> Plan:
    try:
        return with_values(base, member, optimizer, shapes)
    except AeJaxError as error:
        listed = ", ".join(f"{path}={value!r}" for path, value in member.items())
        raise type(error)(f"member {number} ({listed}): {error}") from None


def _apart(
    plan: Plan, configs: Sequence[Config], paths: Sequence[str], optimizer: Any
) -> dict[str, str]:
    """Why a field cannot be a number that the program takes, for each that cannot."""
    apart, left = {}, []
    for path in paths:
        if path == SEED:
            continue
        number = all(is_number(value_at(config, path)) for config in configs)
        left += [path] if number else []
        apart |= {} if number else {path: "not a number"}
    records = in_memory(take_in(plan.dataset.train, plan.preprocessing.host)).records
    first = lambda some: {path: row[0] for path, row in stacked_values(some, configs[:1]).items()}
    if not left or failure(plan, first(left), optimizer, records) is None:
        return apart
    for path in left:
        reason = failure(plan, first([path]), optimizer, records)
        apart |= {} if reason is None else {path: reason}
    return apart


def _grouped(
    base: Plan,
    configs: Sequence[Config],
    plans: Sequence[Plan],
    paths: Sequence[str],
    apart: Collection[str],
    optimizer: Any,
) -> Iterator[Group]:
    by_program: dict[str, list[int]] = {}
    for number, config in enumerate(configs):
        values = [value_at(config, path) for path in apart]
        by_program.setdefault(json.dumps(values), []).append(number)
    own_seeds = len({config.training.seed for config in configs}) > 1
    traced = tuple(sorted(path for path in paths if path != SEED and path not in apart))
    for numbers in by_program.values():
        lead = plans[numbers[0]]
        checked = _resolved(lead.config, lead.recipe, base.dataset, optimizer, False)
        _rehearse([plans[n] for n in numbers[1:]], lead)
        plan = lead._replace(dataset=checked.dataset, strategy=checked.strategy)
        own = tuple(configs[n] for n in numbers)
        yield Group(tuple(numbers), own, plan, traced, own_seeds)


def _rehearse(plans: Sequence[Plan], lead: Plan) -> None:
    """Rehearses those whose objective weighs other terms than the ones gone through before."""
    weighed = lambda plan: tuple(bool(term.scale != 0) for term in plan.objective.terms)
    seen = {weighed(lead)}
    for plan in plans:
        if weighed(plan) not in seen:
            seen.add(weighed(plan))
            rehearse(plan, plan.example(), shapes_of(plan))
