"""What each term of an objective does to the parameters."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax import keys as keys_lib
from ae_jax.model import Autoencoder
from ae_jax.objective import Objective
from ae_jax.training.state import TrainState
from ae_jax.types import Array, Batch, Context, Tree


def term_gradient_norms(
    model: Autoencoder,
    objective: Objective,
    state: TrainState,
    batch: Batch,
    *,
    num_train: int | None = None,
) -> dict[str, Array]:
    """The norm of each weighted term's gradient, with the noise of the step about to be taken.

    Terms whose norms differ by orders of magnitude do not share the parameters: the larger ones
    have them. One forward pass and a backward pass a term; pure, to be jitted by the caller with
    the model closed over.

    Args:
      model: Autoencoder in training.
      objective: objective whose terms are asked about, each at its weight of this step.
      state: state of the training.
      batch: batch of one device.
      num_train: size of the training set, for terms that need it; None: the batch's.

    Returns:
      ‖∂(weight · term)/∂params‖ over all parameters, by the term's name, scalars.

    Example:
      >>> import ae_jax as ae, jax, numpy as np, optax
      >>> x = np.zeros((8, 4), np.float32)
      >>> model, objective = ae.recipes.vae(2).build(ae.spec_of(x))
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), x[0])
      >>> players = ae.training.single_player(objective, optax.sgd(0.1), variables)
      >>> state = jax.eval_shape(lambda: ae.training.init_state(model, players, x[0], seed=0))
      >>> norms = lambda *now: ae.training.term_gradient_norms(model, objective, *now)
      >>> sorted(jax.eval_shape(norms, state, ae.Batch(x)))
      ['kl', 'reconstruction']
    """
    keys = keys_lib.for_examples(state.root, state.step, jnp.arange(batch.x.shape[0]))
    num_train = batch.x.shape[0] if num_train is None else num_train

    def weighted(params):
        variables = state.variables._replace(params=params)
        samples = objective.samples
        outputs, _ = model.forward(variables, batch, keys, samples=samples, train=True)
        context = Context(model, variables, batch, keys, state.step, num_train, train=True)
        metrics = objective(outputs, context)[1]
        return {t.name: t.weight(state.step) * metrics[t.name] for t in objective.terms}, None

    gradients, _ = gradients_by_name(weighted, state.variables.params)
    return {name: optax.tree.norm(tree) for name, tree in gradients.items()}


def gradients_by_name(
    losses: Callable[[Tree], tuple[dict[str, Array], Any]], params: Tree
) -> tuple[dict[str, Tree], Any]:
    """The gradient of each of several losses that share one forward pass, one after the other.

    Args:
      losses: `params -> (scalars by name, anything else)`.
      params: params where terms are differentiated.

    Returns:
      Trees like params by name, and what else `losses` returned.
    """
    values, pull_back, rest = jax.vjp(losses, params, has_aux=True)
    names = list(values)
    # Not under vmap: it raises the rank of everything by one, which XLA:CPU does not always survive
    # (jaxlib 0.10: segmentation fault in a fused reduction of rank 7).
    one_hot = {name: jnp.zeros(len(names)).at[i].set(1.0) for i, name in enumerate(names)}
    typed = {name: one_hot[name].astype(values[name].dtype) for name in names}
    rows = jax.lax.map(lambda weights: pull_back(weights)[0], typed)
    return {
        name: jax.tree.map(lambda leaf, i=i: leaf[i], rows) for i, name in enumerate(names)
    }, rest
