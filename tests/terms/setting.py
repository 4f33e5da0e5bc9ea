"""Forward passes that the tests of terms share, and terms evaluated on them, compiled together."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import ae_jax as ae
from ae_jax import keys as keys_lib
from ae_jax.model import Autoencoder
from tests import fast

BATCH, SAMPLES, STEP, NUM_TRAIN = 8, 4, 30, 100
VALID = np.arange(BATCH) != 2
NETWORK = ae.networks.mlp((8,), "sigmoid")


class Setting(NamedTuple):
    """A model, a batch with padding, missing entries and labels, and its forward pass."""

    model: Autoencoder
    outputs: ae.Outputs
    context: ae.Context

    @property
    def rows(self) -> np.ndarray:
        """The numbers of the valid examples."""
        return np.flatnonzero(VALID)


@functools.cache
def setting(
    kind: str,
    event_shape: tuple[int, ...] = (6,),
    encoder: Any = NETWORK,
    decoder: Any = NETWORK,
    corruption: Any = None,
) -> Setting:
    """The forward pass of a "gaussian", "sparse", "prior" (deterministic) or "identity" code."""
    bottleneck = {
        "gaussian": ae.bottlenecks.gaussian(3),
        "sparse": ae.bottlenecks.sparse(3),
        "prior": ae.bottlenecks.identity(3, prior="standard_normal"),
        "identity": ae.bottlenecks.identity(3),
    }[kind]
    likelihood = ae.likelihoods.bernoulli()
    parts = encoder, decoder, bottleneck, likelihood, corruption
    model = ae.autoencoder(*parts, event_shape=event_shape)
    rng = np.random.default_rng(0)
    x, observed = rng.random((BATCH, *event_shape)), rng.random((BATCH, *event_shape)) < 0.8
    batch = ae.Batch(
        jnp.asarray(np.where(observed, x, 0), jnp.float32),
        jnp.asarray(observed),
        jnp.asarray(VALID),
        extras={"label": jnp.arange(BATCH) % 3},
    )

    def forward():
        variables = model.init(jax.random.key(0), batch.x[0])
        variables = jax.tree.map(lambda leaf: leaf + 0.125, variables)
        keys = keys_lib.for_examples(jax.random.key(1), STEP, jnp.arange(BATCH))
        outputs, _ = model.forward(variables, batch, keys, samples=SAMPLES)
        return variables, keys, outputs

    variables, keys, outputs = fast.jit(forward)()
    step = jnp.int32(STEP)
    return Setting(model, outputs, ae.Context(model, variables, batch, keys, step, NUM_TRAIN))


def evaluate(made: Setting, **objectives: ae.Objective) -> dict[str, np.ndarray]:
    """The loss of each example, `[b]`, by the caller's names, in one compilation."""

    def each(outputs, variables, batch, keys):
        context = made.context._replace(variables=variables, batch=batch, keys=keys)
        return {
            name: objective.terms[0].per_example(outputs, context)
            for name, objective in objectives.items()
        }

    context = made.context
    values = fast.jit(each)(made.outputs, context.variables, context.batch, context.keys)
    return jax.tree.map(np.asarray, values)


def gradients(made: Setting, **objectives: ae.Objective) -> dict[str, Any]:
    """The gradient of each objective by the parameters, through a forward pass of its own."""

    def each(params, batch, keys):
        variables = made.context.variables._replace(params=params)
        outputs, _ = made.model.forward(variables, batch, keys, samples=SAMPLES)
        context = made.context._replace(variables=variables, batch=batch, keys=keys)
        return {name: objective(outputs, context)[0] for name, objective in objectives.items()}

    context = made.context
    return fast.jit(jax.jacrev(each))(context.variables.params, context.batch, context.keys)


def double(tree: Any) -> Any:
    """Arrays as float64 NumPy."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)
