"""What the likelihoods of counts share: their scale, what networks read of them, library sizes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import losses
from ae_jax.checks import require_positive
from ae_jax.errors import ConfigError, ShapeError, nearest
from ae_jax.likelihoods._checks import require_whole
from ae_jax.losses._precision import at_least_float32
from ae_jax.types import Array, Likelihood, PRNGKey, Shape

LOG_MEAN_BOUND = 30.0
LARGE_RATE = 2.0**18


VIEWS = ("identity", "log1p")


class Counts(NamedTuple):
    """The options of a likelihood of counts, checked.

    Attributes:
      name: name of the likelihood.
      mean: the counts of which a decoder's 0 is the log-mean: one number, or one a feature.
      numbers: how many the decoder emits for a count; the raw log-means come first.
    """

    name: str
    mean: Any
    numbers: int

    def parameter_shape(self, event_shape: Shape) -> Shape:
        """The event's shape, its last axis times `numbers`."""
        if isinstance(self.mean, tuple) and event_shape[-1] != len(self.mean):
            raise ShapeError(
                f"the {self.name} likelihood has the means of {len(self.mean)} features, which "
                f"events of shape {tuple(event_shape)} do not end in"
            )
        return (*event_shape[:-1], self.numbers * event_shape[-1])

    def split(self, y: Array) -> tuple[Array, ...]:
        """The log-means, kept smoothly within ±30, and what else y holds, as it is."""
        raw, *others = jnp.split(at_least_float32(y)[0], self.numbers, axis=-1)
        if self.mean is not None:
            raw = raw + jnp.asarray(np.log(self.mean), raw.dtype)
        return bounded_log_mean(raw), *others

    def log1p(self, x: Array, observed: Array | None) -> Array:
        """Log(1 + x) less that of the mean; 0 where not observed; -log(1 - x) of noise below 0."""
        (x,) = at_least_float32(x)
        below = x < 0
        size = jnp.log1p(jnp.where(below, -x, x))
        shown = jnp.where(below, -size, size)
        if self.mean is not None:
            shown = shown - jnp.asarray(np.log1p(self.mean), x.dtype)
        return shown if observed is None else jnp.where(observed, shown, 0)

    def given(self, y: Array, x: Array, observed: Array | None) -> Array:
        """The decoder's output with log s added to the log-means, s = Σ x / Σ mean, observed."""
        if x.size < 2:
            raise ConfigError(
                f"library=True of the {self.name} likelihood needs several counts an example, got "
                f"events of shape {x.shape}: one count would explain itself"
            )
        (x,) = at_least_float32(x)
        expected = jnp.broadcast_to(jnp.asarray(1.0 if self.mean is None else self.mean), x.shape)
        total = lambda v: jnp.sum(v if observed is None else jnp.where(observed, v, 0))
        # An example without a count is taken for one of a single count.
        shift = jnp.log(jnp.maximum(total(x), 1)) - jnp.log(jnp.maximum(total(expected), 1e-30))
        raw, *others = jnp.split(at_least_float32(y)[0], self.numbers, axis=-1)
        return jnp.concatenate([raw + shift, *others], axis=-1)


def of_counts(
    factory: Callable[..., Likelihood],
    numbers: int,
    options: tuple[Any, str, bool],
    functions: Callable[[Counts], dict[str, Any]],
) -> Likelihood:
    """A likelihood of counts.

    Args:
      factory: factory of the likelihood, a function of these options by name; its name is the
        likelihood's.
      numbers: how many the decoder emits for a count, the raw log-mean first.
      options: mean, view and library.
      functions: from the checked options to log_prob, mean, mode and sample.

    Returns:
      A Likelihood.

    Raises:
      ConfigError: a mean that is not above zero, an unknown view, a library that is no truth value.
    """
    mean, view, library = options
    name = factory.__name__
    if view not in VIEWS:
        raise ConfigError(f"view cannot be {view!r}{nearest(view, VIEWS)}")
    if not isinstance(library, bool):
        raise ConfigError(f"library must be True or False, got {library!r}")
    if isinstance(mean, list) and mean:
        mean = tuple(mean)
    stated: Any = mean if isinstance(mean, tuple) else (mean,)
    for value in stated if mean is not None else ():
        require_positive(mean=value)
    counts = Counts(name, mean, numbers)

    def started(means: np.ndarray) -> Likelihood:
        return factory(mean=_stated(means), view=view, library=library)

    return Likelihood(
        parameter_shape=counts.parameter_shape,
        init=lambda key: {},
        validate=lambda x: validate_counts(name, x),
        view=counts.log1p if view == "log1p" else None,
        given=counts.given if library else None,
        started=started if mean is None else None,
        discrete=True,
        **functions(counts),
    )


def _stated(means: np.ndarray) -> float | list[float]:
    """Means to four digits, which is enough to start from: one a feature of a vector, else one."""
    rounded = lambda value: float(f"{value:.4g}")
    if np.ndim(means) == 1 and np.size(means) > 1:
        return [rounded(value) for value in means]
    return rounded(np.mean(means))


def bounded_log_mean(raw: Array) -> Array:
    """The log-mean: raw, kept smoothly within ±30; within 1e-6 of it below 16 (e¹⁶ = 9e6)."""
    return losses.bounded_log_var(at_least_float32(raw)[0], LOG_MEAN_BOUND)


def draw_poisson(key: PRNGKey, rate: Array) -> Array:
    """Poisson counts as floats; for rates above 2¹⁸, normal ones rounded.

    There JAX's sampler loses its accuracy in float32 (a deviation 20% too wide at rates of 1e8) and
    then its range in int32, while the normal approximation is off by a skewness below 0.002.
    """
    exact_key, normal_key = jax.random.split(key)
    exact = jax.random.poisson(exact_key, jnp.minimum(rate, LARGE_RATE)).astype(rate.dtype)
    noise = jax.random.normal(normal_key, rate.shape, rate.dtype)
    return jnp.where(rate > LARGE_RATE, jnp.round(rate + jnp.sqrt(rate) * noise), exact)


def draw_negative_binomial(key: PRNGKey, log_mean: Array, log_dispersion: Array) -> Array:
    """Negative binomial counts as floats: Poisson ones of gamma-distributed rates."""
    gamma_key, poisson_key = jax.random.split(key)
    # In logarithms: gamma draws of a small shape 1/α would underflow.
    log_gamma = jax.random.loggamma(gamma_key, jnp.exp(-log_dispersion))
    return draw_poisson(poisson_key, jnp.exp(log_gamma + log_dispersion + log_mean))


def mode_of_negative_binomial(log_mean: Array, log_dispersion: Array) -> Array:
    """⌊m (1 - α)⌋, 0 for α ≥ 1."""
    return jnp.floor(jnp.exp(log_mean) * jnp.maximum(-jnp.expm1(log_dispersion), 0))


def validate_counts(name: str, x: np.ndarray) -> None:
    """Raises DataError for the first value that is not a count."""
    require_whole(name, x, None, "pass counts as they are, with preprocessing.none()")
