"""The proof that two programs train the same model, before either is timed.

One file holds ae_jax's initial weights, its first ten batches, the noise that it draws for them and
its ten losses. A peer loads the weights, takes ten steps on those batches with that noise, and is
admitted if its losses are the same.
"""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ae_jax.errors import MissingFileError
from peers.workloads import REDUCTION, Sizes, Workload, find

STEPS = 10
TOLERANCE = 1e-4
FILE, TRAIN, TEST = "admission.npz", "train.npy", "test.npy"


class Admission(NamedTuple):
    """What a peer must reproduce.

    Attributes:
      params: initial weights by path, e.g. "encoder/dense_0/kernel".
      batches: `[10, b, *event]`, in the data's own units.
      noise: ε of the code, `[10, b, latent]`; `[10, b, 0]` where nothing is drawn.
      losses: `[10]`, before each update.
      parameters: how many numbers are trained.
      optimizer: name, learning_rate, b1, b2, eps.
      reduction: of the loss, in words.
    """

    params: Mapping[str, np.ndarray]
    batches: np.ndarray
    noise: np.ndarray
    losses: np.ndarray
    parameters: int
    optimizer: Mapping[str, Any]
    reduction: str = REDUCTION


class Claim(NamedTuple):
    """What a peer says of itself, and the losses of its replay."""

    losses: Sequence[float]
    parameters: int
    optimizer: Mapping[str, Any]
    reduction: str = REDUCTION


def refusals(claim: Claim, admission: Admission, tolerance: float = TOLERANCE) -> list[str]:
    """Why a peer does not train the same model; nothing if it does.

    Args:
      claim: of the peer.
      admission: of ae_jax.
      tolerance: of each loss, relative.

    Returns:
      A sentence a reason.
    """
    reasons = []
    for what in ("parameters", "reduction"):
        theirs, ours = getattr(claim, what), getattr(admission, what)
        if theirs != ours:
            reasons.append(f"{what}: {theirs!r}, not {ours!r}")
    for name, ours in admission.optimizer.items():
        if claim.optimizer.get(name) != ours:
            reasons.append(f"optimizer's {name}: {claim.optimizer.get(name)!r}, not {ours!r}")
    theirs = np.asarray(claim.losses, np.float64)
    if theirs.shape != admission.losses.shape:
        return [*reasons, f"{len(theirs)} losses, not {len(admission.losses)}"]
    error = np.abs(theirs - admission.losses) / np.abs(admission.losses)
    wrong = np.flatnonzero(~(error <= tolerance))  # NaN is wrong
    if wrong.size:
        at = int(wrong[0])
        reasons.append(
            f"the loss of step {at} is {theirs[at]:.7g}, not {admission.losses[at]:.7g}: "
            f"{error[at]:.1e} away, more than {tolerance:.0e}"
        )
    return reasons


def write(folder: str | os.PathLike, admission: Admission) -> None:
    """Writes the one file."""
    meta = {name: getattr(admission, name) for name in ("parameters", "optimizer", "reduction")}
    arrays = {f"params/{path}": leaf for path, leaf in admission.params.items()}
    for name in ("batches", "noise", "losses"):
        arrays[name] = getattr(admission, name)
    arrays["meta"] = np.array(json.dumps(meta))
    np.savez(pathlib.Path(folder) / FILE, **arrays)  # pyright: ignore[reportArgumentType]


def read(folder: str | os.PathLike) -> Admission:
    """Reads it.

    Raises:
      MissingFileError: `prepare` has not been here.
    """
    path = pathlib.Path(folder) / FILE
    if not path.exists():
        raise MissingFileError(f"there is no '{path}': run the worker with --mode=prepare first")
    with np.load(path) as held:
        meta = json.loads(str(held["meta"]))
        params = {
            name.removeprefix("params/"): held[name]
            for name in held.files
            if name.startswith("params/")
        }
        arrays = {name: held[name] for name in ("batches", "noise", "losses")}
    return Admission(params, **arrays, **meta)


def train_size(folder: str | os.PathLike) -> int:
    """How many examples `prepare` left to train on."""
    return len(np.load(pathlib.Path(folder) / TRAIN, mmap_mode="r"))


def nested(params: Mapping[str, Any]) -> dict[str, Any]:
    """A tree of dicts from leaves by path."""
    tree: dict[str, Any] = {}
    for path, leaf in params.items():
        *above, last = path.split("/")
        inner = tree
        for name in above:
            inner = inner.setdefault(name, {})
        inner[last] = leaf
    return tree


def prepare(
    workload: str,
    size: str,
    folder: str | os.PathLike,
    source: str | None = None,
    precision: str = "float32",
) -> Admission:
    """Writes what a workload's processes start from: the data, and ae_jax's first ten steps.

    Args:
      workload: a name in `WORKLOADS`.
      size: one of its sizes.
      folder: where to; made if need be.
      source: of other data of the same shape, e.g. "tfds:fashion_mnist"; None: the workload's own.
      precision: that the steps are taken in.

    Returns:
      The Admission that was written.
    """
    import ae_jax as ae
    from ae_jax.data.source import in_memory

    row, sizes = find(workload, size)
    name, arguments = row.source(size) if source is None else (source, {})
    dataset = ae.data.load(name, **arguments)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / TRAIN, np.asarray(in_memory(dataset.train).x))
    np.save(folder / TEST, np.asarray(in_memory(dataset.test).x))
    admission = first_steps(row, sizes, folder, precision)
    write(folder, admission)
    return admission


def first_steps(
    row: Workload, sizes: Sizes, folder: str | os.PathLike, precision: str = "float32"
) -> Admission:
    """ae_jax's first ten steps, one at a time, by the pure step function alone."""
    import jax
    import jax.numpy as jnp

    from ae_jax.data import order
    from ae_jax.data.batches import shuffled_index, to_batch
    from ae_jax.data.source import Records, in_memory
    from ae_jax.runs.planning import prepare as resolve
    from ae_jax.training.step import make_step
    from peers import ours

    plan = resolve(ours.config(row, sizes, folder, precision))
    train = in_memory(plan.dataset.train).x
    root = jax.random.key(plan.config.training.seed)
    state = jax.jit(plan.init)(root)
    params = leaves(state.variables.params)
    step = jax.jit(make_step(plan.model, plan.players, len(train)))
    places = jnp.arange(sizes.batch_size, dtype=jnp.uint32)
    batches, noise, losses = [], [], []
    for i in range(STEPS):
        offset = jnp.uint32(i * sizes.batch_size)
        seed = jnp.asarray(order.order_seed(root))
        index = np.asarray(shuffled_index(seed, jnp.uint32(0), offset, places, len(train)))
        batches.append(train[index])
        noise.append(drawn(root, i, places, sizes.latent if row.noisy else 0))
        batch = to_batch(Records(jnp.asarray(train[index])), index, plan.preprocessing)
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    return Admission(
        params,
        np.stack(batches),
        np.stack(noise),
        np.array(losses),
        sum(leaf.size for leaf in params.values()),
        row.optimizer,
    )


def drawn(root: Any, step: int, places: Any, size: int) -> np.ndarray:
    """The ε of `ae_jax.distributions.DiagonalGaussian.sample` at one step, `[b, size]`."""
    import jax

    from ae_jax import keys

    latent = keys.for_examples(root, step, places).latent
    one = lambda key: jax.random.normal(jax.random.fold_in(key, 0), (size,))  # of sample 0
    return np.asarray(jax.vmap(one)(latent))


def leaves(params: Any) -> dict[str, np.ndarray]:
    """A tree's leaves by path, as NumPy."""
    import jax

    paths = jax.tree_util.tree_leaves_with_path(params)
    named = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
    return {named(path): np.array(leaf) for path, leaf in paths}
