"""The workloads in plain JAX, by hand: nothing of ae_jax but the names of its weights.

Each is `loss(params, x, noise, sizes) -> (loss, code)`: x `[b, *event]` in the model's units, the
mean over the batch in nats.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax.types import Array
from peers.workloads import Sizes

IMAGES = ("NHWC", "HWIO", "NHWC")


def _dense(p: Any, x: Array) -> Array:
    return x @ p["kernel"] + p["bias"]


def _drawn(features: Array, noise: Array) -> tuple[Array, Array]:
    """z, and KL(q ‖ N(0, I)) of each example."""
    mean, log_var = jnp.split(features, 2, axis=-1)
    z = mean + jnp.exp(0.5 * log_var) * noise
    return z, -0.5 * jnp.sum(1 + log_var - mean**2 - jnp.exp(log_var), axis=-1)


def _cross_entropy(logits: Array, x: Array) -> Array:
    """−log Bernoulli(x; logits) of each example."""
    each = jnp.maximum(logits, 0) - logits * x + jnp.log1p(jnp.exp(-jnp.abs(logits)))
    return jnp.sum(each.reshape(len(x), -1), axis=-1)


def vae(params: Any, x: Array, noise: Array, sizes: Sizes) -> tuple[Array, Array]:
    """784-500-20 and back."""
    del sizes
    enc, dec = params["encoder"], params["decoder"]
    x = x.reshape(len(x), -1)
    h = jax.nn.relu(_dense(enc["dense_0"], x))
    z, kl = _drawn(_dense(enc["output"], h), noise)
    y = _dense(dec["output"], jax.nn.relu(_dense(dec["dense_0"], z)))
    return jnp.mean(_cross_entropy(y, x) + kl), z


def conv_vae(params: Any, x: Array, noise: Array, sizes: Sizes) -> tuple[Array, Array]:
    """Strided convolutions, XLA's own, and their transposes."""
    enc, dec, features = params["encoder"], params["decoder"], sizes.network["features"]
    h = x
    for i in range(len(features)):
        p = enc[f"conv_{i}"]
        h = jax.lax.conv_general_dilated(h, p["kernel"], (2, 2), "SAME", dimension_numbers=IMAGES)
        h = jax.nn.relu(h + p["bias"])
    positions = h.shape[1:3]
    z, kl = _drawn(_dense(enc["output"], h.reshape(len(x), -1)), noise)
    h = jax.nn.relu(_dense(dec["input"], z)).reshape(len(x), *positions, features[-1])
    for i in range(len(features)):
        p = dec[f"conv_{i}"]
        h = jax.lax.conv_transpose(h, p["kernel"], (2, 2), "SAME", dimension_numbers=IMAGES)
        h = h + p["bias"]
        h = jax.nn.relu(h) if i + 1 < len(features) else h
    return jnp.mean(_cross_entropy(h, x) + kl), z


def _normalised(p: Any, x: Array) -> Array:
    mean = jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.var(x, axis=-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-6) * p["scale"] + p["bias"]


def _stack(p: Any, x: Array, network: Mapping[str, Any]) -> Array:
    """Pre-norm blocks, one after the other, and a last normalisation: `[b, n, c]`."""
    for i in range(network["depth"]):
        block = jax.tree.map(lambda leaf, i=i: leaf[i], p["blocks"])
        h = _dense(block["attention"]["qkv"], _normalised(block["norm_0"], x))
        split = (*h.shape[:2], 3, network["heads"], -1)
        query, key, value = jnp.unstack(h.reshape(split), axis=2)
        h = jax.nn.dot_product_attention(query, key, value).reshape(x.shape)
        x = x + _dense(block["attention"]["out"], h)
        h = jax.nn.gelu(_dense(block["expand"], _normalised(block["norm_1"], x)))
        x = x + _dense(block["contract"], h)
    return _normalised(p["norm"], x)


def transformer(params: Any, x: Array, noise: Array, sizes: Sizes) -> tuple[Array, Array]:
    """Tokens to one code and back, every position at once."""
    enc, dec, tokens = params["encoder"], params["decoder"], x.astype(jnp.int32)
    h = enc["embedding"]["entries"]["embedding"][tokens] + enc["positions"]
    h = jnp.mean(_stack(enc["stack"], h, sizes.network), axis=1)
    z, kl = _drawn(_dense(enc["output"], h), noise)
    h = _dense(dec["input"], z).reshape(*tokens.shape, -1) + dec["positions"]
    logits = _dense(dec["core"]["output"], _stack(dec["core"]["stack"], h, sizes.network))
    right = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    nll = jnp.sum(jax.nn.logsumexp(logits, axis=-1) - right, axis=-1)
    return jnp.mean(nll + kl), z


def topk(params: Any, x: Array, noise: Array, sizes: Sizes) -> tuple[Array, Array]:
    """The k largest units of each example, decoded by a dense product."""
    del noise
    units = jax.nn.relu(_dense(params["encoder"]["output"], x))
    values, index = jax.lax.top_k(units, sizes.network["k"])
    rows = jnp.arange(len(x))[:, None]
    z = jnp.zeros_like(units).at[rows, index].set(values)
    y = _dense(params["decoder"]["output"], z)
    constant = 0.5 * x.shape[-1] * math.log(2 * math.pi)
    return jnp.mean(0.5 * jnp.sum((x - y) ** 2, axis=-1)) + constant, z


LOSSES = {loss.__name__: loss for loss in (vae, conv_vae, transformer, topk)}
