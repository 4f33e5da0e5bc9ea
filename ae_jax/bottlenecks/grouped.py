"""Several quantisers side by side, each of a part of the features."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks._lattice import SideBySide, together
from ae_jax.bottlenecks._shapes import latent_shape
from ae_jax.checks import require_positive_ints
from ae_jax.errors import ConfigError
from ae_jax.networks.adapters import accepted
from ae_jax.types import Bottleneck, Codes, Shape


@BOTTLENECKS.register
def grouped(
    latent_dim: int | tuple[int, ...], groups: int = 2, of: Any = "vector_quantized"
) -> Bottleneck:
    """Z of g groups along its last axis, each quantised alone: K^g codes from g codebooks of K.

    Product quantisation (Jégou et al. 2011, "Product quantization for nearest neighbor search").
    Each group has parameters and state of its own; the integers of a latent are those of the groups
    side by side on a last axis.

    Args:
      latent_dim: shape `(*positions, d)` of z, or d alone for one position.
      groups: number g of groups, a divisor of d.
      of: quantiser of a group, a name or config node without `latent_dim`, such as
        `{"name": "fsq", "levels": 5}`.

    Returns:
      A Bottleneck.

    Raises:
      ConfigError: d is not divisible by `groups`, or `of` is no quantiser or says its own size.

    Example:
      >>> import ae_jax as ae
      >>> bottleneck = ae.bottlenecks.grouped((4, 4, 8), 2, of={"name": "fsq", "levels": 4})
      >>> bottleneck.codes.shape, bottleneck.codes.size
      ((4, 4, 2), 256)
    """
    shape = latent_shape(latent_dim)
    require_positive_ints(groups=groups)
    if shape[-1] % groups:
        fitting = [n for n in range(1, shape[-1] + 1) if shape[-1] % n == 0]
        raise ConfigError(
            f"groups={groups} does not divide the {shape[-1]} dimensions of a code: take one of "
            f"{', '.join(map(str, fitting))}"
        )
    own = _quantiser(of, (*shape[:-1], shape[-1] // groups))
    names = [f"group_{i}" for i in range(groups)]

    def each(fn, *trees):
        """`fn` of every group's parts of the trees, which are by name or in order."""
        pick = lambda tree, i: tree.get(names[i], {}) if isinstance(tree, dict) else tree[i]
        return [fn(*(pick(tree, i) for tree in trees)) for i in range(groups)]

    def by_name(pairs):
        """Params and state by group, without what is empty."""
        whole = lambda trees: {
            name: tree for name, tree in zip(names, trees, strict=True) if jax.tree.leaves(tree)
        }
        params, state = zip(*pairs, strict=True)
        return whole(params), whole(state)

    def latent(params, state, posterior, key, train=False):
        how = accepted(own.latent, {"train": train})
        keys = [None] * groups if key is None else list(jax.random.split(key, groups))
        one = lambda *rows: own.latent(*rows, **how)
        return together(each(one, params, state, posterior.parts, keys))

    def pieces(x):
        return jnp.split(x, groups, axis=-1)

    def start(params, state, features, key):
        keys = list(jax.random.split(key, groups))
        assert own.start is not None
        return by_name(each(own.start, params, state, pieces(features), keys))

    def update(state, sums, key):
        new = each(own.update, state, sums, list(jax.random.split(key, groups)))
        return by_name([({}, tree) for tree in new])[1]

    def of_numbers(params, state, numbers):
        rows = [numbers[..., i] for i in range(groups)]
        return together(each(own.codes.latent, params, state, rows))  # pyright: ignore

    return Bottleneck(
        latent_shape=shape,
        feature_shape=(*shape[:-1], groups * own.feature_shape[-1]),
        init=lambda key: by_name([own.init(k) for k in jax.random.split(key, groups)]),
        posterior=lambda params, state, features: SideBySide(
            tuple(each(own.posterior, params, state, pieces(features)))
        ),
        latent=latent,
        prior=lambda params, state: SideBySide(tuple(each(own.prior, params, state))),
        stats=lambda state, posterior, z: dict(
            zip(names, each(own.stats, state, posterior.parts, pieces(z)), strict=True)
        ),
        update=update,
        codes=Codes((*own.codes.shape, groups), own.codes.size, of_numbers),  # pyright: ignore
        start=None if own.start is None else start,
    )


def _quantiser(of: Any, shape: Shape) -> Bottleneck:
    node = dict(of) if isinstance(of, Mapping) else {"name": of}
    if not isinstance(node.get("name"), str) or "latent_dim" in node:
        raise ConfigError(
            "of must be the name of a quantiser, or a node such as {'name': 'fsq', 'levels': 5}, "
            f"whose latent_dim follows from the groups, got {of!r:.200}"
        )
    own = BOTTLENECKS.build({**node, "latent_dim": shape})
    if own.codes is None:
        known = "vector_quantized, residual_quantized, fsq, lfq, bsq, sim_vq, ibq, gumbel_softmax"
        raise ConfigError(f"'{node['name']}' is no quantiser to be grouped; known: {known}")
    return own
