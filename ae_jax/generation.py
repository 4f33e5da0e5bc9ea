"""Drawing what depends on its own past: x_t from p(x_t | x_<t, z), position after position."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax.errors import ShapeError
from ae_jax.model import Autoencoder
from ae_jax.types import BATCH_AXIS, ENTRIES, Array, Batch, PRNGKey, Shape, Told, Variables


def ancestral(
    apply: Callable[..., tuple[Array, dict[str, Array]]],
    sample: Callable[[Array, PRNGKey], Array],
    key: PRNGKey,
    shape: Shape,
) -> Array:
    """One draw of x from Π p(x_t | x_<t), whatever network tells the factors.

    A network that takes `draw` makes x up in one pass over its positions, each given those drawn
    before it. Of one that only reads a `target`, x = sample(y(x)) is solved with the noise held
    fixed: its only solution is the ancestral sample, which is right up to position t after t passes
    and often much earlier (Song et al. 2021, "Accelerating feedforward computation via parallel
    nonlinear equation solving"), whatever the order of the positions. Of one that reads neither,
    all positions are independent and drawn at once.

    Args:
      apply: `(*, draw=None, target=None) -> (y, activations)`, the parameters of every position.
      sample: `(y, key) -> x`, of all positions, or of any one with a leading axis of 1.
      key: a typed key; the same gives the same x on any number of devices.
      shape: shape of x.

    Returns:
      x, `[*shape]`, float32 unless `sample` draws another type.

    Raises:
      ShapeError: a likelihood that cannot draw one position alone.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> def one_more_than_before(target=jnp.zeros(4), draw=None):
      ...     return jnp.roll(target, 1).at[0].set(4.0) + 1, {}
      >>> ancestral(one_more_than_before, lambda y, key: y, jax.random.key(0), (4,)).tolist()
      [5.0, 6.0, 7.0, 8.0]
    """
    start = jnp.zeros(shape)
    if reads(lambda target: apply(target=target)[0], start):

        def draw(y: Array, position: Array) -> Array:
            entry = sample(y[None], jax.random.fold_in(key, position))
            if jnp.shape(entry) != (1, *shape[1:]):
                raise ShapeError(
                    f"to draw position by position, the likelihood must give {(1, *shape[1:])} "
                    f"for the parameters of one, got {jnp.shape(entry)}"
                )
            return entry[0]

        _, made_up = apply(draw=draw)
        if ENTRIES in made_up:
            return made_up[ENTRIES].astype(start.dtype)
        return _solved(apply, sample, key, start)
    return sample(apply()[0], key)


def _solved(apply: Any, sample: Any, key: PRNGKey, start: Array) -> Array:
    def again(state):
        x, _, passes = state
        new = sample(apply(target=x)[0], key)
        return new, jnp.any(new != x), passes + 1

    going = lambda state: state[1] & (state[2] <= start.size)
    first = jax.tree.map(jnp.asarray, (start, True, 0))
    return jax.lax.while_loop(going, again, first)[0]


def reads(fn: Callable[[Any], Any], value: Any) -> bool:
    """Whether the result of a function depends on its argument, by tracing it.

    Example:
      >>> reads(lambda x: x + 1, 0.0), reads(lambda x: 0 * jnp.ones(3), 0.0)
      (True, False)
    """
    jaxpr = jax.make_jaxpr(fn)(value).jaxpr
    live = set(map(id, jaxpr.outvars))
    for equation in reversed(jaxpr.eqns):
        if any(id(variable) in live for variable in equation.outvars):
            live |= set(map(id, equation.invars))
    return not live.isdisjoint(map(id, jaxpr.invars))


def observation(
    model: Autoencoder,
    variables: Variables,
    z: Array,
    key: PRNGKey,
    shape: Shape,
    extras: dict[str, Array] | None = None,
) -> Array:
    """One x from p(x | z): drawn position by position where the decoder reads its past.

    Args:
      model: the Autoencoder.
      variables: the decoder's and likelihood's suffice.
      z: `[*latent]`.
      key: a typed key.
      shape: shape of x.
      extras: extras of the example.

    Returns:
      x, `[*shape]`, in the model's units.
    """
    params = jax.tree.map(jnp.asarray, variables.params.get("likelihood", {}))

    def apply(draw=None, target=None):
        told = Told(target, extras=extras)
        draw = draw if model.likelihood.view is None else None  # it would read what is to be seen
        return model.decode_one(variables, z, told, draw=draw)[:2]

    return ancestral(apply, lambda y, k: model.likelihood.sample(params, y, k), key, shape)


def is_autoregressive(model: Autoencoder, variables: Variables, shape: Shape, extras: Any) -> bool:
    """Whether the decoder reads the entries of x, of that shape, that come before each."""
    z = jnp.zeros((1, *model.bottleneck.latent_shape))
    one = lambda x, z: model.decode_one(variables, z, Told(x, extras=extras))[0]
    decoded = lambda x: jax.vmap(one, axis_name=BATCH_AXIS)(x, z)
    return reads(decoded, jnp.zeros((1, *shape)))


def reads_info(model: Autoencoder, variables: Variables, batch: Batch, info: Any) -> bool:
    """Whether encoder or decoder reads what the corruption of a batch tells, such as a mask."""
    extras, z = dict(batch.extras), jnp.zeros((len(batch.x), *model.bottleneck.latent_shape))
    encoded = lambda told: model.posterior(variables, batch.x, batch.observed, extras, told)
    decoded = lambda told: model.decode_parameters(variables, z, extras, told)
    return reads(encoded, info) or reads(decoded, info)


def ended(x: Array, terminator: int | None) -> Array:
    """Sequences `[…, T]` with padding, 0, behind the first terminator of each; None: as they are.

    Example:
      >>> ended(jnp.array([[7, 1, 7, 1], [7, 7, 7, 7]]), 1).tolist()
      [[7, 1, 0, 0], [7, 7, 7, 7]]
    """
    if terminator is None:
        return x
    ends = jnp.round(x) == terminator
    behind = jnp.cumsum(ends, axis=-1) > ends
    return jnp.where(behind, 0, x)
