"""Posteriors and priors that have to be diagonal Gaussians."""

from ae_jax.distributions import DiagonalGaussian
from ae_jax.errors import PartError
from ae_jax.types import Context, Outputs


def gaussian(outputs: Outputs, name: str) -> DiagonalGaussian:
    """The posterior, which a term of this name needs as a diagonal Gaussian."""
    if not isinstance(outputs.posterior, DiagonalGaussian):
        raise PartError(
            f"the term '{name}' needs a diagonal-Gaussian posterior (ae.bottlenecks.gaussian), got "
            f"{type(outputs.posterior).__name__}"
        )
    return outputs.posterior


def gaussian_prior(context: Context, name: str) -> DiagonalGaussian:
    """The prior, which a term of this name needs as a diagonal Gaussian."""
    prior = context.model.prior(context.variables)
    if not isinstance(prior, DiagonalGaussian):
        raise PartError(
            f"the term '{name}' needs a prior that factorises over dimensions "
            f"(ae.priors.standard_normal), got {type(prior).__name__}"
        )
    return prior
