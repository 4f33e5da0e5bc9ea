"""Few units at a time: penalties on the code or on any named hidden layer."""

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.errors import ConfigError, PartError
from ae_jax.networks.mlp import ACTIVATIONS, activation_function
from ae_jax.terms._registered import CODE, layer, registered
from ae_jax.types import Array, Context, Outputs

UNBOUNDED = [function for name, function in ACTIVATIONS.items() if name != "sigmoid"]


@registered(batch_coupled=True)
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
      outputs: of the forward pass.
      context: of the batch.
      rho: the wanted mean activation, in (0, 1).
      layers: names in `outputs.activations`, or "code".
      running: ρ̂ is the bottleneck's running average over the training set (its value; the gradient
        is that of the batch mean), for the code of `ae.bottlenecks.sparse` only.

    Returns:
      Scalar, nats.
    """
    if not 0 < rho < 1:
        raise ConfigError(f"rho must lie in (0, 1), got {rho!r}")
    total = jnp.zeros(())
    for name in layers:
        activations = layer(outputs, name)
        _require_sigmoid(context, name)
        rho_hat = context.mean(activations)
        if running:
            rho_hat = _running(context, name, rho_hat)
        total = total + losses.sparsity_kl(rho, rho_hat)
    return total


@registered(units="code units")
def l1(outputs: Outputs, context: Context, layers: tuple[str, ...] = (CODE,)) -> Array:
    """Σ_j |h_j| over the named layers."""
    del context
    return sum(jax.vmap(losses.l1)(layer(outputs, name)) for name in layers)  # pyright: ignore


@registered(units="units")
def l0(
    outputs: Outputs, context: Context, scale: float = 1.0, layers: tuple[str, ...] = (CODE,)
) -> Array:
    """Σ_j tanh(scale · |h_j|): a smooth count of the units in use."""
    del context
    count = jax.vmap(lambda h: losses.l0_surrogate(h, scale))
    return sum(count(layer(outputs, name)) for name in layers)  # pyright: ignore


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
                "the term 'sparsity' needs a code in (0, 1), of ae.bottlenecks.sparse; this "
                f"model's bottleneck is '{node.name}'. Penalise its code with ae.terms.l1 instead"
            )
        return
    coder = model.decoder if name.startswith("decoder/") else model.encoder
    activation = dict(coder.node.kwargs).get("activation") if coder.node is not None else None
    function = None if activation is None else activation_function(activation)
    if function in UNBOUNDED:
        raise PartError(
            f"the term 'sparsity' needs units in (0, 1), but the layer '{name}' has "
            f"{activation} units: use activation='sigmoid', or ae.terms.l1"
        )
