"""The parts of an autoencoder, written for one example, and what a model has learned."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ae_jax.types.arrays import Array, PRNGKey, Shape, Tree


class Node(NamedTuple):
    """What rebuilds a part: the name its registry knows and its arguments, hashable.

    One without a name stands for a mapping among the arguments of another.
    """

    name: str
    kwargs: tuple[tuple[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The config form, `{"name": …, argument: value, …}`, with nested nodes as dicts."""
        named = {"name": self.name} if self.name else {}
        return named | {key: _thaw(value) for key, value in self.kwargs}


def _thaw(value: Any) -> Any:
    if isinstance(value, Node):
        return value.to_dict()
    return tuple(map(_thaw, value)) if isinstance(value, tuple) else value


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


class Draw(NamedTuple):
    """One latent sample and what came with it.

    Attributes:
      z: `[*latent]`.
      log_q: log q(z | x), scalar nats; None if deterministic.
      level_kl: of a hierarchy, each level's KL(q ‖ p) given the levels above, `[levels]`, nats.
      shown: what the decoder is given of z, where that is known already; see `Bottleneck.shown`.
    """

    z: Array
    log_q: Array | None
    level_kl: Array | None = None
    shown: Array | None = None


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
      shown: `(params, state, z) -> what decoders are given`; None: z itself. Of a hierarchy, what
        its own network makes of all levels.
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
    shown: Callable[[Tree, Tree, Array], Array] | None = None
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
      decay: of a teacher, whose network is the encoder's and whose parameters, in the state, are a
        moving average of the encoder's; None: a player moves its parameters.
      node: what rebuilds it, or None.
    """

    network: Coder | Network | None
    on: tuple[str, ...] = ("x",)
    outputs: Shape = ()
    decay: float | None = None
    node: Node | None = None
