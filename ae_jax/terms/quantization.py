"""What draws features and codes together, and what spreads codes over their codebook."""

from typing import Any

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.errors import ConfigError, PartError, require_positive_ints
from ae_jax.terms._registered import part, registered
from ae_jax.types import Array, Context, Outputs

LEARNED = ("codebook", "basis")
"""Parameters that make up a codebook."""
MOST_BITS = 9  # 512 codes held together


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
    """Σ H(q(c | x)) over positions: how undecided the soft assignment of signs is (Yu et al. 2024).

    Of `ae.bottlenecks.lfq` and `bsq`, in closed form, since their bits are independent given x.

    Returns:
      `[b]`, nats.
    """
    del context
    return jax.vmap(losses.bit_entropy)(_logits(outputs, "code_entropy"))


def _check_group(group: int | None) -> None:
    if group is not None:
        require_positive_ints(group=group)


@registered(batch_coupled=True, check=_check_group)
def code_usage(outputs: Outputs, context: Context, group: int | None = None) -> Array:
    """Positions · KL(q̄(c) ‖ uniform), q̄ the mean of q(c | x) over the global batch and positions.

    Of `ae.bottlenecks.lfq` and `bsq`. It is positions · (log K − H(q̄)): with `code_entropy` the
    entropy loss of Yu et al. 2024 but for a constant. The 2^d codes of d bits are too many to hold
    for large d: the d / `group` groups of bits are then taken for independent, as in Zhao et al.
    2024, which bounds the divergence from below.

    Args:
      outputs: of the forward pass.
      context: of the batch.
      group: how many bits are taken together, a divisor of d; None: the largest up to 9.

    Returns:
      Scalar, nats.
    """
    logits = _logits(outputs, "code_usage")
    bits = logits.shape[-1]
    divisors = [n for n in range(1, bits + 1) if bits % n == 0]
    if group is None:
        group = max(n for n in divisors if n <= MOST_BITS)
    if group not in divisors:
        raise ConfigError(
            f"code_usage: group={group} does not divide the {bits} bits of a code: take one of "
            f"{', '.join(map(str, divisors))}"
        )
    rows = logits.reshape(len(logits), -1, bits // group, group)
    mean = context.mean(jnp.mean(losses.code_probabilities(rows), axis=1))
    return rows.shape[1] * losses.usage_deficit(mean)


def _logits(outputs: Outputs, name: str) -> Array:
    if not hasattr(outputs.posterior, "logits") or not hasattr(outputs.posterior, "codes"):
        raise PartError(
            f"the term '{name}' needs the bits of ae.bottlenecks.lfq or bsq, got a posterior of "
            f"type {type(outputs.posterior).__name__}"
        )
    return outputs.posterior.logits  # pyright: ignore[reportAttributeAccessIssue]


def _quantized(outputs: Outputs, name: str) -> Any:
    if not hasattr(outputs.posterior, "features") or not hasattr(outputs.posterior, "codes"):
        raise PartError(
            f"the term '{name}' needs the codes of a quantiser such as "
            "ae.bottlenecks.vector_quantized, got a posterior of type "
            f"{type(outputs.posterior).__name__}"
        )
    return outputs.posterior
