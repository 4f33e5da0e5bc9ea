"""Few units at a time: penalties on the code or on any named hidden layer."""

from typing import Any

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.checks import require_positive, require_positive_ints, require_within_unit_interval
from ae_jax.distributions import SparseCode
from ae_jax.errors import ConfigError, PartError
from ae_jax.networks.activations import ACTIVATIONS, activation_function
from ae_jax.terms._registered import CODE, layer, part, registered
from ae_jax.types import Array, Context, Outputs

UNBOUNDED = [function for name, function in ACTIVATIONS.items() if name != "sigmoid"]


def _check_layers(layers: Any) -> None:
    if not isinstance(layers, tuple | list) or not layers:
        raise ConfigError(f"layers must be a tuple of names, e.g. ('code',), got {layers!r}")


def _check_rate(rho: float, layers: Any) -> None:
    require_within_unit_interval(rho=rho)
    _check_layers(layers)


def _check_scale(scale: float, layers: Any) -> None:
    require_positive(scale=scale)
    _check_layers(layers)


@registered(batch_coupled=True, check=_check_rate)
def sparsity(
    outputs: Outputs,
    context: Context,
    rho: float = 0.05,
    layers: tuple[str, ...] = (CODE,),
    running: bool = False,
) -> Array:
    """Σ_j KL(ρ ‖ ρ̂_j), with ρ̂_j the mean activation of unit j over the batch (Ng 2011).

    Units must lie in (0, 1): the code of `ae.bottlenecks.sparse`, or sigmoid hidden layers.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      rho: ρ, mean activation aimed at, in (0, 1).
      layers: names in `outputs.activations`, or "code".
      running: whether ρ̂ is the bottleneck's running average over the training set (its value; the
        gradient is that of the batch mean), for the code of `ae.bottlenecks.sparse` only.

    Returns:
      scalar, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.reconstruction() + 0.1 * ae.terms.sparsity(rho=0.02)
      Objective(1.0 · reconstruction + 0.1 · sparsity)
    """
    total = jnp.zeros(())
    for name in layers:
        activations = layer(outputs, name)
        _require_sigmoid(context, name)
        rho_hat = context.mean(activations)
        if running:
            rho_hat = _running(context, name, rho_hat)
        total = total + losses.sparsity_kl(rho, rho_hat)
    return total


@registered(check=_check_rate)
def population_sparsity(
    outputs: Outputs, context: Context, rho: float = 0.05, layers: tuple[str, ...] = (CODE,)
) -> Array:
    """Σ_j KL(ρ ‖ r) over an example's n units, r their mean activation: sparsity's other axis.

    `sparsity` holds how often a unit is active over examples (lifetime sparsity), which leaves some
    examples free to use far more units than others; this holds how many units each example uses
    (Willmore & Tolhurst 2001, "Characterizing the sparseness of neural codes").

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      rho: ρ, mean activation aimed at, in (0, 1).
      layers: names in `outputs.activations`, or "code".

    Returns:
      `[b]`, nats.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.population_sparsity(rho=0.02)
      Objective(1.0 · population_sparsity)
    """

    def one(h):
        return h.size * losses.sparsity_kl(rho, jnp.mean(h))

    for name in layers:
        _require_sigmoid(context, name)
    return sum(jax.vmap(one)(layer(outputs, name)) for name in layers)  # pyright: ignore


@registered(units="code units", check=_check_layers)
def l1(outputs: Outputs, context: Context, layers: tuple[str, ...] = (CODE,)) -> Array:
    """Σ_j |h_j| over the named layers.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      layers: names in `outputs.activations`, or "code".

    Returns:
      `[b]`, code units.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.l1(layers=("hidden_0", "code"))
      Objective(1.0 · l1)
    """
    del context
    return sum(jax.vmap(losses.l1)(layer(outputs, name)) for name in layers)  # pyright: ignore


@registered(units="units", check=_check_scale)
def l0(
    outputs: Outputs, context: Context, scale: float = 1.0, layers: tuple[str, ...] = (CODE,)
) -> Array:
    """Σ_j tanh(scale · |h_j|): a smooth count of the units in use.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      scale: steepness of the count at 0.
      layers: names in `outputs.activations`, or "code".

    Returns:
      `[b]`, units in use.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.l0(scale=10.0)
      Objective(1.0 · l0)
    """
    del context
    count = jax.vmap(lambda h: losses.l0_surrogate(h, scale))
    return sum(count(layer(outputs, name)) for name in layers)  # pyright: ignore


@registered(units="squared data units", check=lambda k: require_positive_ints(k=k))
def dead_units(outputs: Outputs, context: Context, k: int = 64) -> Array:
    """‖e - ê‖²: the k strongest dead units stand in for what the living missed (Gao et al. 2024).

    e = x - x̂ at the first latent sample, a constant here. ê is what those dead units alone add to
    the likelihood's mean: that of their decoded code less that of the code 0, so that the decoder's
    bias, which x̂ holds already, counts once. Decoded as in evaluation. Dead units are those of
    `ae.bottlenecks.topk`, after its ReLU; without any the loss is 0.

    Args:
      outputs: outputs of the forward pass.
      context: batch, model, variables and devices.
      k: dead units that stand in, at most the latent's; all of them where fewer are dead.

    Returns:
      `[b]`, squared data units, summed over observed entries.

    Example:
      >>> import ae_jax as ae
      >>> ae.terms.reconstruction() + 0.5 * ae.terms.dead_units(k=32)
      Objective(1.0 · reconstruction + 0.5 · dead_units)
    """
    posterior = outputs.posterior
    if not isinstance(posterior, SparseCode):
        raise PartError(
            "the term 'dead_units' needs the units of ae.bottlenecks.topk, got a posterior of type "
            f"{type(posterior).__name__}"
        )
    model, batch = context.model, context.batch
    likelihood, _ = part(context, "likelihood")

    def one(decode, x, observed, posterior, y):
        decoded = lambda z: model.likelihood.mean(likelihood, decode(z))
        units, dead = posterior.units.reshape(-1), posterior.dead.reshape(-1)
        chosen = losses.top_k_of_dead(units, dead, k).reshape(posterior.units.shape)
        revived = decoded(chosen) - decoded(jnp.zeros_like(chosen))
        residual = x - model.likelihood.mean(likelihood, y)
        if observed is not None:
            residual, revived = (jnp.where(observed, v, 0) for v in (residual, revived))
        loss = losses.dead_unit_auxiliary(residual, revived)
        return jnp.where(jnp.any(dead), loss, jnp.zeros_like(loss))

    rows = batch.x, batch.observed, posterior, outputs.parameters[:, 0]
    return context.decoding(one, outputs, *rows)


def _running(context: Context, name: str, batch_mean: Array) -> Array:
    state = context.variables.state.get("bottleneck", {})
    if name != CODE or "mean_activation" not in state:
        raise PartError(
            "sparsity(running=True) needs the code of ae.bottlenecks.sparse, which keeps the "
            f"running mean; got the layer '{name}'"
        )
    average = state["mean_activation"].reshape(-1)
    # The value of the average, the gradient of the batch mean.
    return average + batch_mean - jax.lax.stop_gradient(batch_mean)


def _require_sigmoid(context: Context, name: str) -> None:
    """Refuses units known to leave (0, 1): those of our own parts, which carry their nodes."""
    model = context.model
    if name == CODE:
        node = model.bottleneck.node
        if node is not None and not node.name.startswith("sparse") and ":" not in node.name:
            raise PartError(
                "a term of sparsity needs a code in (0, 1), of ae.bottlenecks.sparse; this "
                f"model's bottleneck is '{node.name}'. Penalise its code with ae.terms.l1 instead"
            )
        return
    coder = model.decoder if name.startswith("decoder/") else model.encoder
    activation = dict(coder.node.kwargs).get("activation") if coder.node is not None else None
    function = None if activation is None else activation_function(activation)
    if function in UNBOUNDED:
        raise PartError(
            f"a term of sparsity needs units in (0, 1), but the layer '{name}' has "
            f"{activation} units: use activation='sigmoid', or ae.terms.l1"
        )
