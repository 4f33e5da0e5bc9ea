"""The contracts of networks, likelihoods and corruptions."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import keys as keys_lib
from ae_jax.errors import DataError
from ae_jax.testing._batches import on_devices
from ae_jax.testing._report import COUNTS, Findings, Report, usable
from ae_jax.types import ALONE, BATCH_AXIS, Coder, Likelihood, Network, Shape, Tree

SURPRISE = 6.0  # standard errors that a mean over samples may be off


def check_coder(
    coder: Coder | Network,
    *,
    input_shape: Shape = (6,),
    output_shape: Shape = (4,),
    batch_size: int = 16,
    devices: Sequence[int] = COUNTS,
    compiler_options: Mapping[str, Any] | None = None,
) -> Report:
    """Checks an encoder or decoder as the library's own are checked.

    It emits its shape; outputs and gradients are finite; its state keeps its form; permuting a
    training batch with its keys permutes the outputs; in evaluation the output of an example is
    that of the example alone, without jit and without keys; and outputs, gradients and new state in
    training are the same on any number of devices, batch normalisation included.

    Args:
      coder: Coder, or Network to be bound to `output_shape`.
      input_shape: shape of one example.
      output_shape: shape of one output.
      batch_size: examples in the batch, a multiple of the device counts.
      devices: device counts compared.
      compiler_options: options of XLA.

    Returns:
      A Report.

    Raises:
      AssertionError: with every check that failed, and by how much.

    Example:
      >>> import ae_jax as ae
      >>> report = ae.testing.check_coder(ae.networks.linear(), devices=())
      >>> sorted(report.errors)
      ['finite', 'form', 'jit and vmap', 'permutation', 'shape']
    """
    findings = Findings("the network")
    coder = coder.bind(output_shape) if isinstance(coder, Network) else coder
    jit = functools.partial(jax.jit, compiler_options=dict(compiler_options or {}))
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(batch_size, *input_shape)), jnp.float32)
    keys = keys_lib.for_examples(jax.random.key(1), 0, jnp.arange(batch_size)).dropout
    params, state = jit(coder.init)(jax.random.key(0), x[0])

    evaluate = jax.vmap(lambda x: coder.apply(params, state, x)[0], axis_name=BATCH_AXIS)
    shape = jax.eval_shape(evaluate, x).shape[1:]
    findings.holds("shape", shape == output_shape, f"it emits {shape}, not {output_shape}")
    if findings.failures:
        return findings.report()

    run = functools.partial(_train_coder, coder, output_shape)
    order = rng.permutation(batch_size)
    compiled = jit(run)
    plain = compiled((params, state), (x, keys))
    findings.finite("finite", plain)
    permuted = compiled((params, state), (x[order], keys[order]))
    moved = {**plain, "the output": plain["the output"][order]}
    findings.all_equal("permutation", permuted, moved, "{}")
    form = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
    new = plain["the new state"]
    findings.holds("form", form(new) == form(state), f"state {form(state)} becomes {form(new)}")

    single = {f"example {i}": evaluate(x[i : i + 1])[0] for i in (0, batch_size - 1)}
    rows = jit(evaluate)(x)
    together = {name: rows[int(name.split()[1])] for name in single}
    findings.all_equal("jit and vmap", together, single, "the output of {} in evaluation")
    counts = usable(devices, batch_size)
    for count in counts:
        shared = on_devices(jit, count, run)((params, state), (x, keys))
        findings.all_equal(f"{count} devices", shared, plain, "{}")
    return findings.report(counts)


def _train_coder(
    coder: Coder, output_shape: Shape, whole: tuple[Tree, Tree], rows: Any, across: Any = ALONE
) -> dict[str, Tree]:
    (params, state), (x, keys) = whole, rows
    bend = jnp.cos(jnp.arange(np.prod(output_shape, dtype=int))).reshape(output_shape)

    def loss(params):
        one = lambda x, key: coder.apply(params, state, x, key=key, train=True)[::2]
        y: Any
        y, new = jax.vmap(one, axis_name=BATCH_AXIS, out_axes=(0, None))(x, keys)
        return jnp.mean(jnp.sum(jnp.tanh(y + bend), axis=range(1, y.ndim))), (y, new)

    gradient, (y, new) = jax.grad(loss, has_aux=True)(params)
    return {
        "the output": across.gather(y),
        "the gradient": across.mean(gradient),
        "the new state": new,
    }


def check_likelihood(
    likelihood: Likelihood,
    *,
    event_shape: Shape = (6,),
    outside: Any = None,
    has_mean: bool = True,
    draws: int = 4096,
    compiler_options: Mapping[str, Any] | None = None,
) -> Report:
    """Checks a likelihood as the library's own are checked.

    Shapes; finite values and gradients; jit and vmap change nothing; bfloat16 inputs give float32;
    unobserved entries cost nothing, whatever they hold; samples lie in the support, have `mean` as
    their mean, and are those of `log_prob`: over samples of p(x | y) the ratio p(x | y') / p(x | y)
    has mean 1, which a forgotten constant or a variance in place of a deviation breaks.

    Args:
      likelihood: Likelihood to check.
      event_shape: shape of one example.
      outside: array that `validate` must refuse, if any.
      has_mean: whether `mean` is that of the samples (classes have none).
      draws: samples drawn for the two means.
      compiler_options: options of XLA.

    Returns:
      A Report.

    Raises:
      AssertionError: with every check that failed, and by how much.

    Example:
      >>> import ae_jax as ae
      >>> report = ae.testing.check_likelihood(ae.likelihoods.gaussian(), draws=512)
      >>> report.part
      'the likelihood'
    """
    findings, rng = Findings("the likelihood"), np.random.default_rng(0)
    jit = functools.partial(jax.jit, compiler_options=dict(compiler_options or {}))
    params = likelihood.init(jax.random.key(0))
    y, other = rng.normal(size=(2, *likelihood.parameter_shape(event_shape))).astype(np.float32)
    keys = jax.random.split(jax.random.key(1), draws)
    x = jit(jax.vmap(likelihood.sample, (None, None, 0)))(params, y, keys)
    log_prob = functools.partial(likelihood.log_prob, params)
    _check_shapes(findings, likelihood, params, y, event_shape)
    findings.holds(
        "support", likelihood.validate(np.asarray(x)) is None, "validate returns a value"
    )
    if outside is not None:
        findings.holds("support", _refuses(likelihood, outside), f"validate accepts {outside!r}")

    observed = jnp.asarray(rng.random(event_shape) < 0.5)
    graded = jit(jax.value_and_grad(likelihood.log_prob, (0, 1)))
    value, gradient = graded(params, y, x[0], observed)
    findings.finite("finite", {"log_prob": value, "its gradient": gradient})
    dirty = graded(params, y, jnp.where(observed, x[0], x[1]), observed)
    findings.equal("unobserved entries", dirty, (value, gradient), "log_prob or its gradient")

    along, rates = jit(jax.vmap(lambda x: jax.jvp(lambda y: log_prob(y, x, None), (y,), (other,))))(
        x
    )
    plain = jnp.stack([log_prob(y, row, None) for row in x[:2]])
    findings.equal("jit and vmap", along[:2], plain, "log_prob")
    step = 0.7 / np.sqrt(np.mean(np.square(rates)) + 1e-12)
    beside = jit(jax.vmap(lambda x: log_prob(y + step * other, x, None)))(x)
    _check_mean(findings, "density of the samples", np.exp(beside - along), 1.0, "p(x|y') / p(x|y)")
    if has_mean:
        mean = likelihood.mean(params, y)
        _check_mean(findings, "mean of the samples", np.asarray(x), np.asarray(mean), "x")
    return findings.report()


def _check_shapes(findings, likelihood, params, y, event_shape) -> None:
    x = jax.ShapeDtypeStruct(event_shape, jnp.float32)
    for name, more in (("mean", ()), ("mode", ()), ("sample", (jax.random.key(0),))):
        shape = jax.eval_shape(getattr(likelihood, name), params, y, *more).shape
        findings.holds(
            "shape", shape == event_shape, f"{name} has shape {shape}, not {event_shape}"
        )
    for dtype in (jnp.float32, jnp.bfloat16):
        halves = (jax.ShapeDtypeStruct(v.shape, dtype) for v in (y, x))
        value = jax.eval_shape(likelihood.log_prob, params, *halves, None)
        got = (value.shape, value.dtype)
        findings.holds("precision", got == ((), jnp.float32), f"log_prob of {dtype} is {got}")


def _refuses(likelihood: Likelihood, outside: Any) -> bool:
    try:
        likelihood.validate(np.asarray(outside))
    except DataError:
        return True
    return False


def _check_mean(findings: Findings, check: str, x: Any, wanted: Any, what: str) -> None:
    """Wants the mean of many draws, within what chance allows."""
    x = np.asarray(x, np.float64)
    mean, wanted = x.mean(0), np.broadcast_to(wanted, x.shape[1:])
    error, allowed = np.abs(mean - wanted), SURPRISE * x.std(0) / np.sqrt(len(x)) + 1e-5
    worst = np.unravel_index(np.argmax(error / allowed), error.shape)
    numbers = f"{mean[worst]:.5g}, not {wanted[worst]:.5g} (allowed {allowed[worst]:.2g})"
    findings.holds(check, np.all(error <= allowed), f"the mean of {what} is {numbers}")


def check_corruption(
    corruption: Any,
    *,
    event_shape: Shape = (6,),
    dtype: Any = jnp.float32,
    compiler_options: Mapping[str, Any] | None = None,
) -> Report:
    """Checks a corruption as the library's own are checked.

    Shape and dtype stay; the same key gives the same; jit and vmap change nothing; unobserved
    entries stay as they are; `info["mask"]`, if there is one, covers all that changed; gradients
    with respect to floating x are finite.

    Args:
      corruption: corruption `(key, x, observed) -> (x̃, info)` to check.
      event_shape: shape of one example.
      dtype: dtype of x; integers are drawn from 0 to 4, floats from [0, 1).
      compiler_options: options of XLA.

    Returns:
      A Report.

    Raises:
      AssertionError: with every check that failed, and by how much.

    Example:
      >>> import ae_jax as ae
      >>> report = ae.testing.check_corruption(ae.corruptions.masking(0.5))
      >>> report.part
      'the corruption'
    """
    findings, rng = Findings("the corruption"), np.random.default_rng(0)
    floating = jnp.issubdtype(dtype, jnp.floating)
    drawn = rng.random((8, *event_shape)) if floating else rng.integers(0, 5, (8, *event_shape))
    x, observed = jnp.asarray(drawn, dtype), jnp.asarray(rng.random(drawn.shape) < 0.8)
    keys = jax.random.split(jax.random.key(1), len(x))

    jit = functools.partial(jax.jit, compiler_options=dict(compiler_options or {}))
    corrupted, info = jit(jax.vmap(corruption))(keys, x, observed)
    form = (corrupted.shape, corrupted.dtype)
    findings.holds("form", form == (x.shape, x.dtype), f"{(x.shape, x.dtype)} becomes {form}")
    stays = np.asarray(corrupted == x)[~np.asarray(observed)].all()
    findings.holds("unobserved entries", stays, "some that are not observed were changed")
    if "mask" in info:
        right = info["mask"].dtype == bool and bool(jnp.all(info["mask"] | (corrupted == x)))
        findings.holds("mask", right, "info['mask'] is not a bool array that covers every change")
    for _ in range(2):  # twice, for whoever draws from a generator of their own
        alone = [corruption(keys[i], x[i], observed[i])[0] for i in range(2)]
        findings.equal("jit and vmap", corrupted[:2], jnp.stack(alone), "x̃", 1e-6)
    if floating:
        one = lambda x: jnp.sum(jnp.sin(corruption(keys[0], x, observed[0])[0]))
        findings.finite("finite", {"x̃": corrupted, "its gradient": jit(jax.grad(one))(x[0])})
    return findings.report()
