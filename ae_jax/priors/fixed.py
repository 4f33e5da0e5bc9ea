"""Priors of which nothing is learned."""

import jax.numpy as jnp

from ae_jax import distributions
from ae_jax._registry import PRIORS
from ae_jax.checks import require_positive
from ae_jax.distributions.wrapped_normal import require_room
from ae_jax.errors import ConfigError
from ae_jax.losses.power_spherical import log_sphere_area
from ae_jax.types import Prior, Shape

SPHERES = "unit spheres"


def ball(curvature: float) -> str:
    """The support of distributions on the Poincaré ball of this curvature.

    Raises:
      ConfigError: the curvature is not above 0.
    """
    if isinstance(curvature, bool) or not isinstance(curvature, int | float) or not curvature > 0:
        raise ConfigError(
            f"curvature must be above 0, got {curvature!r}: the ball of curvature -c has the "
            "radius 1/√c; flat space is ae.bottlenecks.gaussian"
        )
    return f"the ball of curvature -{float(curvature):g}"


def _fixed(distribution, support: str = "vectors") -> Prior:
    return Prior(
        init=lambda key, latent_shape: {},
        apply=lambda params, latent_shape: distribution(latent_shape),
        support=support,
    )


@PRIORS.register
def standard_normal() -> Prior:
    """N(0, I) over the latent; nothing is learned (Kingma & Welling 2014).

    Returns:
      A Prior without parameters.

    Example:
      >>> import ae_jax as ae
      >>> prior = ae.priors.standard_normal()
      >>> prior.apply({}, (2,)).mean.tolist()
      [0.0, 0.0]
    """
    return _fixed(distributions.standard_normal)


@PRIORS.register
def laplace() -> Prior:
    """Laplace(0, 1) in every entry: sparser codes than the normal's.

    Returns:
      A Prior without parameters.

    Example:
      >>> import ae_jax as ae
      >>> prior = ae.priors.laplace()
      >>> prior.apply({}, (2,)).mean.tolist()
      [0.0, 0.0]
    """
    return _fixed(lambda shape: distributions.Laplace(jnp.zeros(shape), jnp.zeros(shape)))


@PRIORS.register
def student_t(degrees: float = 5.0) -> Prior:
    """Student's t in every entry, whose tails let codes lie far out.

    Args:
      degrees: degrees of freedom, ν.

    Returns:
      A Prior without parameters.

    Example:
      >>> import ae_jax as ae
      >>> prior = ae.priors.student_t(degrees=3.0)
      >>> prior.apply({}, (2,)).mean.tolist()
      [0.0, 0.0]
    """
    require_positive(degrees=degrees)
    zeros = jnp.zeros
    return _fixed(lambda shape: distributions.StudentT(zeros(shape), zeros(shape), float(degrees)))


@PRIORS.register
def uniform_sphere() -> Prior:
    """The uniform distribution on unit spheres (De Cao & Aziz 2020), for `hyperspherical` codes.

    Returns:
      A Prior without parameters.

    Example:
      >>> import ae_jax as ae
      >>> ae.priors.uniform_sphere().support
      'unit spheres'
    """

    def uniform(shape: Shape) -> distributions.UniformSphere:
        log_sphere_area(shape[-1])  # which there is from 2 dimensions on
        return distributions.UniformSphere(shape)

    return _fixed(uniform, SPHERES)


@PRIORS.register
def wrapped_normal(curvature: float = 1.0) -> Prior:
    """The wrapped standard normal at the origin of the Poincaré ball (Mathieu et al. 2019).

    Args:
      curvature: c > 0 of the ball of curvature -c, whose radius is 1/√c.

    Returns:
      A Prior without parameters.

    Example:
      >>> import ae_jax as ae
      >>> ae.priors.wrapped_normal(curvature=0.5).support
      'the ball of curvature -0.5'
    """
    support, zeros = ball(curvature), jnp.zeros

    def wrapped(shape: Shape) -> distributions.WrappedNormal:
        require_room(shape[0], curvature)
        return distributions.WrappedNormal(zeros(shape), zeros(shape), float(curvature))

    return _fixed(wrapped, support)
