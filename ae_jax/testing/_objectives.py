"""The contract of terms and of the objectives made of them."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import keys as keys_lib
from ae_jax.model import Autoencoder
from ae_jax.objective import Objective
from ae_jax.testing._batches import (
    NUM_TRAIN,
    example_batches,
    moved_variables,
    on_devices,
    small_model,
)
from ae_jax.testing._report import COUNTS, Findings, Report, usable
from ae_jax.training.diagnostics import gradients_by_name
from ae_jax.types import ALONE, Array, Batch, Collectives, Context, Outputs, Shape, Tree, Variables

STEP = 7


class _Case(NamedTuple):
    """An objective and what it is evaluated on; `padded` differs from `batch` in its padding."""

    model: Autoencoder
    objective: Objective
    variables: Variables
    batch: Batch
    padded: Batch
    keys: keys_lib.ExampleKeys


class _Found(NamedTuple):
    """What one evaluation of an objective gives.

    Attributes:
      metrics: "loss" and each unweighted term, scalars.
      gradients: the same names, trees of the parameters.
      each: each term of each example, `[b]`.
      outputs: outputs of the forward pass.
    """

    metrics: dict[str, Array]
    gradients: dict[str, Tree]
    each: dict[str, Array]
    outputs: Outputs


def check_term(
    objective: Objective,
    *,
    model: Autoencoder | None = None,
    event_shape: Shape = (6,),
    batch_size: int = 16,
    extras: Mapping[str, Any] | None = None,
    missing: bool = True,
    devices: Sequence[int] = COUNTS,
    compiler_options: Mapping[str, Any] | None = None,
) -> Report:
    """Checks a term, or any objective, as the library's own are checked.

    On an untrained model with every parameter moved by 0.25, and a batch of which some examples are
    padding and some entries are not observed: values and gradients are finite; jit and vmap change
    nothing; there is one compilation a shape; bfloat16 inputs give float32 losses; permuting the
    batch with its keys permutes the loss of each example; padded examples and unobserved entries
    cost nothing, whatever they hold; doubling the objective doubles loss and gradient; and loss and
    gradient are the same, to 1e-5 of their norm, on 1, 2, 4 and 8 devices, or on as many of these
    as there are.

    Args:
      objective: one term or more, e.g. `my_term(rho=0.05)`.
      model: model to evaluate it on; None: a Gaussian bottleneck of three latents between two
        networks of one sigmoid layer, "hidden_0".
      event_shape: shape of one example, the model's.
      batch_size: examples in the batch, a multiple of the device counts.
      extras: extras of the batch, each `[batch_size, …]`, for terms that read labels or lengths.
      missing: whether some entries are not observed.
      devices: device counts compared.
      compiler_options: options of XLA, which can halve the time of the check.

    Returns:
      A Report.

    Raises:
      AssertionError: with every check that failed, and by how much.
      PartError: the term returns another shape than it declared.

    Example:
      >>> import ae_jax as ae, jax.numpy as jnp
      >>> @ae.term
      ... def power(outputs, context):
      ...     return jnp.sum(outputs.z**2)  # over the examples, too
      >>> try:
      ...     ae.testing.check_term(power())
      ... except ae.errors.PartError as error:
      ...     print(str(error).split(";")[0])
      the term 'power' must return shape (16,), got ()
    """
    model = model or small_model(event_shape)
    findings = Findings("the objective of " + ", ".join(term.name for term in objective.terms))
    jit = functools.partial(jax.jit, compiler_options=dict(compiler_options or {}))
    keys = keys_lib.for_examples(jax.random.key(1), STEP, jnp.arange(batch_size))

    def untrained(jit: Callable[..., Any]) -> _Case:
        variables = jit(functools.partial(moved_variables, model, event_shape))()
        batches = example_batches(jit, model, variables, event_shape, batch_size, extras, missing)
        return _Case(model, objective, variables, *batches, keys)

    def traced() -> _Found:
        case = untrained(lambda fn: fn)
        return _evaluate(model, objective, case.variables, case.batch, keys)

    jax.eval_shape(traced)  # what has the wrong shape is refused before anything is compiled
    case = untrained(jit)
    base = _check_variants(findings, jit, case)
    _check_plain(findings, case, base)
    _check_precision(findings, case)
    counts = usable(devices, batch_size)
    _check_devices(findings, jit, case, base, counts)
    return findings.report(counts)


def _evaluate(
    model: Autoencoder,
    objective: Objective,
    variables: Variables,
    batch: Batch,
    keys: keys_lib.ExampleKeys,
    across: Collectives = ALONE,
) -> _Found:
    def losses(params):
        inner = variables._replace(params=params)
        samples = objective.samples
        outputs, _ = model.forward(inner, batch, keys, samples=samples, train=True)
        step = jnp.int32(STEP)
        context = Context(model, inner, batch, keys, step, NUM_TRAIN, across, train=True)
        loss, metrics = objective(outputs, context)
        each = {term.name: term.per_example(outputs, context) for term in objective.terms}
        metrics = {**metrics, "loss": loss}
        return metrics, (metrics, each, outputs)

    gradients, (metrics, each, outputs) = gradients_by_name(losses, variables.params)
    return _Found(metrics, gradients, each, outputs)


def _check_variants(findings: Findings, jit: Callable, case: _Case) -> _Found:
    """The objective as it is, doubled, of a permuted batch, of other padding, under one vmap."""
    objective, batch, keys = case.objective, case.batch, case.keys
    valid = np.asarray(batch.valid)
    order = np.random.default_rng(0).permutation(len(valid))
    shuffled = jax.tree.map(lambda leaf: leaf[order], (batch, keys))
    variants = [(objective, batch, keys), (2.0 * objective, batch, keys)]
    variants += [(objective, *shuffled), (objective, case.padded, keys)]
    base, doubled, permuted, padded = _all_at_once(findings, jit, case, variants)

    slopes = {f"the gradient of '{name}'": tree for name, tree in base.gradients.items()}
    findings.finite("finite", {"the loss": base.metrics, **slopes})
    _compare(findings, "padding", padded, base)
    _compare(findings, "permutation", permuted, base)
    wanted = {name: np.where(valid, value, 0)[order] for name, value in base.each.items()}
    moved = {name: np.where(valid[order], value, 0) for name, value in permuted.each.items()}
    findings.all_equal("permutation", moved, wanted, "'{}' of each example")

    twice = functools.partial(jax.tree.map, lambda leaf: 2 * leaf)
    of = "of twice the objective"
    findings.equal(
        "doubling", doubled.metrics["loss"], twice(base.metrics["loss"]), f"the loss {of}"
    )
    wanted = twice(base.gradients["loss"])
    findings.equal("doubling", doubled.gradients["loss"], wanted, f"the gradient {of}")
    total = sum(term.weight(STEP) * base.metrics[term.name] for term in objective.terms)
    findings.equal("weights", base.metrics["loss"], total, "the loss against its weighted terms")
    return base


def _all_at_once(
    findings: Findings, jit: Callable, case: _Case, variants: Sequence[tuple]
) -> list[_Found]:
    """Every variant under one jit and vmap; a second call must not compile again."""
    traces, evaluate = [], functools.partial(_evaluate, case.model)

    def traced(*arguments):
        traces.append(arguments)
        return jax.vmap(evaluate, in_axes=(0, None, 0, 0))(*arguments)

    compiled, results = jit(traced), None
    stack = lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves])
    for order in (variants[::-1], variants):
        objectives, batches, keys = jax.tree.map(stack, *order)
        results = compiled(objectives, case.variables, batches, keys)
    findings.holds("one compile", len(traces) == 1, f"{len(traces)} compilations for one shape")
    pick = lambda i: jax.tree.map(lambda leaf: np.asarray(leaf[i]), results)
    return [pick(i) for i in range(len(variants))]


def _compare(findings: Findings, check: str, got: _Found, wanted: _Found) -> None:
    findings.all_equal(check, got.metrics, wanted.metrics, "'{}'")
    findings.all_equal(check, got.gradients, wanted.gradients, "the gradient of '{}'")


def _check_plain(findings: Findings, case: _Case, base: _Found) -> None:
    """Without jit, the padding left out; then with other values where nothing was observed."""
    rows = np.flatnonzero(np.asarray(case.batch.valid))
    take = functools.partial(jax.tree.map, lambda leaf: jnp.asarray(leaf[rows]))
    outputs, batch, keys = take((base.outputs, case.batch._replace(valid=None), case.keys))
    step = jnp.int32(STEP)
    context = Context(case.model, case.variables, batch, keys, step, NUM_TRAIN, train=True)
    metrics = case.objective(outputs, context)[1]
    findings.all_equal("jit, padding left out", metrics, base.metrics, "'{}'")
    if batch.observed is not None:
        other = jnp.where(batch.observed, batch.x, 3 + 2 * batch.x[::-1])
        context = context._replace(batch=batch._replace(x=other))
        moved = case.objective(outputs, context)[1]
        findings.all_equal("unobserved entries", moved, metrics, "'{}'")


def _check_precision(findings: Findings, case: _Case) -> None:
    def half(leaf):
        floating = jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        return jnp.asarray(leaf, jnp.bfloat16) if floating else leaf

    params = jax.tree.map(half, case.variables.params)
    batch = case.batch._replace(x=half(case.batch.x))
    evaluate = functools.partial(_evaluate, case.model)
    variables = case.variables._replace(params=params)
    result = jax.eval_shape(evaluate, case.objective, variables, batch, case.keys)
    for name, value in result.each.items():
        precise = value.dtype in (jnp.float32, jnp.float64)
        findings.holds("bfloat16", precise, f"'{name}' is {value.dtype} where inputs are bfloat16")


def _check_devices(
    findings: Findings, jit: Callable, case: _Case, base: _Found, counts: Sequence[int]
) -> None:
    def per_shard(whole, rows, across):
        (objective, variables), (batch, keys) = whole, rows
        result = _evaluate(case.model, objective, variables, batch, keys, across)
        return across.mean((result.metrics, result.gradients))

    for count in counts:
        whole, shared = (case.objective, case.variables), (case.batch, case.keys)
        metrics, gradients = on_devices(jit, count, per_shard)(whole, shared)
        result = base._replace(metrics=metrics, gradients=gradients)
        _compare(findings, "vmap" if count == 1 else f"{count} devices", result, base)
