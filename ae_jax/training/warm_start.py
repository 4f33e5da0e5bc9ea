"""Starting from what another run has learned."""

from collections.abc import Sequence
from typing import Any

from ae_jax import _workdir as storage
from ae_jax.errors import CheckpointError, ShapeError, UnknownNameError, nearest
from ae_jax.training.checkpoint import Checkpoints
from ae_jax.training.checkpoint_tree import leaf_shapes, variables_of
from ae_jax.types import Tree, Variables


def warm_start(
    variables: Variables, workdir: Any, parts: Sequence[str] = ()
) -> tuple[Variables, tuple[str, ...]]:
    """Variables with those of another run in place of their own.

    Args:
      variables: freshly drawn.
      workdir: workdir of the other run; its newest checkpoint is read.
      parts: which, e.g. `("encoder",)`; none given: all that the two models share.

    Returns:
      The Variables, and the names of the parts taken over.

    Raises:
      MissingFileError: this is not the workdir of a run.
      UnknownNameError: one of the models has no such part.
      ShapeError: the two runs' parts have other shapes.
      CheckpointError: there is no checkpoint, or none can be read.
    """
    path = storage.existing_workdir(workdir)
    with Checkpoints(path, read_only=True) as checkpoints:
        restored = checkpoints.restore()
    if restored is None:
        raise CheckpointError(f"'{path}' holds no finished checkpoint to start from")
    other = variables_of(restored.tree)
    shared = sorted(set(variables.params) & set(other.params))
    for part in parts:
        for holder, whose in ((variables, "this model"), (other, f"the run '{path}'")):
            if part not in holder.params:
                known = nearest(part, holder.params)
                raise UnknownNameError(f"{whose} has no parameters called '{part}'{known}")
    taken = tuple(parts or shared)

    def merged(ours: dict[str, Tree], theirs: dict[str, Tree]) -> dict[str, Tree]:
        chosen = {part: theirs[part] for part in taken if part in theirs and part in ours}
        _check_shapes({part: ours[part] for part in chosen}, chosen, str(path))
        return {**ours, **chosen}

    return Variables(*map(merged, variables, other)), taken


def _check_shapes(ours: Tree, theirs: Tree, path: str) -> None:
    for name, (mine, other) in leaf_shapes(ours, theirs).items():
        if mine != other:
            raise ShapeError(
                f"cannot start from '{path}': {name} has shape {other} there, {mine} here"
            )
