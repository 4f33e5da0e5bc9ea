"""What evaluation reports of any model, whatever its objective."""

import jax
import jax.numpy as jnp

from ae_jax import terms
from ae_jax.likelihoods.scores import score_of
from ae_jax.types import Array, Context, Outputs


def evaluation_metrics(outputs: Outputs, context: Context) -> dict[str, Array]:
    """Per-example metrics beside the objective's own.

    Args:
      outputs: outputs of `forward`.
      context: context of the batch.

    Returns:
      Each `[b]`: the likelihood's own scores, averaged over observed entries and latent samples:
      "mse", the squared error of its mean (in the model's units, after preprocessing), "accuracy"
      for tokens and categories; the same of the entries that the corruption hid alone, where it
      tells its mask, as "hidden_mse" or "hidden_accuracy" (0 of an example without any); where the
      model has a posterior density and a prior, "neg_elbo" = -E log p(x | z) + KL(q ‖ p) in nats,
      all weights being one; and of a hierarchy the KL of each level, "level_1_kl" the bottom's.
      Nothing of a model without an encoder.
    """
    if context.model.encoder is None:  # what it makes is not of these examples
        return {}
    score = score_of(context.model.likelihood)
    params = context.variables.params.get("likelihood", {})

    def one(parameters, x, observed):
        drawn = jax.vmap(lambda y: score(params, y, x, observed))(parameters)
        return {name: jnp.mean(s / jnp.maximum(n, 1)) for name, (s, n) in drawn.items()}

    x, observed = context.batch.x, context.batch.observed
    metrics = jax.vmap(one)(outputs.parameters, x, observed)
    hidden = outputs.info.get("mask")
    if hidden is not None:
        hidden = hidden if observed is None else hidden & observed
        sums = jax.vmap(one)(outputs.parameters, x, hidden)
        metrics |= {f"hidden_{name}": value for name, value in sums.items()}
    densities = outputs.log_px, outputs.log_qz, outputs.log_pz
    if all(density is not None for density in densities):
        bound = lambda factory: factory().terms[0].per_example(outputs, context)
        metrics["neg_elbo"] = bound(terms.reconstruction) + bound(terms.kl)
    if outputs.level_kl is not None:
        by_level = jnp.moveaxis(jnp.mean(outputs.level_kl, axis=1), -1, 0)
        metrics |= {f"level_{i}_kl": value for i, value in enumerate(by_level, start=1)}
    return metrics
