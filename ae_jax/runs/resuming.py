"""What a workdir already holds, held against what is about to be trained there."""

from collections.abc import Callable, Mapping
from typing import Any

from ae_jax import _registry as registry
from ae_jax import _workdir as storage
from ae_jax import config as config_lib
from ae_jax.config.sections import Config
from ae_jax.errors import WorkdirError
from ae_jax.recipes.recipe import Recipe
from ae_jax.runs import fingerprint
from ae_jax.training import optimizer as optimizers
from ae_jax.training.parallel import processes

MOVED = {("data", "source"), ("data", "arguments", "data_dir")}
"""Where the same data may lie elsewhere."""

KINDS = {
    "encoder": registry.NETWORKS,
    "decoder": registry.NETWORKS,
    "likelihood": registry.LIKELIHOODS,
}


def newest(checkpoints: Any, say: Callable[[str], None]) -> Any:
    """The checkpoint to go on from, in every process the same: the newest that the first can read.

    Those that cannot be read are deleted, so that their steps can be saved again.

    Args:
      checkpoints: of the workdir.
      say: shows a line to the user.

    Returns:
      What it holds, see `Checkpoints.restore`; None if there is no checkpoint at all.
    """
    restored, first = None, processes.is_first()
    with processes.agreed():
        if first:
            restored = checkpoints.restore()
    step = int(processes.from_first(-1 if restored is None else restored.step))
    if not first and step >= 0:
        restored = checkpoints.restore(step)
    if restored is not None and restored.passed_over:
        skipped = ", ".join(map(str, restored.passed_over))
        say(f"checkpoint {skipped} cannot be read; going on from {restored.step}")
        if first:
            checkpoints.forget(restored.passed_over)
    return restored


def check_same_run(workdir: Any, config: Config, now: Mapping[str, Any]) -> Config | None:
    """Refuses to go on with other data, or another config, than those of the run in a workdir.

    Args:
      workdir: `etils.epath.Path`.
      config: of the run that is about to be trained.
      now: the fingerprint of its data.

    Returns:
      The config of the run that is there; None if there is none.

    Raises:
      WorkdirError: data or config differ in what a resumed run may not; every difference is named.
    """
    if not (workdir / storage.CONFIG).exists():
        return None
    return check_same(workdir, storage.read_config(workdir), config, now)


def check_same(
    workdir: Any, old: Mapping[str, Any], config: Config, now: Mapping[str, Any]
) -> Config:
    """`check_same_run` with what config.json holds, of a run or a population."""
    before, earlier = old.get("fingerprint"), config_lib.complete(old["config"])
    changed = fingerprint.changes(before, now) if before and storage.has_checkpoint(workdir) else []
    if changed and not config.training.accept_new_data:
        raise WorkdirError(
            f"the data are not those that the run in '{workdir}' was trained on: "
            f"{'; '.join(changed)}. Put the earlier data back, take another workdir, or go on "
            "with the new data: training.accept_new_data=True "
            "(--config.training.accept_new_data=true)"
        )
    same_data = bool(before) and not changed
    moved = MOVED if same_data or config.training.accept_new_data else set()
    if disagreements := config_lib.differences(earlier, config, moved):
        raise WorkdirError(
            f"'{workdir}' holds a run of another config: {'; '.join(disagreements)}. Take another "
            f"workdir, or the same config; training.init_from='{workdir}' in another workdir "
            "starts with the parameters learned here"
        )
    return earlier


def rate_change(old: Config, new: Config, optimizer: Any, step: int) -> str | None:
    """One line if the learning rate jumps where a run goes on, as with more steps it may.

    Args:
      old: the config of the run so far.
      new: that of the run from here on.
      optimizer: its learning rate, see `Plan`; None: unknown.
      step: where it goes on.

    Returns:
      The line; None if the rate goes on as before.
    """
    if optimizer is None or old.optimizer.name == config_lib.CUSTOM:
        return None
    sizes = old.training.steps, old.training.batch_size
    before = optimizers.rate_of(old.optimizer, *sizes)
    was, now = (optimizers.rate_at(rate, step) for rate in (before, optimizer))
    peak = new.optimizer.learning_rate
    if abs(now - was) < 0.01 * peak:
        return None
    said = f"the learning rate at step {step:,} is now {now:.3g}, where it was {was:.3g}"
    steps = new.training.steps
    if steps == sizes[0]:
        return said
    stretched = f"training.steps {sizes[0]:,} -> {steps:,} stretches the schedule"
    if new.optimizer.restart is not None:
        return f"{said}: {stretched} and it restarts at {new.optimizer.restart:,}"
    return (
        f"{said}: {stretched}. To warm up and decay anew from here: "
        f"--config.optimizer.restart={step}"
    )


def keep_choices(workdir: Any, config: Config, recipe: Recipe) -> tuple[Config, Recipe]:
    """What was chosen from the earlier data, kept for new data that a run goes on with.

    Preprocessing and parts left unset are those of config.json, since the parameters were learned
    with them: the means and deviations of new data would be others.

    Args:
      workdir: of the run, local or `gs://`; it may not exist yet.
      config: complete.
      recipe: of its model sections.

    Returns:
      Both, with what is unset filled in from the workdir.
    """
    from etils import epath

    path = epath.Path(workdir).expanduser()
    if not (path / storage.CONFIG).exists():
        return config, recipe
    old = config_lib.complete(storage.read_config(path)["config"])
    if config.data.preprocessing is None:
        kept = {"data.preprocessing": old.data.preprocessing}
        config = config_lib.replaced(config, kept)
    unset = [part for part in KINDS if getattr(recipe, part) is None]
    known = {part: getattr(old.model, part) for part in unset}
    built = {
        part: KINDS[part].build(node)
        for part, node in known.items()
        if node not in (None, config_lib.CUSTOM)
    }
    return config, recipe._replace(**built)
