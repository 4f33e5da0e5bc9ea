"""How smoothly a decoder goes from one code to another."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ae_jax.checks import require_positive, require_seed
from ae_jax.errors import ConfigError
from ae_jax.evaluation._arrays import as_many, rows, same_width
from ae_jax.evaluation._paths import PATHS


def path_length(
    decode: Callable[[np.ndarray], Any],
    start: Any,
    end: Any,
    *,
    features: Callable[[Any], Any] | None = None,
    steps: str = "spherical",
    epsilon: float = 1e-2,
    seed: int = 0,
) -> float:
    """How fast decoded examples change along paths through the latents; smooth ones change less.

    The mean over paths of ‖f(g(z(t + ε))) - f(g(z(t)))‖² / ε², with g the decoder, f the features,
    z(t) the path from one code to another and one t, uniform in [0, 1 - ε], a path. After the
    perceptual path length of Karras, Laine & Aila 2019, "A style-based generator architecture for
    generative adversarial networks"; their ε of 1e-4 leaves float32 three digits, 1e-2 leaves five.
    Compare it between models of the same data and features only.

    Args:
      decode: from codes `[n, *latent]`, float32, to examples `[n, *event]`; `run.decode`, say.
      start: codes, `[n, *latent]`.
      end: as many.
      features: from examples to `[n, …]`; None: the examples themselves.
      steps: "spherical", of normal priors, or "linear".
      epsilon: ε, in (0, 1).
      seed: of t.

    Returns:
      A number of the features' units squared.

    Raises:
      ConfigError: other steps, or ε outside (0, 1).
      ShapeError: as many starts as ends are needed, of one shape.

    Example:
      >>> import numpy as np
      >>> path_length(lambda z: 2 * z, np.zeros((5, 3)), np.ones((5, 3)), steps="linear")
      12.0
    """
    require_seed(seed=seed)
    require_positive(epsilon=epsilon)
    if epsilon >= 1:
        raise ConfigError(f"epsilon must lie in (0, 1), got {epsilon!r}")
    if steps not in PATHS:
        raise ConfigError(f"steps must be {' or '.join(map(repr, PATHS))}, got {steps!r}")
    shape = np.shape(start)
    start, end = same_width(start=start, end=end)
    as_many(start=start, end=end)
    t = np.random.default_rng(seed).uniform(0, 1 - epsilon, len(start))
    walk = lambda t: PATHS[steps](start, end, t[:, None], axis=1)
    values = [decode(walk(place).reshape(shape).astype(np.float32)) for place in (t, t + epsilon)]
    here, there = (rows("features", features(x) if features else x) for x in values)
    return float(np.mean(np.sum((there - here) ** 2, axis=1)) / epsilon**2)
