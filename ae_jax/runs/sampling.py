"""New examples and codes, from the prior or a sampler.

Methods of `Run`: a run is their first argument.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ae_jax import keys
from ae_jax.checks import require_positive_ints
from ae_jax.errors import PartError
from ae_jax.precision import compiled_in_float32
from ae_jax.runs import integers
from ae_jax.runs.inputs import fields, places


@compiled_in_float32()
def sample(
    run: Any,
    num: int,
    seed: int = 0,
    observations: bool = False,
    *,
    extras: Mapping[str, Any] | None = None,
    sampler: Any = None,
) -> np.ndarray:
    """New examples: z from the prior or a sampler, then the mean of p(x | z) or a draw from it.

    Of an autoregressive decoder, `observations` are ancestral samples: each position is drawn
    from p(x_t | x_<t, z) given those drawn before it. Without, each is the mean given the means
    before it, as in `decode`: a greedy reading, of less variety than the data's.

    Args:
      run: an `ae.Run`.
      num: how many.
      seed: below 2³²; the same gives the same examples on any number of devices.
      observations: draw x from p(x | z) in place of its mean.
      extras: conditions, each `[num, …]`, for a model or sampler that takes them.
      sampler: what `ae.samplers.fit` or `load` returned, to draw z from; None: the prior.

    Returns:
      float32 `[num, *event]`, in the data's units; float64 where the data are centred on the
      host.

    Raises:
      PartError: the model has no prior and there is no sampler, or it is none.
    """
    require_positive_ints(num=num)
    key = keys.stream(keys.root(seed), "sample")
    shared = (run.variables, jax.random.key_data(key))
    if sampler is not None:
        z = _drawn(run, sampler, num, seed, extras)
        if not observations:
            return run.decode(z, extras=extras)
        observe = run.over_examples("observe", run.functions.observe_at, in_units=True)
        return observe(shared, places(z), z, fields(run, extras, num))
    _require_prior(run)
    draw = run.functions.observe if observations else run.functions.sample
    program = run.over_examples(f"sample {observations}", draw, in_units=True)
    return program(shared, np.arange(num, dtype=np.uint32), fields(run, extras, num))


@compiled_in_float32()
def sample_codes(
    run: Any,
    num: int,
    seed: int = 0,
    *,
    extras: Mapping[str, Any] | None = None,
    sampler: Any = None,
) -> np.ndarray:
    """New codes, from the prior or a sampler: those that `sample` of the same seed decodes.

    Args:
      run: an `ae.Run`.
      num: how many.
      seed: below 2³².
      extras: conditions, each `[num, …]`, for a prior or sampler that takes them.
      sampler: what `ae.samplers.fit` or `load` returned; None: the prior.

    Returns:
      float32 `[num, *latent]`.

    Raises:
      PartError: the model has no prior and there is no sampler, or it is none.

    Example:
      >>> import ae_jax as ae
      >>> run = ae.fit(ae.recipes.vae(2), "digits", steps=2, progress=False)
      >>> z = run.sample_codes(5, seed=1)
      >>> z.shape, bool((run.decode(z) == run.sample(5, seed=1)).all())
      ((5, 2), True)
    """
    require_positive_ints(num=num)
    if sampler is not None:
        return _drawn(run, sampler, num, seed, extras)
    _require_prior(run)
    shared = (run.variables, jax.random.key_data(keys.stream(keys.root(seed), "sample")))
    draw = run.over_examples("sample codes", run.functions.sample_codes)
    return draw(shared, np.arange(num, dtype=np.uint32), fields(run, extras, num))


def _require_prior(run: Any) -> None:
    if not run.has_prior:
        raise PartError(
            "this model has no prior to sample from: fit a sampler of its codes, "
            "run.sample(num, sampler=ae.samplers.fit(run, data, 'gaussian_mixture'))"
        )


def _drawn(
    run: Any, sampler: Any, num: int, seed: int, extras: Mapping[str, Any] | None
) -> np.ndarray:
    """What a sampler draws, as z: integers stand for the codes that they number."""
    if not hasattr(sampler, "sample"):
        raise PartError(
            "sampler must be what ae.samplers.fit or ae.samplers.load(run, name) returns, got "
            f"{sampler!r:.200}"
        )
    drawn = sampler.sample(num, seed, extras=extras)
    if not np.issubdtype(drawn.dtype, np.integer):
        return drawn
    latents = functools.partial(integers.latents, run.model.bottleneck)
    return run.over_examples("latents", latents)(run.variables, integers.checked(run, drawn))
