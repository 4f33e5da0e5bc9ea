"""The contract of recipes: what they build, store and train."""

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax import config
from ae_jax.config.sections import Optimizer
from ae_jax.model import Autoencoder
from ae_jax.recipes.players import arranged
from ae_jax.recipes.recipe import Recipe
from ae_jax.testing._batches import NUM_TRAIN, example_batches, on_devices
from ae_jax.testing._report import COUNTS, Findings, Report, distance, usable
from ae_jax.training.state import TrainState, init_state
from ae_jax.training.step import make_step
from ae_jax.types import ALONE, Array, Batch, Shape, Spec, Variables


def check_recipe(
    recipe: Callable[..., Recipe],
    *arguments: Any,
    event_shape: Shape = (6,),
    kind: str = "real",
    batch_size: int = 16,
    devices: Sequence[int] = COUNTS,
    compiler_options: Mapping[str, Any] | None = None,
    **parts: Any,
) -> Report:
    """Checks a recipe as the library's own are checked.

    Every number among its arguments changes what it builds; its config form survives JSON, if it
    has one; and one training step of it keeps the form of its state, is finite, moves the
    parameters, does not see padding, and has the same metrics, gradients and state, to 1e-5 of
    their norm, on 1, 2, 4 and 8 devices, or on as many of these as there are, and under vmap.

    Args:
      recipe: function that returns a Recipe.
      *arguments: arguments of the recipe, e.g. the size of the latent.
      event_shape: shape of one example.
      kind: kind of the data, as in `ae.Spec`.
      batch_size: examples in the batch, a multiple of the device counts.
      devices: device counts compared; none: only what needs no compilation.
      compiler_options: options of XLA, which can halve the time of the check.
      **parts: keyword arguments of the recipe.

    Returns:
      A Report.

    Raises:
      AssertionError: with every check that failed, and by how much.

    Example:
      >>> import ae_jax as ae
      >>> print(ae.testing.check_recipe(ae.recipes.vae, 2, devices=()))
      the recipe vae: 3 checks passed
        arguments: 0.0e+00
        config: 0.0e+00
        form: 0.0e+00
    """
    findings = Findings(f"the recipe {getattr(recipe, '__name__', recipe)}")
    built = recipe(*arguments, **parts)
    _check_arguments(findings, recipe, inspect.signature(recipe).bind(*arguments, **parts))
    _check_round_trip(findings, built)
    model, objective = built.build(Spec(tuple(event_shape), kind))
    keeping = _keeping_gradients()
    of = (built.players, objective, _shapes_of(model, event_shape), keeping)
    players = arranged(*of, Optimizer(), lambda section: keeping)
    step = make_step(model, players, NUM_TRAIN)
    init = lambda: init_state(model, players, jnp.zeros(event_shape), seed=0)
    x = jax.ShapeDtypeStruct((batch_size, *event_shape), jnp.float32)
    _check_form(findings, step, jax.eval_shape(init), Batch(x))  # pyright: ignore
    counts = usable(devices, batch_size)
    if counts:
        jit = functools.partial(jax.jit, compiler_options=dict(compiler_options or {}))
        state = jit(init)()
        batches = example_batches(jit, model, state.variables, event_shape, batch_size)
        _check_step(findings, jit, step, state, batches, counts)
    return findings.report(counts)


def _check_step(
    findings: Findings,
    jit: Callable,
    step: Callable,
    state: TrainState,
    batches: tuple[Batch, Batch],
    counts: Sequence[int],
) -> None:
    """One step: finite, moving, blind to padding, the same under vmap and on any devices."""
    run = functools.partial(_run, step)
    places = jnp.arange(batches[0].x.shape[0], dtype=jnp.uint32)
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)
    together = jit(jax.vmap(run, in_axes=(None, 0, None)))(state, both, places)
    pick = lambda i: jax.tree.map(lambda leaf: np.asarray(leaf[i]), together)
    plain, padded = pick(0), pick(1)
    findings.finite("finite", plain)
    moved = distance(plain["parameters"], state.variables.params)
    findings.holds("a step", moved > 0, "it leaves the parameters where they were")
    findings.all_equal("padding", padded, plain, "{}")
    per_shard = lambda state, rows, across: run(state, rows[0], rows[1], across)
    for count in counts:
        shared = on_devices(jit, count, per_shard)(state, (batches[0], places))
        check = "vmap" if count == 1 else f"{count} devices"
        findings.all_equal(check, shared, plain, "{}")


def _shapes_of(model: Autoencoder, event_shape: Shape) -> Variables:
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(event_shape))


def _keeping_gradients() -> optax.GradientTransformation:
    """Gradient descent whose state is the gradient: differences of parameters would round it."""
    return optax.chain(optax.trace(decay=0.0), optax.scale(-0.1))


def _run(
    step: Callable, state: TrainState, batch: Batch, places: Array, across: Any = ALONE
) -> dict[str, Any]:
    new, metrics = step(state, batch, places, across)
    return {
        **{f"'{name}'": value for name, value in metrics.items()},
        "the gradient": new.optimizer,
        "the new state": new.variables.state,
        "parameters": new.variables.params,
    }


def _check_arguments(findings: Findings, recipe: Callable, bound: inspect.BoundArguments) -> None:
    """Each number among the arguments, moved alone, changes what is built."""
    bound.apply_defaults()
    before = _built(recipe, bound)
    for name, value in bound.arguments.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        other = 2 * value if isinstance(value, int) else value / 2 or 0.5
        changed = inspect.BoundArguments(bound.signature, dict(bound.arguments) | {name: other})
        same = _built(recipe, changed) == before
        findings.holds(
            "arguments", not same, f"{name}={other!r} builds the same as {name}={value!r}"
        )


def _built(recipe: Callable, bound: inspect.BoundArguments) -> Any:
    built = recipe(*bound.args, **bound.kwargs)
    terms = [(term.name, float(term.scale), term.fn) for term in built.objective.terms]
    shape = built.bottleneck.latent_shape
    return config.for_recipe(built), terms, shape


def _check_round_trip(findings: Findings, built: Recipe) -> None:
    section = config.for_recipe(built)
    model = section["model"].values()
    if config.CUSTOM in (section["objective"], section["corruption"], *model):
        return  # made of Python objects that no config can hold
    again = config.for_recipe(Recipe.from_config(json.loads(json.dumps(section))))
    findings.holds("config", again == section, f"{section} comes back from JSON as {again}")


def _check_form(findings: Findings, step: Callable, state: TrainState, batch: Batch) -> None:
    """A step takes and returns the same tree of shapes and types, as loops on the device need."""
    form = lambda tree: jax.tree.map(lambda leaf: (jnp.shape(leaf), leaf.dtype), tree)
    before, after = form(state), form(jax.eval_shape(step, state, batch)[0])
    findings.holds("form", before == after, f"a step turns {before} into {after}")
