"""A training step gone through without compiling, for what only the whole of it shows wrong."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from ae_jax import keys as keys_lib
from ae_jax.errors import ConfigError
from ae_jax.networks._calls import OneExampleError
from ae_jax.training.plan import Plan
from ae_jax.types import Array, Batch, Context, Outputs, Tree, Variables

MOVED = ("posterior", "z", "parameters", "log_px", "log_qz", "log_pz", "activations", "level_kl")
"""The fields of Outputs that parameters move."""


def rehearse(plan: Plan, example: np.ndarray, variables: Variables) -> None:
    """Traces the forward pass and the objective of one microbatch of all devices.

    Args:
      plan: its players are not needed.
      example: one x, `[*event]`; only its shape and dtype matter.
      variables: of the model; only shapes and dtypes matter.

    Raises:
      ConfigError: a batch normalisation would see one example; or a term with a weight has a
        gradient of zero whatever the parameters are.
      PartError, ShapeError: what parts and terms raise of each other.
    """
    training = plan.config.training
    size = training.batch_size // training.accumulation
    batch = _batch(plan, example, size)
    keys = lambda: keys_lib.for_examples(jax.random.key(0), 0, jnp.arange(size, dtype=jnp.uint32))

    def forward(variables: Variables, batch: Batch) -> Outputs:
        samples = plan.objective.samples
        return plan.model.forward(variables, batch, keys(), samples=samples, train=True)[0]

    def metrics(outputs: Outputs, variables: Variables, batch: Batch) -> dict[str, Array]:
        step, num_train = jnp.zeros((), jnp.int32), len(plan.dataset.train)
        context = Context(plan.model, variables, batch, keys(), step, num_train, train=True)
        return plan.objective(outputs, context)[1]

    try:
        outputs = jax.eval_shape(forward, variables, batch)
    except OneExampleError as error:
        raise ConfigError(
            _of_one_example(error, training.batch_size, training.accumulation)
        ) from None
    moved = _moved(metrics, outputs, variables, batch)
    for term in plan.objective.terms:
        if not moved[term.name] and _is_weighed(term.scale):
            raise ConfigError(_of_no_gradient(term.name, plan.model.likelihood.node))


def _batch(plan: Plan, example: np.ndarray, size: int) -> Batch:
    def many(leaf: np.ndarray) -> Any:
        # int64 labels reach a device as int32; a struct of int64 is warned of.
        return jax.ShapeDtypeStruct((size, *leaf.shape), jax.dtypes.canonicalize_dtype(leaf.dtype))

    missing = plan.dataset.train.spec.observed is not None
    observed = many(np.zeros(example.shape, bool)) if missing else None
    return Batch(many(example), observed, extras=jax.tree.map(many, plan.example_extras()))


def _moved(
    metrics: Callable[..., dict[str, Array]], outputs: Outputs, variables: Variables, batch: Batch
) -> Mapping[str, bool]:
    """Whether the derivative of each metric is made of those of what parameters move, by name.

    JAX knows derivatives that are zero everywhere, of a rounded number, of a most probable class,
    behind `stop_gradient`, and makes them of nothing; one that is zero at the start alone it
    computes.
    """
    fields = {name: getattr(outputs, name) for name in MOVED}
    leaves, tree = jax.tree.flatten((fields, variables.params))
    smooth = [jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in leaves]
    names: list[str] = []

    def tangents(primals: list[Array], directions: list[Array], rest: list[Array], given: Tree):
        def of(*primals: Array) -> list[Array]:
            moving, still = iter(primals), iter(rest)
            fields, params = tree.unflatten([next(moving if s else still) for s in smooth])
            outputs, state, batch = given
            values = metrics(outputs._replace(**fields), Variables(params, state), batch)
            names[:] = values
            return list(values.values())

        return jax.linearize(of, *primals)[1](*directions)

    primals = [leaf for leaf, s in zip(leaves, smooth, strict=True) if s]
    rest = [leaf for leaf, s in zip(leaves, smooth, strict=True) if not s]
    given = outputs._replace(**dict.fromkeys(MOVED)), variables.state, batch
    jaxpr = jax.make_jaxpr(tangents)(primals, primals, rest, given).jaxpr
    tangent_vars = set(jaxpr.invars[len(primals) : 2 * len(primals)])
    reached = lambda variable: not isinstance(variable, Literal) and variable in tangent_vars
    for equation in jaxpr.eqns:
        if any(map(reached, equation.invars)):
            tangent_vars.update(equation.outvars)
    return dict(zip(names, map(reached, jaxpr.outvars), strict=True))


def _is_weighed(scale: Any) -> bool:
    """Whether a term counts: one of weight 0 is there to be reported."""
    return bool(np.any(np.asarray(scale) != 0))


def _of_one_example(error: Exception, batch_size: int, accumulation: int) -> str:
    smaller = [n for n in range(1, batch_size) if batch_size % n == 0]
    instead = f" or training.accumulation={smaller[-1]}" if smaller else ""
    return (
        f"training.batch_size={batch_size} with training.accumulation={accumulation}: {error}; "
        f"training.batch_size={2 * accumulation}{instead} would do"
    )


def _of_no_gradient(name: str, likelihood: Any) -> str:
    of = f" of the likelihood '{likelihood.name}'" if likelihood else ""
    return (
        f"the term '{name}' trains nothing: its gradient is zero whatever the parameters are, as "
        f"that of a most probable class or a rounded number is{of}. Leave it out, take "
        "ae.terms.reconstruction(), or give it weight 0, which only reports it"
    )
