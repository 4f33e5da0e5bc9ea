"""A checkpoint's tree: a TrainState as nested mappings of arrays, and back."""

import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.errors import CheckpointError
from ae_jax.training.state import TrainState
from ae_jax.types import Tree, Variables


def to_tree(state: TrainState) -> dict[str, Tree]:
    """The checkpoint's tree: `params/…`, `state/…`, `optimizer/PLAYER/N`, counters, `root`.

    Optimizer states are numbered leaves in optax's own order.
    """
    root = state.root
    if jnp.issubdtype(root.dtype, jax.dtypes.prng_key):
        root = jax.random.key_data(root)
    number = lambda tree: {f"{i:06d}": leaf for i, leaf in enumerate(jax.tree.leaves(tree))}
    return {
        "params": state.variables.params,
        "state": state.variables.state,
        "optimizer": {player: number(tree) for player, tree in state.optimizer.items()},
        "average": state.average,
        "root": np.asarray(root),
        "step": state.step,
        "skipped": state.skipped,
        "skipped_in_a_row": state.skipped_in_a_row,
    }


def variables_of(tree: dict[str, Tree]) -> Variables:
    """What a checkpoint's tree keeps for use: with averaged params, where there are any."""
    return Variables(tree["average"] or tree["params"], tree["state"])


def from_tree(tree: dict[str, Tree], like: TrainState) -> TrainState:
    """Inverse of `to_tree`, with the structure of `like`, of arrays or of shapes.

    Raises:
      CheckpointError: the tree is of another model or optimizer.
    """
    root = np.zeros(jax.eval_shape(jax.random.key_data, like.root).shape, np.uint32)
    _check_like(tree, to_tree(like._replace(root=root)))
    rebuild = lambda old, numbered: jax.tree.unflatten(
        jax.tree.structure(old), [numbered[key] for key in sorted(numbered)]
    )
    optimizer = {p: rebuild(old, tree["optimizer"][p]) for p, old in like.optimizer.items()}
    return TrainState(
        variables=Variables(tree["params"], tree["state"]),
        optimizer=optimizer,
        average=tree["average"],
        root=jax.random.wrap_key_data(tree["root"]),
        step=tree["step"],
        skipped=tree["skipped"],
        skipped_in_a_row=tree["skipped_in_a_row"],
    )


def leaf_shapes(*trees: Tree) -> dict[str, tuple[Any, ...]]:
    """The shape of each leaf in each tree by path; None where it has no such leaf."""
    flat = [
        {jax.tree_util.keystr(p): np.shape(x) for p, x in jax.tree_util.tree_leaves_with_path(t)}
        for t in trees
    ]
    names = sorted(set().union(*flat))
    return {name: tuple(tree.get(name) for tree in flat) for name in names}


def checksum(tree: Tree) -> int:
    """CRC-32 over every leaf's path, type, shape and bytes."""
    total = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        leaf = np.asarray(leaf)
        head = f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}"
        total = zlib.crc32(leaf.tobytes(), zlib.crc32(head.encode(), total))
    return total


def _check_like(tree: Tree, expected: Tree) -> None:
    for name, (got, wanted) in leaf_shapes(tree, expected).items():
        if got != wanted:
            raise CheckpointError(
                f"the checkpoint is of another model or optimizer: {name} has shape "
                f"{got}, expected {wanted}"
            )
