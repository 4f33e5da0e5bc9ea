"""`fit_population`: many runs of one recipe in one program."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

import optax

from ae_jax import config as config_lib
from ae_jax.checks import require_positive_ints
from ae_jax.config.sections import Config, ConfigLike, TrainingOptions
from ae_jax.data.dataset import of_section
from ae_jax.population import groups as groups_lib
from ae_jax.population.members import Vary, members_of
from ae_jax.population.memory import budget_of
from ae_jax.population.population import Population, present
from ae_jax.population.rounds import rounds_of
from ae_jax.precision import compiled_in_float32
from ae_jax.recipes.recipe import Recipe
from ae_jax.runs.fit import described
from ae_jax.training.parallel import processes
from ae_jax.training.parallel.members import fastest


@compiled_in_float32()
def fit_population(
    model: Any,
    data: Any,
    *,
    vary: Vary,
    how: str = "grid",
    test: Any = None,
    steps: int = 5000,
    batch_size: int = 128,
    optimizer: optax.GradientTransformation | Mapping[str, Any] | None = None,
    workdir: Any = None,
    seed: int = 0,
    preprocessing: Any = None,
    resident_mib: int = 1024,
    devices: int | None = None,
    form: str | None = None,
    memory_mib: int | None = None,
    selection: Any = None,
    callbacks: Sequence[Callable[..., None]] = (),
    progress: bool = True,
    **training: Unpack[TrainingOptions],
) -> Population:
    """Trains many autoencoders that differ in numbers of their config, in one program.

    Member i is what `fit` would train on one device with its values and seed: state, step,
    evaluation and checkpoint are those of a single run under `vmap`. Members are spread over the
    devices, those of all processes that joined; data lie there once. A number of the objective, the
    likelihood, the corruption, the optimizer or a player is an argument of the program; a value
    that changes shapes or is no number (a latent size, an activation) splits the members into
    groups, each with a program of its own, which take turns. A member whose updates are no longer
    finite stays at its last good step and is reported as diverged, as is one whose held-out loss
    has risen tenfold; the others do not notice.

    Args:
      model: see `fit`.
      data: see `fit`; small enough to lie on the devices.
      vary: the values of each field by the dotted path that `--config.…` takes, e.g.
        `{"training.seed": range(4), "objective.kl.weight": [0.5, 1, 2]}`; or a list of members, a
        mapping each, such as `ae.population.random` draws.
      how: "grid", every combination, or "list", the first values together, then the second ones.
      test: see `fit`.
      steps: optimizer steps of each member.
      batch_size: of each member.
      optimizer: see `fit`; as a section, so that its numbers can vary.
      workdir: where everything is kept; the same call again resumes. None keeps nothing.
      seed: of members whose seed does not vary.
      preprocessing: see `fit`.
      resident_mib: budget of the data, in MiB.
      devices: how many to spread members over; None: all.
      form: how members of one device are computed: "vmap", side by side in every operation, or
        "map", in turn, many steps each; None: "map" on CPUs, whose caches hold one member's state
        and not all, else "vmap".
      memory_mib: what each device may use, in MiB; None: what it has. Members that do not fit
        together take turns.
      selection: who goes on while the population trains: `ae.population.successive_halving(…)`,
        `ae.population.population_based(…)`, their config node or name; None: all, to the end.
      callbacks: each called with a `LogPoint(step, split, metrics, member)` at every log point.
      progress: whether to show the population on the terminal.
      **training: see `fit`; members share cadences and steps.

    Returns:
      A Population.

    Raises:
      UnknownNameError: a field to vary, a selection or its metric does not exist; the nearest is
        named.
      ConfigError: no members, two equal ones, a field that cannot vary, a selection that does not
        fit them, or what `fit` raises of one of them, which is named.
      NonFiniteError: every member has diverged.
      Preempted: SIGTERM arrived; everything is saved and the same call resumes it.

    Example:
      >>> import ae_jax as ae, numpy as np
      >>> x = np.random.default_rng(0).random((256, 8)).astype(np.float32)
      >>> vary = {"objective.kl.weight": [0.5, 1.0, 2.0]}
      >>> options = {"steps": 20, "batch_size": 32, "progress": False}
      >>> population = ae.fit_population(ae.recipes.vae(latent_dim=2), x, vary=vary, **options)
      >>> len(population), population.member(2).encode(x).shape
      (3, (256, 2))
    """
    with processes.agreed():
        recipe, dataset, config, custom = described(
            model,
            data,
            test=test,
            data_options={"engine": "auto", "resident_mib": resident_mib},
            preprocessing=preprocessing,
            optimizer=optimizer,
            training={"steps": steps, "batch_size": batch_size, "seed": seed, **training},
            parallel={"devices": devices},
        )
        config = config_lib.complete(config)
    shown = (callbacks, progress)
    how_far = (form, memory_mib, selection)
    return _fit(config, recipe, dataset, custom, vary, how, workdir, *how_far, *shown)


@compiled_in_float32()
def fit_population_config(
    config: ConfigLike,
    workdir: Any = None,
    *,
    vary: Vary,
    how: str = "grid",
    form: str | None = None,
    memory_mib: int | None = None,
    selection: Any = None,
    callbacks: Sequence[Callable[..., None]] = (),
    progress: bool = True,
) -> Population:
    """Trains a population around what a config describes, as `ae-jax sweep` does.

    Args:
      config: nested mappings; see `ae_jax.config`.
      workdir: see `fit_population`, as for all that follow.
      vary: values by dotted path.
      how: "grid" or "list".
      form: "vmap" or "map"; None: as the devices have it.
      memory_mib: budget of each device.
      selection: who goes on while the population trains.
      callbacks: called at every log point.
      progress: whether to show it.

    Returns:
      A Population.

    Raises:
      What `fit_population` raises.
    """
    with processes.agreed():
        config = config_lib.complete(config)
        recipe, dataset = Recipe.from_config(config), of_section(config.data)
    shown = (callbacks, progress)
    how_far = (form, memory_mib, selection)
    return _fit(config, recipe, dataset, None, vary, how, workdir, *how_far, *shown)


def _fit(
    config: Config,
    recipe: Recipe,
    dataset: Any,
    custom: Any,
    vary: Vary,
    how: str,
    workdir: Any,
    form: str | None,
    memory_mib: int | None,
    selection: Any,
    callbacks: Sequence[Callable[..., None]],
    progress: bool,
) -> Population:
    from ae_jax.population.start import PopulationStart  # files and checkpoints come with it

    started = time.time()
    with processes.agreed():
        if memory_mib is not None:
            require_positive_ints(memory_mib=memory_mib)
        members, shown = members_of(vary, how), progress and processes.is_first()
        found = groups_lib.resolve(config, recipe, dataset, members, custom, shown)
        rounds = rounds_of(found, selection, custom)
    budget = budget_of(memory_mib, config.parallel.devices)
    form = fastest() if form is None else form
    shown = (callbacks, progress, started)
    start = PopulationStart(found, custom, form, budget, workdir, *shown, rounds)
    states, summary, table = start.train()
    numbers = [group.numbers for group in found.groups]
    values = [values for _, values in states]
    return Population(
        found.members,
        found.configs if rounds is None else present(found.configs, numbers, values),
        table,
        numbers,
        [state for state, _ in states],
        values,
        found.base.recipe,
        start.stored,
        summary,
        start.workdir,
        start.events,
    )
