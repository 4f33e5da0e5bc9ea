"""The default features: those of a small classifier trained on the same data."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax import networks
from ae_jax.checks import require_positive_ints, require_seed
from ae_jax.data.batches import shuffled_index, to_batch
from ae_jax.data.dataset import Dataset
from ae_jax.data.intake import take_in_records
from ae_jax.data.order import order_seed
from ae_jax.data.preprocessing import Preprocessing, on_device
from ae_jax.data.preprocessing import build as build_preprocessing
from ae_jax.data.source import Records, Source, readable, sampled
from ae_jax.data.spec import choose_preprocessing, spec_of
from ae_jax.evaluation._arrays import labels_of, require_classes
from ae_jax.figures import is_image
from ae_jax.recipes.defaults import choose
from ae_jax.types import BATCH_AXIS, Array, Coder, Spec, Tree

BATCH = 128
RATE = 1e-3


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
    """A trained classifier; called on examples, a pure function that gives its features.

    Attributes:
      classes: the labels it tells apart, `[c]`.
      accuracy: on the labelled examples of the test split, in [0, 1]; NaN if there are none.
      preprocessing: from the data's units to the network's.
      trunk: the network up to the features.
      params: of trunk and head.
      state: of the trunk.
    """

    classes: np.ndarray
    accuracy: float
    preprocessing: Preprocessing
    trunk: Coder
    params: Tree
    state: Tree

    def __call__(self, x: Any) -> Array:
        """The last hidden layer of each example, of mean square 1 over training examples.

        Args:
          x: `[n, *event]` in the data's units; traced or differentiated where these are not so
            large that they are centred on the host.

        Returns:
          float32 `[n, d]`, none below 0.
        """
        part = self.preprocessing
        x = x if part.host is None else part.host.apply(x)
        return self._apply(self.params, on_device(part).apply(x))

    def logits(self, x: Any) -> Array:
        """The score of each class, `[n, c]`, whose softmax is p(label | x)."""
        return _logits(self.params, self(x))

    def likeliest(self, features: Any) -> np.ndarray:
        """The class of each row of features `[n, d]`, `[n]`, of `classes`."""
        return self.classes[np.argmax(_logits(self.params, jnp.asarray(features)), axis=1)]

    def of_example(self, preprocessing: Any = None) -> Callable[[Array], Array]:
        """The features as a pure function of one example in a model's units.

        It is what `ae_jax.terms.perceptual` takes.

        Args:
          preprocessing: the run's, a part or its config node; None: what `ae_jax.fit` chooses for
            these data.

        Returns:
          From `[*event]` to float32 `[d]`; differentiable where the data are not so large that they
          are centred on the host.

        Example:
          >>> import ae_jax as ae
          >>> features = classifier_features(ae.data.load("digits"), width=8, steps=2)
          >>> alike = ae.terms.perceptual(features=features.of_example())
          >>> recipe = ae.recipes.vae(4)
          >>> recipe = recipe._replace(objective=recipe.objective + 10.0 * alike)
          >>> run = ae.fit(recipe, "digits", steps=2, progress=False)
          >>> "perceptual" in run.summary["metrics"]["test"]
          True
        """
        if preprocessing is None:
            return lambda x: self._apply(self.params, x[None])[0]
        back = build_preprocessing(preprocessing).invert
        return lambda x: self(back(x[None]))[0]

    def of_records(self, records: Records) -> Array:
        """The features of examples as a source reads them, missing entries at the mean."""
        part = self.preprocessing
        batch = to_batch(take_in_records(records, part.host), np.arange(len(records.x)), part)
        return self._apply(self.params, batch.x)

    def _apply(self, params: Tree, x: Array) -> Array:
        return _features(self.trunk, params, self.state, x)


def classifier_features(
    dataset: Dataset,
    seed: int = 0,
    *,
    label: str = "label",
    width: int = 64,
    steps: int = 1_000,
    most: int = 20_000,
) -> Classifier:
    """A small classifier trained on a data set's own labels, whose last hidden layer are features.

    Features of a network trained on other images tell little of the data at hand; these tell what
    its labels are told apart by. The network is `ae_jax.networks.conv` for images, else what the
    library chooses for the data, to `width` rectified units and a linear head; it is trained by
    Adam (1e-3, falling to 0 by a cosine, batches of 128) on the cross-entropy.

    Args:
      dataset: with labels in its extras; those of -1 are left out.
      seed: of weights and order; the same gives the same classifier.
      label: the entry of `extras` that is learned.
      width: d, how many features.
      steps: of training.
      most: a fixed choice of so many examples, at most, is trained on.

    Returns:
      A Classifier.

    Raises:
      DataError: there are no labels of this name, or of one class only.

    Example:
      >>> import ae_jax as ae
      >>> features = classifier_features(ae.data.load("digits"), width=8, steps=2)
      >>> features(ae.data.load("digits").test.x[:5]).shape
      (5, 8)
    """
    require_seed(seed=seed)
    require_positive_ints(width=width, steps=steps, most=most)
    train, labels = labelled(dataset.train, label, most)
    require_classes(labels, f"labels '{label}' of the training split")
    classes, target = np.unique(labels, return_inverse=True)
    part = choose_preprocessing(dataset)
    spec = spec_of(dataset, part)
    trunk = _network(spec).bind((width,))
    root = jax.random.key(seed)
    batch = to_batch(take_in_records(train, part.host), np.arange(len(labels)), part)
    params, state = _init(trunk, root, batch.x[0], width, len(classes))
    order = order_seed(root)
    params = _trained(trunk, params, state, batch.x, jnp.asarray(target), order, steps)
    classifier = Classifier(classes, float("nan"), part, trunk, params, state)
    size = np.sqrt(np.mean(in_batches(classifier.of_records, train) ** 2, dtype=np.float64))
    params = params | {"size": np.float32(size)}
    classifier = dataclasses.replace(classifier, params=params)
    return dataclasses.replace(classifier, accuracy=_accuracy(classifier, dataset.test, label))


def labelled(source: Source, label: str, most: int) -> tuple[Records, np.ndarray]:
    """A fixed choice of a source's examples that have a label, and those labels `[n]`.

    Args:
      source: a split.
      label: the entry of `extras`; -1 there is none.
      most: how many examples are looked at.

    Raises:
      DataError: there is no such entry.
    """
    records = readable(sampled(source, most).records)
    labels = labels_of(records.extras, label, "the data")
    records = records._replace(valid=labels >= 0)
    return readable(records)._replace(valid=None, extras={}), labels[labels >= 0]


def _network(spec: Spec) -> Any:
    image = is_image(spec.event_shape) and spec.kind in ("real", "binary")
    return networks.conv() if image else choose(spec)["encoder"]


def _init(trunk: Coder, root: Array, x: Array, width: int, classes: int) -> tuple[Tree, Tree]:
    params, state = jax.jit(trunk.init)(root, x)
    kernel = jax.nn.initializers.lecun_normal()(jax.random.fold_in(root, 1), (width, classes))
    head = {"kernel": kernel, "bias": jnp.zeros(classes)}
    return {"trunk": params, "head": head, "size": np.float32(1)}, state


@functools.partial(jax.jit, static_argnums=0)
def _features(trunk: Coder, params: Tree, state: Tree, x: Array) -> Array:
    one = lambda x: trunk.apply(params["trunk"], state, x)[0]
    return jax.nn.relu(jax.vmap(one, axis_name=BATCH_AXIS)(x)) / params["size"]


def _logits(params: Tree, features: Array) -> Array:
    return params["size"] * features @ params["head"]["kernel"] + params["head"]["bias"]


def _trained(
    trunk: Coder, params: Tree, state: Tree, x: Array, target: Array, seed: Any, steps: int
) -> Tree:
    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, steps))

    def loss(learned, index):
        params = learned | {"size": np.float32(1)}
        logits = _logits(params, _features(trunk, params, state, x[index]))
        return optax.softmax_cross_entropy_with_integer_labels(logits, target[index]).mean()

    def step(i, carry):
        learned, moments = carry
        places = jnp.arange(BATCH, dtype=jnp.uint32)
        offset = i.astype(jnp.uint32) * BATCH
        index = shuffled_index(jnp.asarray(seed), jnp.uint32(0), offset, places, len(target))
        updates, moments = optimizer.update(jax.grad(loss)(learned, index), moments, learned)
        return optax.apply_updates(learned, updates), moments

    run = jax.jit(lambda *carry: jax.lax.fori_loop(0, steps, step, carry))
    learned = {name: params[name] for name in ("trunk", "head")}
    learned, _ = run(learned, optimizer.init(learned))
    return params | learned


def _accuracy(classifier: Classifier, test: Source, label: str) -> float:
    if not len(test) or label not in test.spec.extras:
        return float("nan")
    records, labels = labelled(test, label, len(test))
    if not len(labels):
        return float("nan")
    guess = classifier.likeliest(in_batches(classifier.of_records, records))
    return float(np.mean(guess == labels))


def in_batches(function: Any, values: Any, size: int = 1024) -> np.ndarray:
    """A function of many rows, applied to some at a time.

    Args:
      function: `[b, …]` to `[b, d]`.
      values: a pytree of arrays `[n, …]`.
      size: rows at a time.
    """
    total = len(jax.tree.leaves(values)[0])
    take = lambda start: jax.tree.map(lambda leaf: leaf[start : start + size], values)
    return np.concatenate([np.asarray(function(take(i))) for i in range(0, total, size)])
