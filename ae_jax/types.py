"""The core types: what flows through an autoencoder, and the parts that it flows through.

Parts are written for ONE example; only `Autoencoder.forward` vmaps. All containers are pytrees or
tuples of pure functions. A part built by one of our factories carries the `Node` (name and
arguments) that rebuilds it, which is what `config.json` stores.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import keys as keys_lib
from ae_jax.errors import PartError, nearest
from ae_jax.ops import random as fused_random

Array = jax.Array
Tree = Any  # a pytree of arrays
PRNGKey = chex.PRNGKey
Shape = tuple[int, ...]
BATCH_AXIS = "batch"
"""The name of the axis of examples where networks are mapped over a batch."""
DEVICE_AXIS = "devices"
"""The name of the axis of devices where a step is mapped over them."""
ENTRIES = "entries"
"""The activation by which a decoder tells what `draw` made up."""


class Node(NamedTuple):
    """What rebuilds a part: the name its registry knows and its arguments, hashable."""

    name: str
    kwargs: tuple[tuple[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The config form, `{"name": …, argument: value, …}`, with nested nodes as dicts."""
        return {"name": self.name} | {key: _thaw(value) for key, value in self.kwargs}


def _thaw(value: Any) -> Any:
    if isinstance(value, Node):
        return value.to_dict()
    return tuple(map(_thaw, value)) if isinstance(value, tuple) else value


class Spec(NamedTuple):
    """What one example looks like after preprocessing, and what kind of data it is."""

    event_shape: Shape
    kind: str  # a key of `ae_jax.recipes.defaults.KINDS`, e.g. "binary", "real", "tokens"
    num_classes: int | None = None  # of tokens
    columns: tuple["Column", ...] | None = None  # of a table
    terminator: int | None = None  # the token that ends a sequence; what follows is padding


class Column(NamedTuple):
    """One column of a table.

    Attributes:
      name: as in the file.
      kind: "number", "category", whose values are codes 0 … len(categories) - 1, or "count".
      categories: what the codes stand for.
    """

    name: str
    kind: str
    categories: tuple[str, ...] = ()


def spec_to_dict(spec: Spec) -> dict[str, Any]:
    """The form of a Spec in config.json."""
    columns = None if spec.columns is None else [column._asdict() for column in spec.columns]
    return {**spec._asdict(), "event_shape": list(spec.event_shape), "columns": columns}


def spec_from_dict(stored: Mapping[str, Any]) -> Spec:
    """The Spec of `spec_to_dict`; other fields are passed over."""
    columns = stored["columns"]
    if columns is not None:
        columns = tuple(Column(c["name"], c["kind"], tuple(c["categories"])) for c in columns)
    shape = tuple(stored["event_shape"])
    return Spec(shape, stored["kind"], stored["num_classes"], columns, stored.get("terminator"))


# ---- data ----------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """A batch of examples.

    Attributes:
      x: `[b, *event]`.
      observed: bool `[b, *event]`; missing entries have False here and 0 in x. None: all observed.
      valid: bool `[b]`, False for the padding of a last batch and for skipped records. None: all.
      index: uint32 `[b]`, each example's place in the data set.
      extras: lengths, labels, conditions, each `[b, …]`.
    """

    x: Array
    observed: Array | None = None
    valid: Array | None = None
    index: Array | None = None  # pyright: ignore[reportIncompatibleMethodOverride]
    extras: Mapping[str, Array] = {}


class Variables(NamedTuple):
    """Everything a model has learned. The top-level names are the checkpoint's.

    Attributes:
      params: params by part ("encoder", "decoder", "bottleneck", "likelihood", further players'
        networks).
      state: state by part; never differentiated (normalisation statistics, codebook averages,
        counters).
    """

    params: dict[str, Tree]
    state: dict[str, Tree]

    def part(self, name: str) -> tuple[Tree, Tree]:
        """Params and state of a part, each {} where it has none.

        Args:
          name: top-level name, such as "encoder".

        Returns:
          `(params, state)`.

        Example:
          >>> Variables({"decoder": {"bias": 1.0}}, {}).part("decoder")
          ({'bias': 1.0}, {})
        """
        return self.params.get(name, {}), self.state.get(name, {})


# ---- parts, for one example ----------------------------------------------------------------------


@runtime_checkable
class Distribution(Protocol):
    """A pytree over one event; `log_prob` sums over all its dimensions, in nats."""

    def log_prob(self, value: Array) -> Array | None:
        """Log-density, scalar; None for a point mass."""
        ...

    def sample(self, key: PRNGKey) -> Array:
        """One draw, differentiable where a reparameterisation exists."""
        ...

    @property
    def mean(self) -> Array:
        """The mean, of the event's shape."""
        ...

    @property
    def mode(self) -> Array:
        """The mode, of the event's shape."""
        ...


class Coder(NamedTuple):
    """A network as pure functions of one example.

    Attributes:
      init: `(key, x) -> (params, state)`.
      apply: `(params, state, x, *, observed, extras, info, key, train) -> (y, activations, state)`,
        everything after x with a default. A decoder that takes `target` too is given the clean x
        where there is one (autoregressive decoders read it; `decode` has none), one that takes
        `active` the places of the flattened z that may be other than 0, or None. One that takes
        `draw`, `(y of a position, position) -> entry`, where there is no target, feeds that back in
        place of its own guess and gives all entries as the activation "entries".
      node: what rebuilds it, or None.
    """

    init: Callable[..., tuple[Tree, Tree]]
    apply: Callable[..., tuple[Array, dict[str, Array], Tree]]
    node: Node | None = None


class Network(NamedTuple):
    """A coder that waits to be told the shape it must emit.

    Attributes:
      bind: `output_shape -> Coder`.
      node: what rebuilds it, or None.
    """

    bind: Callable[[Shape], Coder]
    node: Node | None = None


class Prior(NamedTuple):
    """p(z), possibly learned.

    Attributes:
      init: `(key, latent_shape) -> params`; one that takes `example` too is given an x as the
        networks see it.
      apply: `(params, latent_shape) -> Distribution`; one that takes `encode` too is given the map
        of x `[n, *event]` to posteriors with leaves `[n, …]`. What it returns may have a method
        `given(extras)` that makes it the distribution for one example's extras.
      support: the points it has a density on: "vectors", "unit spheres", "the ball of curvature
        -C", or "posteriors" where they are its posteriors'.
      node: what rebuilds it, or None.
    """

    init: Callable[..., Tree]
    apply: Callable[..., Any]
    support: str = "vectors"
    node: Node | None = None


class Flow(NamedTuple):
    """An invertible map of vectors with the logarithm of its volume change, possibly learned.

    Forward leads from the base distribution to the latent: that is the way of samples.

    Attributes:
      init: `(key, size, context) -> params`, for vectors `[size]`, told a context `[context]`
        beside them; 0 for none.
      forward: `(params, x, context) -> (y, log |det ∂y/∂x|)`, context an array or None.
      inverse: `(params, y, context) -> (x, log |det ∂x/∂y|)`.
      node: what rebuilds it, or None.
    """

    init: Callable[[PRNGKey, int, int], Tree]
    forward: Callable[[Tree, Array, Array | None], tuple[Array, Array]]
    inverse: Callable[[Tree, Array, Array | None], tuple[Array, Array]]
    node: Node | None = None


class Codes(NamedTuple):
    """The integers that stand for a latent, and the way back.

    Attributes:
      shape: of the integers of one example, as `posterior.numbers` has them.
      size: each lies in 0 … size - 1.
      latent: `(params, state, numbers) -> z`.
      nested: whether the first few along the last axis are a coarser code by themselves.
    """

    shape: Shape
    size: int
    latent: Callable[[Tree, Tree, Array], Array]
    nested: bool = False


class Bottleneck(NamedTuple):
    """From features to a latent.

    Attributes:
      latent_shape: the shape of z.
      feature_shape: what the encoder must emit.
      init: `key -> (params, state)`; one that takes `example` too is given an x as the networks see
        it.
      posterior: `(params, state, features) -> Distribution`.
      latent: `(params, state, posterior, key | None) -> z`; without a key, the mean. One that takes
        `train` by name is told whether the pass is one of training.
      prior: `(params, state) -> Distribution | None`; KL, bounds and sampling use nothing else. One
        that takes `encode` too is given the map of x `[n, *event]` to posteriors `[n, …]`.
      stats: `(state, posterior, z) -> Tree` of sums over examples: code counts, mean activation.
      update: `(state, sums, key) -> state`, with global sums, once per optimizer step.
      codes: the integers of a quantised latent; None: it has none.
      start: `(params, state, features [n, *feature_shape], key) -> (params, state)`, the same
        started at the features of a first batch; None: it has no use for them.
      node: what rebuilds it, or None.
    """

    latent_shape: Shape
    feature_shape: Shape
    init: Callable[..., tuple[Tree, Tree]]
    posterior: Callable[[Tree, Tree, Array], Distribution]
    latent: Callable[..., Array]
    prior: Callable[..., Any]
    stats: Callable[[Tree, Distribution, Array], Tree]
    update: Callable[[Tree, Tree, PRNGKey], Tree]
    codes: Codes | None = None
    start: Callable[[Tree, Tree, Array, PRNGKey], tuple[Tree, Tree]] | None = None
    node: Node | None = None


class Likelihood(NamedTuple):
    """p(x | z), of one example, from the decoder's output y.

    Attributes:
      parameter_shape: `event_shape -> shape` that the decoder must emit.
      init: `key -> params`, e.g. a learned global variance.
      log_prob: `(params, y, x, observed) -> scalar`, nats, summed over observed entries.
      mean: `(params, y) -> x`.
      mode: `(params, y) -> x`.
      sample: `(params, y, key) -> x`.
      validate: `host_array -> None`; raises DataError with the value and the range.
      score: `(params, y, x, observed) -> {name: (sum, count)}`, what evaluation reports of a
        reconstruction, as sums over entries; None: "mse", the squared error of the mean.
      view: `(x, observed) -> x`, what the networks read of x; None: x itself.
      given: `(y, x, observed) -> y`, the decoder's output for an example of which more is known
        than z tells, such as its library size; None: y itself.
      started: `means -> Likelihood`, the same one started at the means of the training data,
        `[*event]`; None: it has no use for them.
      discrete: whether `log_prob` is that of a mass and not of a density, or which columns' is:
        densities change with the data's units, masses do not.
      node: what rebuilds it, or None.
    """

    parameter_shape: Callable[[Shape], Shape]
    init: Callable[[PRNGKey], Tree]
    log_prob: Callable[[Tree, Array, Array, Array | None], Array]
    mean: Callable[[Tree, Array], Array]
    mode: Callable[[Tree, Array], Array]
    sample: Callable[[Tree, Array, PRNGKey], Array]
    validate: Callable[[np.ndarray], None]
    score: Callable[..., dict[str, tuple[Array, Array]]] | None = None
    view: Callable[[Array, Array | None], Array] | None = None
    given: Callable[[Array, Array, Array | None], Array] | None = None
    started: Callable[[np.ndarray], Any] | None = None
    discrete: bool | tuple[bool, ...] = False
    node: Node | None = None


class Critic(NamedTuple):
    """A further network of a model, which judges examples, codes, or both.

    Attributes:
      network: a Coder, or a Network that waits to be told the shape it must emit; None: chosen from
        the data.
      on: what it reads, "x" or "code"; of both, flattened and side by side in this order.
      outputs: the shape of its verdict on one example, e.g. `()` for one logit.
      node: what rebuilds it, or None.
    """

    network: Coder | Network | None
    on: tuple[str, ...] = ("x",)
    outputs: Shape = ()
    node: Node | None = None


class Told(NamedTuple):
    """What a decoder is told of one example beside z, each None where there is none.

    Attributes:
      target: the clean x, `[*event]`, which autoregressive decoders read; None: x is to be made up.
      observed: bool `[*event]`.
      extras: lengths, labels, conditions.
      info: what the corruption tells, such as the mask of a masked autoencoder.
      key: key of dropout.
      active: the places of the flattened z that may be other than 0, which spares a dense layer the
        others; of the z that it belongs to alone.
    """

    target: Array | None = None
    observed: Array | None = None
    extras: Mapping[str, Array] | None = None
    info: Mapping[str, Array] | None = None
    key: PRNGKey | None = None
    active: Array | None = None


# ---- the whole batch -----------------------------------------------------------------------------


class Outputs(NamedTuple):
    """What one forward pass gives; sampled quantities are always `[b, k, …]`, k = 1 included.

    Attributes:
      corrupted: what the encoder saw, `[b, *event]`.
      info: what the corruption tells (the mask of a masked autoencoder), each `[b, …]`.
      posterior: q(z | x), leaves `[b, …]`; None of a model without an encoder.
      z: `[b, k, *latent]`, of a model without an encoder drawn from the prior.
      parameters: the decoder's output, `[b, k, *parameter_shape]`.
      log_px: log p(x | z), `[b, k]`, nats; None without an encoder, or a likelihood with a density.
      log_qz: log q(z | x), `[b, k]`; None if deterministic.
      log_pz: log p(z), `[b, k]`; None if deterministic or without a prior.
      activations: the encoder's and decoder's named hidden layers; the encoder's `[b, …]` under
        their own names, the decoder's `[b, k, …]` under "decoder/NAME".
    """

    corrupted: Array
    info: Mapping[str, Array]
    posterior: Any
    z: Array
    parameters: Array
    log_px: Any
    log_qz: Array | None
    log_pz: Array | None
    activations: dict[str, Array]


def _identity(tree: Any, axis: int = 0) -> Any:
    del axis
    return tree


class Collectives(NamedTuple):
    """Reductions over devices; the identity on one device and in global view.

    Attributes:
      size: how many devices share the batch.
      sum: tree summed over devices.
      mean: tree averaged over devices.
      gather: tree of `[b, …]` to `[size · b, …]`.
      number: `() -> ` this device's number, below `size`.
      whole: tree of parameters, from where it is split over devices to whole on each; gradients
        through it are split again. To be called on what is about to be used.
      spread: `(tree, axis) -> tree` whose axis of examples is split over devices.
    """

    size: int = 1
    sum: Callable[[Any], Any] = _identity
    mean: Callable[[Any], Any] = _identity
    gather: Callable[[Any], Any] = _identity
    number: Callable[[], Any] = lambda: 0
    whole: Callable[[Any], Any] = _identity
    spread: Callable[..., Any] = _identity


ALONE = Collectives()
"""One device, or global view."""


class Context(NamedTuple):
    """What a term may need beyond `Outputs`.

    Attributes:
      model: the Autoencoder.
      variables: its Variables.
      batch: this device's share of the batch.
      keys: this device's ExampleKeys.
      step: the optimizer step, for schedules.
      num_train: the size of the training set.
      across: reductions over devices.
      train: whether the forward pass was one of training.
    """

    model: Any
    variables: Variables
    batch: Batch
    keys: keys_lib.ExampleKeys
    step: Array
    num_train: int
    across: Collectives = ALONE
    train: bool = False

    def share(self, per_example: Array) -> Array:
        """`size · Σ valid·ℓ / global Σ valid`: the mean over devices of this is the global mean.

        Args:
          per_example: `[b, …]`.

        Returns:
          `[…]`, this device's share, float32 or better.
        """
        dtype = jnp.promote_types(jnp.result_type(per_example), jnp.float32)
        per_example, valid = jnp.asarray(per_example, dtype), self.batch.valid
        if valid is None:
            return jnp.mean(per_example, axis=0)
        shape = valid.shape + (1,) * (per_example.ndim - 1)
        total = jnp.sum(jnp.where(valid.reshape(shape), per_example, 0), axis=0)
        count = self.across.sum(jnp.sum(valid, dtype=dtype))
        return self.across.size * total / jnp.maximum(count, 1)

    def decoding(self, fn: Callable[..., Any], outputs: Outputs, *per_example: Any) -> Any:
        """`fn(decode, *row)` of every example: the one way to decode again within a term.

        `decode(z, i)` gives the likelihood's parameters `[*parameter_shape]` for z as the forward
        pass found them for latent sample i: told the same target, mask, extras and places in use,
        with the same dropout, and with batch statistics taken as there. `decode(z)` is the decoder
        as a map, at any z: as in evaluation, told no places in use, since they are another's.

        Args:
          fn: function of one example; `decode` may be differentiated and mapped in it.
          outputs: outputs of the forward pass.
          *per_example: what else it takes, leaves `[b, …]`.

        Returns:
          What `fn` returns, stacked: leaves `[b, …]`.

        Example:
          >>> import ae_jax as ae, jax.numpy as jnp
          >>> @ae.term
          ... def smoothness(outputs, context):
          ...     def one(decode, z):
          ...         return jnp.mean((decode(z) - decode(z + 0.01)) ** 2)
          ...
          ...     return context.decoding(one, outputs, outputs.z[:, 0])
        """
        batch = self.batch
        active = getattr(outputs.posterior, "active", None)
        extras, info = dict(batch.extras), dict(outputs.info)
        told = Told(batch.x, batch.observed, extras, info, self.keys.dropout, active)

        def one(told, *row):
            def decode(z, sample=None):
                again = sample is not None
                key = fused_random.fold_in(told.key, (sample if again else 0) + 1)
                own = told._replace(key=key, active=told.active if again else None)
                train = self.train and again
                y, _, _ = self.model.decode_one(self.variables, z, own, train=train)
                return self.model.given(y, told.target, told.observed)

            return fn(decode, *row)

        return jax.vmap(one, axis_name=BATCH_AXIS)(told, *per_example)

    def critic(self, name: str, *inputs: Array, layer: str | None = None) -> Array:
        """What one of the model's critics makes of each row.

        Args:
          name: of the critic.
          *inputs: what it reads, each `[b, …]`: examples, codes, or both in the order of its `on`.
          layer: a hidden layer by name, in place of the verdict.

        Returns:
          `[b, *outputs]`, or the layer's values `[b, …]`.

        Raises:
          PartError: the model has no such critic, or the critic no such layer.

        Example:
          >>> import ae_jax as ae, jax.numpy as jnp
          >>> @ae.term
          ... def realism(outputs, context):
          ...     return -context.critic("critic", context.batch.x)
        """
        keys, extras = self.keys.dropout, dict(self.batch.extras)
        verdict, layers, _ = self.model.judge(
            self.variables, name, inputs, keys, extras, train=self.train
        )
        if layer is None:
            return verdict
        if layer not in layers:
            raise PartError(f"the critic '{name}' has no layer '{layer}'{nearest(layer, layers)}")
        return layers[layer]

    def judging(self, fn: Callable[..., Any], name: str, *per_example: Any) -> Any:
        """`fn(judge, *row)` of every example, `judge(*inputs)` a critic's verdict on one example.

        For what is to be differentiated by an input, such as a gradient penalty.

        Args:
          fn: of one example.
          name: of the critic.
          *per_example: what else `fn` takes, leaves `[b, …]`.

        Returns:
          What `fn` returns, stacked: leaves `[b, …]`.
        """

        def one(extras, key, *row):
            told = {"extras": extras, "key": key, "train": self.train}
            judge = lambda *inputs: self.model.judge_one(self.variables, name, inputs, **told)[0]
            return fn(judge, *row)

        rows = dict(self.batch.extras), self.keys.dropout, *per_example
        return jax.vmap(one, axis_name=BATCH_AXIS)(*rows)

    def mean(self, per_example: Array) -> Array:
        """The mean over all valid examples of the global batch, the same on every device."""
        return self.across.mean(self.share(per_example))

    def gather(self, per_example: Tree) -> Tree:
        """All examples of the global batch, `[b, …]` to `[size · b, …]`; `valid` included as is."""
        return self.across.gather(per_example)

    def all_valid(self) -> Array:
        """`valid` of the global batch, bool `[size · b]`, to go with `gather`."""
        valid = self.batch.valid
        if valid is None:
            valid = jnp.ones(jax.tree.leaves(self.batch.x)[0].shape[0], bool)
        return self.gather(valid)


class Player(NamedTuple):
    """One side of a game; a single player is the ordinary case.

    Attributes:
      params: the top-level names of the parameters it moves.
      objective: what it minimises.
      optimizer: an optax GradientTransformation.
      every: it moves once in so many steps.
      name: under which its optimizer state and metrics are stored.
      start: the step before which it does not move.
    """

    params: tuple[str, ...]
    objective: Any
    optimizer: Any
    every: int = 1
    name: str = "model"
    start: int = 0
