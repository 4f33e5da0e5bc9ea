"""What draws features and codes together, and what spreads codes over their codebook."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.checks import require_positive_ints
from ae_jax.errors import ConfigError, PartError
from ae_jax.terms._registered import part, registered
from ae_jax.types import Array, Context, Outputs

LEARNED = ("codebook", "basis")
"""Parameters that make up a codebook."""
MOST_BITS = 14  # 16,384 codes, a number for each of which is held for every example


@registered(units="squared code units")
def commitment(outputs: Outputs, context: Context) -> Array:
    """‖z_e - sg[e]‖² over all positions, to the features alone (van den Oord et al. 2017).

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.

    Returns:
      `[b]`, squared code units.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.reconstruction() + 0.25 * ae.terms.commitment()
      Objective(1.0 · reconstruction + 0.25 · commitment)
    """
    del context
    posterior = _quantized(outputs, "commitment")
    return jax.vmap(losses.commitment)(posterior.features, posterior.codes)


@registered(units="squared code units")
def codebook(outputs: Outputs, context: Context) -> Array:
    """‖sg[z_e] - e‖² over all positions, to the codebook alone (van den Oord et al. 2017).

    For a codebook that is a parameter: `ae.bottlenecks.vector_quantized(…, decay=None)`, `sim_vq`,
    `ibq`.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.

    Returns:
      `[b]`, squared code units.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.commitment() + ae.terms.codebook()
      Objective(1.0 · commitment + 1.0 · codebook)
    """
    posterior = _quantized(outputs, "codebook")
    learned = [
        key for key, _ in jax.tree_util.tree_leaves_with_path(part(context, "bottleneck")[0])
    ]
    if not any(str(getattr(path[-1], "key", "")) in LEARNED for path in learned):
        raise PartError(
            "the term 'codebook' moves a codebook that is a parameter, and this one follows moving "
            "averages or is fixed: leave the term out, or use "
            "ae.bottlenecks.vector_quantized(decay=None)"
        )
    return jax.vmap(losses.codebook)(posterior.features, posterior.codes)


@registered()
def code_entropy(outputs: Outputs, context: Context) -> Array:
    """Σ H(q(c | x)) over positions: how undecided the soft assignment to codes is (Yu et al. 2024).

    Of `ae.bottlenecks.lfq` and `bsq` in closed form, since their bits are independent given x; of
    `ibq` and `gumbel_softmax` over all codes.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.

    Returns:
      `[b]`, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.reconstruction() + 0.1 * (ae.terms.code_entropy() + ae.terms.code_usage())
      Objective(1.0 · reconstruction + 0.1 · code_entropy + 0.1 · code_usage)
    """
    del context

    def one(bits, codes):
        if bits is not None:
            return jax.vmap(losses.bit_entropy)(bits)
        log_q = jax.nn.log_softmax(codes, axis=-1)
        return -jnp.sum(jnp.exp(log_q) * log_q, axis=range(1, log_q.ndim))

    return functools.reduce(jnp.add, [one(*part) for part in _soft(outputs, "code_entropy")])


def _check_group(group: int | None) -> None:
    if group is not None:
        require_positive_ints(group=group)


@registered(batch_coupled=True, check=_check_group)
def code_usage(outputs: Outputs, context: Context, group: int | None = None) -> Array:
    """Positions · KL(q̄(c) ‖ uniform), q̄ the mean of q(c | x) over the global batch and positions.

    Of the quantisers of `code_entropy`. It is positions · (log K − H(q̄)): with `code_entropy` the
    entropy loss of Yu et al. 2024 but for a constant. The 2^d codes of d bits are too many to hold
    for large d: the d / `group` groups of bits are then taken for independent, as in Zhao et al.
    2024, which bounds the divergence from below, and does not see that two groups say the same.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      group: number of bits taken together, a divisor of d; None: the largest up to 14. Without
        effect on codes that are not of bits.

    Returns:
      Scalar, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.code_usage(group=6)
      Objective(1.0 · code_usage)
    """

    def one(bits, codes):
        if bits is not None:
            width = _width(bits.shape[-1], group)
            rows = bits.reshape(len(bits), -1, bits.shape[-1] // width, width)
            of_groups = jax.vmap(losses.mean_code_probabilities, in_axes=1)
            positions, q = rows.shape[1], jax.vmap(of_groups)(rows)
        else:
            rows = codes.reshape(len(codes), -1, codes.shape[-1])
            positions, q = rows.shape[1], jnp.mean(jax.nn.softmax(rows, axis=-1), axis=1)
        return positions * losses.usage_deficit(context.mean(q))

    return functools.reduce(jnp.add, [one(*part) for part in _soft(outputs, "code_usage")])


def _width(bits: int, group: int | None) -> int:
    divisors = [n for n in range(1, bits + 1) if bits % n == 0]
    if group is None:
        return max(n for n in divisors if n <= MOST_BITS)
    if group not in divisors:
        raise ConfigError(
            f"code_usage: group={group} does not divide the {bits} bits of a code: take one of "
            f"{', '.join(map(str, divisors))}"
        )
    return group


def _soft(outputs: Outputs, name: str) -> list[tuple[Any, Any]]:
    """The logits of bits, or else those of codes, of every group of the code."""
    parts = getattr(outputs.posterior, "parts", (outputs.posterior,))
    kinds = ("bit_logits", "code_logits")
    values = [tuple(getattr(part, kind, None) for kind in kinds) for part in parts]
    if (None, None) in values:
        raise PartError(
            f"the term '{name}' needs the soft assignment of ae.bottlenecks.lfq, bsq, ibq or "
            f"gumbel_softmax, got a posterior of type {type(outputs.posterior).__name__}"
        )
    return values  # pyright: ignore[reportReturnType]


def _quantized(outputs: Outputs, name: str) -> Any:
    if not hasattr(outputs.posterior, "features") or not hasattr(outputs.posterior, "codes"):
        raise PartError(
            f"the term '{name}' needs the codes of a quantiser such as "
            "ae.bottlenecks.vector_quantized, got a posterior of type "
            f"{type(outputs.posterior).__name__}"
        )
    return outputs.posterior
