"""The mixture of the posteriors of pseudo-inputs as a prior."""

import jax
import jax.numpy as jnp

from ae_jax._registry import PRIORS
from ae_jax.checks import require_not_negative, require_positive_ints
from ae_jax.distributions import Mixture
from ae_jax.errors import PartError
from ae_jax.types import Prior


@PRIORS.register
def vamp(pseudo_inputs: int = 500, mean: float = 0.0, deviation: float = 0.1) -> Prior:
    """1/K Σ_k q(z | u_k) with pseudo-inputs u_k learned, the VampPrior (Tomczak & Welling 2018).

    The encoder that makes the posteriors makes the prior, so that the prior is the best mixture of
    as many of them as the pseudo-inputs can be: it may have whatever support and shape they have.
    Pseudo-inputs are numbers as the encoder reads them, kept within no range.

    Args:
      pseudo_inputs: K; each costs one more pass through the encoder a step.
      mean: around which they are drawn at first, in the units that the model sees.
      deviation: with which they are drawn.

    Example:
      >>> import ae_jax as ae
      >>> ae.bottlenecks.gaussian(2, prior=ae.priors.vamp(pseudo_inputs=50)).latent_shape
      (2,)
    """
    require_positive_ints(pseudo_inputs=pseudo_inputs)
    require_not_negative(deviation=deviation)

    def init(key, latent_shape, example=None):
        del latent_shape
        if example is None or not jnp.issubdtype(jnp.result_type(example), jnp.floating):
            kind = "none" if example is None else f"dtype {jnp.result_type(example)}"
            raise PartError(
                f"the prior 'vamp' learns inputs of the encoder, which must be numbers, got {kind}"
                ": for tokens take the prior 'mixture' or 'flow'"
            )
        drawn = jax.random.normal(key, (pseudo_inputs, *jnp.shape(example)))
        return {"inputs": mean + deviation * drawn}

    def apply(params, latent_shape, encode=None):
        del latent_shape
        if encode is None:
            raise PartError("the prior 'vamp' needs the encoder: take it from model.prior")
        return Mixture(jnp.zeros(pseudo_inputs), encode(params["inputs"]))

    return Prior(init, apply, support="posteriors")
