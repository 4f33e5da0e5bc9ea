"""What a teacher makes of hidden patches, predicted from those that are seen."""

import jax
import jax.numpy as jnp

from ae_jax.errors import PartError
from ae_jax.terms._feeds import observed_alone
from ae_jax.terms._registered import registered
from ae_jax.types import Array, Context, Outputs

MASK = "patch_mask"
TINY = 1e-6


@registered(units="squared features")
def feature_prediction(
    outputs: Outputs, context: Context, predictor: str = "predictor", teacher: str = "teacher"
) -> Array:
    """½ Σ ‖g(z)ₜ - f̄(x)ₜ‖² over hidden patches t (I-JEPA, Assran et al. 2023).

    g, a critic of codes, predicts from the code of the visible patches; f̄, `ae.teacher`, sees the
    whole of x, 0 for what is missing. Each vector of f̄ is moved and scaled to mean 0 and variance
    1, and no gradient reaches it. The sum is over patches and features, as of a Gaussian of unit
    variance less its constant.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      predictor: name of the critic of codes.
      teacher: name of the teacher.

    Returns:
      `[b]`.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.feature_prediction()
      Objective(1.0 · feature_prediction)
    """
    if MASK not in outputs.info:
        raise PartError(
            "the term 'feature_prediction' needs a corruption that says which patches it hides, "
            "e.g. ae.corruptions.patch_block_masking; this one tells "
            f"{sorted(outputs.info) or 'nothing'}"
        )
    hidden = outputs.info[MASK].reshape(len(outputs.z), -1)
    target = jax.lax.stop_gradient(
        context.critic(teacher, observed_alone(context.batch.x, context))
    )
    predicted = context.critic(predictor, outputs.z[:, 0])
    if predicted.shape != target.shape or target[0].size % hidden.shape[1]:
        raise PartError(
            f"predictor and teacher must emit as many features for each of {hidden.shape[1]} "
            f"patches, got {predicted.shape[1:]} and {target.shape[1:]}"
        )
    by_patch = lambda features: features.reshape(*hidden.shape, -1)
    target, predicted = by_patch(target), by_patch(predicted)
    centred = target - jnp.mean(target, axis=-1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + TINY)
    missed = jnp.sum((predicted - centred * scale) ** 2, axis=-1)
    return 0.5 * jnp.sum(jnp.where(hidden, missed, 0), axis=1)
