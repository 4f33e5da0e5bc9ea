"""Posteriors on the Poincaré ball."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax import losses, priors
from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks._prior import vector_shape, with_density
from ae_jax.distributions import WrappedNormal
from ae_jax.distributions.wrapped_normal import from_origin, require_room
from ae_jax.losses._precision import at_least_float32
from ae_jax.priors.fixed import ball
from ae_jax.types import Bottleneck

WIDEST = 2.0
"""The deviation that a posterior's stays below, in radii of the ball's curvature."""


@BOTTLENECKS.register
def poincare(latent_dim: int, curvature: float = 1.0, prior: Any = None) -> Bottleneck:
    """q(z | x) a wrapped normal on the ball of curvature -c, for hierarchies (Mathieu et al. 2019).

    The encoder emits a tangent at the origin, which is led to μ, and the raw log σ². Codes are the
    ball's points, vectors shorter than 1/√c; the decoder reads them as they are. KL is by Monte
    Carlo. Distances from the origin reach to 12/√c in float32.

    Args:
      latent_dim: d; the encoder must emit 2 d numbers.
      curvature: c > 0.
      prior: a Prior on the same ball or its config node; None: the wrapped standard normal at the
        origin.

    Example:
      >>> import ae_jax as ae
      >>> ae.bottlenecks.poincare(2, curvature=0.5).feature_shape
      (4,)
    """
    shape, support = vector_shape("the Poincaré ball", latent_dim), ball(curvature)
    require_room(shape[0], curvature)
    prior = priors.wrapped_normal(float(curvature)) if prior is None else prior
    widest = math.log(WIDEST / math.sqrt(curvature))

    def posterior(features):
        tangent, raw = jnp.split(at_least_float32(features)[0], 2)
        log_scale = widest - jax.nn.softplus(widest - 0.5 * losses.bounded_log_var(raw))
        return WrappedNormal(from_origin(tangent, curvature), log_scale, float(curvature))

    return with_density(shape, (2 * shape[0],), posterior, prior, support)
