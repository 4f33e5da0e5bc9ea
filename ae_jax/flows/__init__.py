"""Flows: invertible maps with their log-determinants, for posteriors and for priors."""

from ae_jax.flows.affine import inverse_autoregressive, masked_autoregressive, realnvp
from ae_jax.flows.chain import chain, inverted, reverse
from ae_jax.flows.planar import planar
from ae_jax.flows.spline import rational_quadratic_spline

__all__ = [
    "chain",
    "inverse_autoregressive",
    "inverted",
    "masked_autoregressive",
    "planar",
    "rational_quadratic_spline",
    "realnvp",
    "reverse",
]
