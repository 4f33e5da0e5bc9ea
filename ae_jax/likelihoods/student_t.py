"""Student's t observations, whose tails bear outliers, with any scale and degrees of freedom."""

import math
import numbers

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax._registry import LIKELIHOODS
from ae_jax.errors import ConfigError, nearest
from ae_jax.likelihoods._checks import anything
from ae_jax.likelihoods._location_scale import scale_of
from ae_jax.losses._precision import at_least_float32
from ae_jax.types import Likelihood

FEWEST = 3.0
"""Degrees of freedom that learned ones stay above, so that mean, variance and skewness exist."""
LEARNED = ("global", "predicted")


@LIKELIHOODS.register
def student_t(
    variance: str = "predicted",
    scale: float = 1.0,
    degrees: float | str = "predicted",
    least: float | None = None,
) -> Likelihood:
    """Log p(x | z) = Σ log St(x; μ, σ, ν): a location, a scale and degrees of freedom an entry.

    An outlier costs about ν + 1 times the logarithm of its distance, where a Gaussian's cost grows
    with its square. With all three predicted it is the observation model of MIWAE (Mattei &
    Frellsen 2019, "MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets"), whose
    σ stays above 0.001 of a standardised column: least=1e-3. μ is mean, median and mode; the
    variance is σ² ν / (ν - 2).

    Args:
      variance: "fixed" (σ = scale), "global" or "predicted", as for `gaussian`.
      scale: the scale σ, in the data's units, fixed or started from.
      degrees: ν: a number above 1, that of every entry; "global" (one learned ν = 3 +
        softplus(degrees), with degrees the parameter, started at 0) or "predicted" (the decoder
        emits raw numbers r behind all else on the last axis, ν = 3 + softplus(r)).
      least: what a learned σ stays above, as for `gaussian`; None: no such bound.

    Returns:
      A Likelihood; the decoder emits the event's shape, its last axis once more for each of the
      two that is "predicted": μ, the raw 2 log σ, the raw ν.

    Raises:
      ConfigError: an unknown variance or kind of degrees, a scale that is not above zero, degrees
        not above 1, where there is no mean, or a least that is not between zero and scale or whose
        variance is fixed.

    Example:
      >>> import ae_jax as ae
      >>> ae.likelihoods.student_t(least=1e-3).parameter_shape((30,))
      (90,)
    """
    _check_degrees(degrees)
    init_scale, split_scale, width = scale_of(variance, scale, least)
    predicted = degrees == "predicted"
    total = width + predicted

    def init(key):
        return init_scale(key) | ({"degrees": jnp.zeros(())} if degrees == "global" else {})

    def split(params, y):
        """μ, log σ and log ν, each of the event's shape."""
        (y,) = at_least_float32(y)
        size = y.shape[-1] // total
        location, log_square = split_scale(params, y[..., : width * size])
        if predicted:
            nu = FEWEST + jax.nn.softplus(y[..., width * size :])
        elif degrees == "global":
            nu = FEWEST + jax.nn.softplus(params["degrees"])
        else:
            nu = float(degrees)
        log_nu = jnp.broadcast_to(jnp.log(jnp.asarray(nu)), location.shape).astype(location.dtype)
        return location, 0.5 * log_square, log_nu

    def sample(params, y, key):
        location, log_scale, log_nu = split(params, y)
        noise = jax.random.t(key, jnp.exp(log_nu), location.shape, location.dtype)
        return location + jnp.exp(log_scale) * noise

    return Likelihood(
        parameter_shape=lambda event: (*event[:-1], total * event[-1]) if total > 1 else event,
        init=init,
        log_prob=lambda params, y, x, observed: (
            -losses.student_t_nll(x, *split(params, y), observed)
        ),
        mean=lambda params, y: split(params, y)[0],
        mode=lambda params, y: split(params, y)[0],
        sample=sample,
        validate=anything,
    )


def _check_degrees(degrees: float | str) -> None:
    if isinstance(degrees, str):
        if degrees not in LEARNED:
            raise ConfigError(f"degrees cannot be {degrees!r}{nearest(degrees, LEARNED)}")
        return
    number = isinstance(degrees, numbers.Real) and not isinstance(degrees, bool)
    if not number or not 1 < degrees < math.inf:
        raise ConfigError(
            f"degrees must be a number above 1, where the mean exists, or one of "
            f"{', '.join(map(repr, LEARNED))}, got {degrees!r}"
        )
