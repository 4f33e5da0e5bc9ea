"""What a trained encoder is worth where labels are few."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax.checks import require_positive_ints, require_seed
from ae_jax.data import matching
from ae_jax.data.batches import to_batch
from ae_jax.data.dataset import Dataset
from ae_jax.data.intake import take_in_records
from ae_jax.data.source import Records, Source, readable, sampled
from ae_jax.errors import DataError, PartError
from ae_jax.evaluation._arrays import is_told, labels_of, probe, require_classes
from ae_jax.types import Array, Batch, Tree, Variables

SIZES = (10, 100, 1_000)
BATCH = 32
RATE = 1e-3
MOST = 10_000
"""Training examples of which those that get a label are drawn."""
LEARNED = ("encoder", "bottleneck")


class Labelled(NamedTuple):
    """Examples in the model's units with their classes.

    Attributes:
      batch: x is `[n, *event]`.
      target: the class of each, 0 … c - 1, int `[n]`.
    """

    batch: Batch
    target: np.ndarray


def scarce_labels(
    run: Any,
    dataset: Dataset,
    *,
    label: str = "label",
    sizes: Sequence[int] | None = None,
    steps: int = 300,
    repeats: int = 3,
    num_test: int = 2_000,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Test accuracy with few labels, of a frozen encoder, a fine-tuned one and an untrained one.

    All three are the network up to the code's mean, and a linear layer on the code in units of its
    deviation over training examples. "frozen" fits the layer alone (scikit-learn's logistic
    regression, C = 1); "fine_tuned" goes on from the run's parameters and "scratch" from freshly
    drawn ones, both by the same Adam (1e-3, falling to 0 by a cosine, batches of 32 drawn from the
    labelled examples) on the cross-entropy. Labels are dealt to the classes in turn. Normalisation
    keeps the statistics it has; nothing is dropped or corrupted.

    Args:
      run: a Run.
      dataset: its data, with labels in its extras (-1: none).
      label: the entry of `extras` that is learned.
      sizes: how many labels; None: those of 10, 100 and 1,000 that there are.
      steps: of the two trainings.
      repeats: draws of the labelled examples and of the untrained network.
      num_test: a fixed choice of so many test examples, at most.
      seed: of all that is drawn.

    Returns:
      By size, as text, the mean over draws of "frozen", "fine_tuned" and "scratch", in [0, 1], and
      with "_std" each draw's deviation.

    Raises:
      DataError: no such label, one class only, or fewer labels than a size.
      PartError: the encoder is told the label.
    """
    require_positive_ints(steps=steps, repeats=repeats, num_test=num_test)
    require_seed(seed=seed)
    if is_told(run, label):
        raise PartError(f"the encoder is told '{label}', which cannot judge its code")
    train = _records(run, dataset.train, label, MOST, "training")
    test = _records(run, dataset.test, label, num_test, "test")
    classes = np.unique(train.extras[label])
    require_classes(classes, f"labels '{label}' of the training split")
    sizes = _sizes(sizes, len(train.x))
    known = np.isin(test.extras[label], classes)
    test = jax.tree.map(lambda leaf: np.asarray(leaf)[known], test)
    judged = _in_units(run, test, label, classes)
    scores: dict[str, list[dict[str, float]]] = {str(size): [] for size in sizes}
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        dealt = _dealt(train.extras[label], max(sizes), rng)
        some = jax.tree.map(lambda leaf, dealt=dealt: np.asarray(leaf)[dealt], train)
        pool = _in_units(run, some, label, classes)
        fresh = run.model.init(jax.random.key(rng.integers(2**32)), np.asarray(pool.batch.x)[0])
        for size in sizes:
            index = rng.integers(size, size=(steps, BATCH))
            scores[str(size)].append(_accuracies(run, pool, judged, size, index, fresh))
    return {size: _summary(accuracies) for size, accuracies in scores.items()}


def _records(run: Any, source: Source, label: str, most: int, split: str) -> Records:
    if not len(source):
        raise DataError(f"scarce labels need {split} examples, and there are none")
    records = sampled(matching.matched(source, run.spec.columns), most).records
    records = readable(records)._replace(valid=None)
    has = labels_of(records.extras, label, f"the {split} data") >= 0
    return jax.tree.map(lambda leaf: np.asarray(leaf)[has], records)


def _sizes(sizes: Sequence[int] | None, labelled: int) -> tuple[int, ...]:
    if sizes is None:
        sizes = [size for size in SIZES if size <= labelled] or [labelled]
    for size in sizes:
        require_positive_ints(sizes=size)
        if size > labelled:
            raise DataError(f"sizes={size} labels are asked for, and there are {labelled}")
        if size < 2:
            raise DataError(f"sizes={size} label holds one class only: give 2 at least")
    return tuple(sizes)


def _dealt(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Places of examples, of each class one in turn, so that every beginning is balanced."""
    order = rng.permutation(len(labels))
    turn = np.zeros(len(labels), int)
    for value in np.unique(labels):
        members = labels[order] == value
        turn[members] = np.arange(members.sum())
    return order[np.lexsort((rng.random(len(labels)), turn))][:size]


def _in_units(run: Any, records: Records, label: str, classes: np.ndarray) -> Labelled:
    part = run.preprocessing
    batch = to_batch(take_in_records(records, part.host), np.arange(len(records.x)), part)
    return Labelled(batch, np.searchsorted(classes, records.extras[label]))


def _accuracies(
    run: Any, pool: Labelled, test: Labelled, size: int, index: np.ndarray, fresh: Variables
) -> dict[str, float]:
    few = jax.tree.map(lambda leaf: leaf[:size], pool)
    codes = [_codes(run, run.variables, part.batch) for part in (few, test)]
    whole = _codes(run, run.variables, pool.batch)
    accuracies = {"frozen": _probed(codes, whole, few.target, test.target)}
    for name, variables in (("fine_tuned", run.variables), ("scratch", fresh)):
        accuracies[name] = _tuned(run, variables, pool, test, index)
    return accuracies


def _codes(run: Any, variables: Variables, batch: Batch) -> np.ndarray:
    size = 1024
    take = lambda i: jax.tree.map(lambda leaf: leaf[i : i + size], batch)
    starts = range(0, len(batch.x), size)
    return np.concatenate([np.asarray(_encode(run.model, variables, take(i))) for i in starts])


@functools.partial(jax.jit, static_argnums=0)
def _encode(model: Any, variables: Variables, batch: Batch) -> Array:
    """Codes `[b, d]`."""
    z = model.encode(variables, batch.x, None, batch.observed, dict(batch.extras))
    return z.reshape(len(z), -1)


def _probed(
    codes: list[np.ndarray], whole: np.ndarray, target: np.ndarray, answer: np.ndarray
) -> float:
    mean, spread = _moments(whole)
    few, test = ((z - mean) / spread for z in codes)
    return float(probe().fit(few, target).score(test, answer))


def _moments(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, spread = codes.mean(axis=0), codes.std(axis=0)
    return mean, np.where(spread > 0, spread, 1)


def _tuned(
    run: Any, variables: Variables, pool: Labelled, test: Labelled, index: np.ndarray
) -> float:
    units = _moments(_codes(run, variables, pool.batch))
    classes = int(pool.target.max()) + 1
    head = {"kernel": np.zeros((len(units[0]), classes), np.float32), "bias": np.zeros(classes)}
    params = {name: variables.params[name] for name in LEARNED if name in variables.params}
    learned = params | {"head": jax.tree.map(np.float32, head)}
    data = pool.batch, jnp.asarray(pool.target)
    learned = _trained(run.model, learned, variables, units, data, jnp.asarray(index))
    head = learned.pop("head")
    tuned = variables._replace(params={**variables.params, **learned})
    z = (_codes(run, tuned, test.batch) - units[0]) / units[1]
    return float(np.mean(np.argmax(z @ head["kernel"] + head["bias"], axis=1) == test.target))


@functools.partial(jax.jit, static_argnums=0)
def _trained(
    model: Any, learned: Tree, variables: Variables, units: Any, data: Any, index: Array
) -> Tree:
    batch, target = data
    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, len(index)))

    def loss(learned, rows):
        parts = {name: tree for name, tree in learned.items() if name != "head"}
        tuned = variables._replace(params={**variables.params, **parts})
        z = _encode(model, tuned, jax.tree.map(lambda leaf: leaf[rows], batch))
        logits = (z - units[0]) / units[1] @ learned["head"]["kernel"] + learned["head"]["bias"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, target[rows]).mean()

    def step(i, carry):
        learned, moments = carry
        updates, moments = optimizer.update(jax.grad(loss)(learned, index[i]), moments)
        return optax.apply_updates(learned, updates), moments

    start = learned, optimizer.init(learned)
    return jax.lax.fori_loop(0, len(index), step, start)[0]


def _summary(accuracies: list[dict[str, float]]) -> dict[str, float]:
    each = {name: np.array([scores[name] for scores in accuracies]) for name in accuracies[0]}
    means = {name: float(values.mean()) for name, values in each.items()}
    return means | {f"{name}_std": float(values.std()) for name, values in each.items()}
