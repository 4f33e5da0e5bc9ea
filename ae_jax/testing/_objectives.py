"""The contract of terms and of the objectives made of them."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import bottlenecks, likelihoods, networks
from ae_jax import keys as keys_lib
from ae_jax.model import Autoencoder, autoencoder
from ae_jax.objective import Objective
from ae_jax.testing._report import COUNTS, Findings, Report, usable
from ae_jax.training import parallel
from ae_jax.training.diagnostics import gradients_by_name
from ae_jax.types import ALONE, Array, Batch, Context, Outputs, Shape, Tree, Variables

STEP, NUM_TRAIN = 7, 1000


class Found(NamedTuple):
    """What one evaluation of an objective gives.

    Attributes:
      metrics: "loss" and each unweighted term, scalars.
      gradients: the same names, trees of the parameters.
      each: each term of each example, `[b]`.
      outputs: of the forward pass.
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
      objective: of one term or more, e.g. `my_term(rho=0.05)`.
      model: to evaluate it on; None: a Gaussian bottleneck of three latents between two networks of
        one sigmoid layer, "hidden_0".
      event_shape: of one example, the model's.
      batch_size: a multiple of the device counts.
      extras: of the batch, each `[batch_size, …]`, for terms that read labels or lengths.
      missing: whether some entries are not observed.
      devices: the device counts compared.
      compiler_options: for XLA, which can halve the time of the check.

    Returns:
      A Report.

    Raises:
      AssertionError: with every check that failed, and by how much.
      PartError: the term returns another shape than it declared.

    Example:
      >>> import ae_jax as ae
      >>> report = ae.testing.check_term(ae.terms.latent_l2(), devices=(1,))
      >>> "vmap" in report.errors
      True
    """
    names = ", ".join(term.name for term in objective.terms)
    found, model = Findings(f"the objective of {names}"), model or small_model(event_shape)
    jit = functools.partial(jax.jit, compiler_options=dict(compiler_options or {}))
    variables = jit(functools.partial(_variables, model, event_shape))()
    batch, dirty = example_batch(jit, model, variables, event_shape, batch_size, extras, missing)
    keys = keys_lib.for_examples(jax.random.key(1), STEP, jnp.arange(batch_size))
    evaluate = functools.partial(_evaluate, model)

    order = np.random.default_rng(0).permutation(batch_size)
    shuffled = jax.tree.map(lambda leaf: leaf[order], (batch, keys))
    variants = [(objective, batch, keys), (2.0 * objective, batch, keys)]
    variants += [(objective, *shuffled), (objective, dirty, keys)]
    base, doubled, permuted, padded = _all_at_once(found, jit, evaluate, variables, variants)

    valid = np.asarray(batch.valid)
    found.finite(
        "finite",
        {"the loss": base.metrics}
        | {f"the gradient of '{name}'": tree for name, tree in base.gradients.items()},
    )
    _compare(found, "padding", padded, base)
    _compare(found, "permutation", permuted, base)
    rows = lambda each: {name: np.where(valid, value, 0)[order] for name, value in each.items()}
    moved = {name: np.where(valid[order], value, 0) for name, value in permuted.each.items()}
    found.all_equal("permutation", moved, rows(base.each), "'{}' of each example")
    _check_weights(found, objective, base, doubled)
    _check_plain(
        found,
        objective,
        Context(model, variables, batch, keys, jnp.int32(STEP), NUM_TRAIN),
        base,
        dirty,
    )
    _check_precision(found, evaluate, objective, variables, batch, keys)
    counts = usable(devices, batch_size)
    for count in counts:
        shared = _on_devices(jit, evaluate, count)(objective, variables, batch, keys)
        _compare(found, "vmap" if count == 1 else f"{count} devices", shared, base)
    return found.report(counts)


def small_model(event_shape: Shape) -> Autoencoder:
    """A variational model of one sigmoid layer a network and three latents."""
    network = networks.mlp((8,), activation="sigmoid")
    parts = bottlenecks.gaussian(3), likelihoods.gaussian()
    return autoencoder(network, network, *parts, event_shape=event_shape)


def example_batch(
    jit: Callable,
    model: Autoencoder,
    variables: Variables,
    event_shape: Shape,
    size: int,
    extras: Mapping[str, Any] | None = None,
    missing: bool = True,
) -> tuple[Batch, Batch]:
    """A batch in the likelihood's support with padding unevenly spread, and one padded otherwise.

    Returns:
      Two batches that differ only in what their padded examples and unobserved entries hold; the
      second's unobserved entries are the first's wherever the encoder would see them: everywhere.
    """
    likelihood, rng = model.likelihood, np.random.default_rng(0)
    own = variables.params.get("likelihood", {})
    y = rng.normal(size=(2 * size, *likelihood.parameter_shape(event_shape))).astype(np.float32)
    keys = jax.random.split(jax.random.key(2), 2 * size)
    drawn = jit(jax.vmap(likelihood.sample, (None, 0, 0)))(own, y, keys)
    x, other = jnp.split(drawn, 2)
    observed = jnp.asarray(rng.random(x.shape) < 0.8) if missing else None
    x = x if observed is None else jnp.where(observed, x, 0)
    valid = np.arange(size) < np.ceil(0.6 * size)
    valid[1] = False
    index = jnp.arange(size, dtype=jnp.uint32)
    extras = {name: jnp.asarray(value) for name, value in (extras or {}).items()}
    batch = Batch(x, observed, jnp.asarray(valid), index, extras)
    where = valid.reshape(-1, *[1] * len(event_shape))
    return batch, batch._replace(x=jnp.where(where, x, other))


def on_each_device(
    jit: Callable, count: int, per_shard: Callable[..., Tree]
) -> Callable[..., Tree]:
    """`(whole, shared) -> tree`: a function of one device's rows of `shared`, on so many devices.

    Args:
      jit: compiles.
      count: of devices.
      per_shard: `(device, whole, rows, across) -> tree`, the same on every device.
    """
    strategy = parallel.pmap(jax.devices()[:count])

    def shard(device, whole, shared):
        size = len(jax.tree.leaves(shared)[0]) // count
        rows = lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, device * size, size)
        return per_shard(device, whole, jax.tree.map(rows, shared), strategy.across)

    return jit(strategy.compile("check", shard))


def _variables(model: Autoencoder, event_shape: Shape) -> Variables:
    """Untrained, but with no parameter at zero and codes away from a prior's centre."""
    variables = model.init(jax.random.key(0), jnp.zeros(event_shape))
    return variables._replace(params=jax.tree.map(lambda p: p + 0.25, variables.params))


def _evaluate(
    model: Autoencoder,
    objective: Objective,
    variables: Variables,
    batch: Batch,
    keys: keys_lib.ExampleKeys,
    across: Any = ALONE,
) -> Found:
    def losses(params):
        inner = variables._replace(params=params)
        samples = objective.samples
        outputs, _ = model.forward(inner, batch, keys, samples=samples, train=True)
        context = Context(model, inner, batch, keys, jnp.int32(STEP), NUM_TRAIN, across)
        loss, metrics = objective(outputs, context)
        each = {term.name: term.per_example(outputs, context) for term in objective.terms}
        metrics = {**metrics, "loss": loss}
        return metrics, (metrics, each, outputs)

    gradients, (metrics, each, outputs) = gradients_by_name(losses, variables.params)
    return Found(metrics, gradients, each, outputs)


def _all_at_once(found, jit, evaluate, variables, variants) -> list[Found]:
    """Every variant under one jit and vmap; a second call must not compile again."""
    traces = []

    def traced(*arguments):
        traces.append(arguments)
        return jax.vmap(evaluate, in_axes=(0, None, 0, 0))(*arguments)

    compiled = jit(traced)
    stack = lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves])
    for order in (variants[::-1], variants):
        objectives, batches, keys = jax.tree.map(stack, *order)
        results = compiled(objectives, variables, batches, keys)
    found.holds("one compile", len(traces) == 1, f"{len(traces)} compilations for one shape")
    pick = lambda i: jax.tree.map(lambda leaf: np.asarray(leaf[i]), results)
    return [pick(i) for i in range(len(variants))]


def _compare(found: Findings, check: str, got: Found, wanted: Found) -> None:
    found.all_equal(check, got.metrics, wanted.metrics, "'{}'")
    found.all_equal(check, got.gradients, wanted.gradients, "the gradient of '{}'")


def _check_weights(found: Findings, objective: Objective, base: Found, doubled: Found) -> None:
    for what, once, twice in (
        ("the loss", base.metrics, doubled.metrics),
        ("the gradient", base.gradients, doubled.gradients),
    ):
        wanted = jax.tree.map(lambda leaf: 2 * leaf, once["loss"])
        found.equal("doubling", twice["loss"], wanted, f"{what} of twice the objective")
    total = sum(term.weight(STEP) * base.metrics[term.name] for term in objective.terms)
    found.equal("weights", base.metrics["loss"], total, "the loss against its weighted terms")


def _check_plain(
    found: Findings, objective: Objective, context: Context, base: Found, dirty: Batch
) -> None:
    """Without jit, the padding left out; then with other values where nothing was observed."""
    rows = np.flatnonzero(np.asarray(context.batch.valid))
    take = functools.partial(jax.tree.map, lambda leaf: jnp.asarray(leaf[rows]))
    outputs, batch = take(base.outputs), take(context.batch)._replace(valid=None)
    context = context._replace(batch=batch, keys=take(context.keys))
    metrics = objective(outputs, context)[1]
    found.all_equal("jit, padding left out", metrics, base.metrics, "'{}'")
    if batch.observed is not None:
        x = jnp.where(batch.observed, batch.x, 3 + 2 * dirty.x[rows])
        moved = objective(outputs, context._replace(batch=batch._replace(x=x)))[1]
        found.all_equal("unobserved entries", moved, metrics, "'{}'")


def _check_precision(found, evaluate, objective, variables, batch, keys) -> None:
    def half(leaf):
        floating = jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        return jnp.asarray(leaf, jnp.bfloat16) if floating else leaf

    variables = variables._replace(params=jax.tree.map(half, variables.params))
    batch = batch._replace(x=half(batch.x))
    result = jax.eval_shape(evaluate, objective, variables, batch, keys)
    for name, value in result.each.items():
        precise = value.dtype in (jnp.float32, jnp.float64)
        found.holds("bfloat16", precise, f"'{name}' is {value.dtype} where inputs are bfloat16")


def _on_devices(jit: Callable, evaluate: Callable[..., Found], count: int) -> Callable[..., Found]:
    def per_shard(device, whole, rows, across):
        del device
        result = evaluate(*whole, *rows, across)
        metrics, gradients = across.mean((result.metrics, result.gradients))
        return metrics, gradients

    compiled = on_each_device(jit, count, per_shard)

    def call(objective, variables, batch, keys):
        metrics, gradients = compiled((objective, variables), (batch, keys))
        return Found(metrics, gradients, {}, None)  # pyright: ignore[reportArgumentType]

    return call
