"""A tiny data set, its models and runs, shared by the tests of whole runs."""

import collections
import contextlib
import functools
import socket
from collections.abc import Iterator
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

import ae_jax as ae
from ae_jax._registry import SOURCES
from ae_jax.runs.pictures import Pictures
from ae_jax.training import TrainState
from ae_jax.training import programs as engine
from ae_jax.training.checkpoint import Checkpoints
from ae_jax.training.parallel import strategies as parallel

TRAIN, TEST, WIDTH = 61, 37, 6  # sizes that no batch and no device count divides
SOURCE = "small_test_data"
DEFAULTS = {
    "batch_size": 16,
    "steps": 30,
    "log_every": 10,
    "eval_every": 15,
    "checkpoint_every": 10,
}


def arrays() -> np.ndarray:
    """`[TRAIN + TEST, WIDTH]` float32 on a plane, with noise."""
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(TRAIN + TEST, 2)) @ rng.normal(size=(2, WIDTH))
    return (plane + 0.1 * rng.normal(size=plane.shape)).astype(np.float32)


@SOURCES.register
def small_test_data() -> ae.data.Dataset:
    """The arrays as a source that configs can name."""
    x = arrays()
    return ae.data.Dataset(ae.data.Arrays(x[:TRAIN]), ae.data.Arrays(x[TRAIN:]))


def vae() -> Any:
    """A variational autoencoder with 16 hidden units and two latents."""
    network = ae.networks.mlp((16,))
    return ae.recipes.vae(2, encoder=network, decoder=network, likelihood=ae.likelihoods.gaussian())


@ae.term
def poison(outputs: Any, context: Any, first: int, last: int) -> Any:
    """NaN at the steps from first to last, both included, and zero at all others."""
    bad = (context.step >= first) & (context.step <= last)
    return jnp.where(bad, jnp.nan, 0.0) + 0.0 * outputs.log_px[:, 0]  # of which it has a gradient


def config(recipe: Any = None, devices: int = 1, **fields: Any) -> dict[str, Any]:
    """A complete config; fields are the training section's, or whole sections."""
    made = ae.config.for_recipe(recipe or vae())
    made["data"]["source"] = SOURCE
    made["parallel"]["devices"] = devices
    made["training"] |= DEFAULTS
    for name, value in fields.items():
        if name in made:
            made[name] = {**made[name], **value}
        else:
            made["training"][name] = value
    return made


def train(workdir: Any = None, callbacks: Any = (), figures: bool = False, **fields: Any) -> ae.Run:
    """A run of `config(**fields)`, quiet, without the figures that take longer than training."""
    made = config(**fields)
    if figures:
        return ae.fit_config(made, workdir, callbacks=callbacks, progress=False)
    return fit_quietly(made, workdir, callbacks=callbacks)


def fit_quietly(made: Any, workdir: Any = None, **options: Any) -> ae.Run:
    """A run of a config, without output and figures."""
    with mock.patch.object(Pictures, "draw"):
        return ae.fit_config(made, workdir, progress=False, **options)


def filled_state(model: Any, players: Any, seed: int = 0) -> TrainState:
    """A state of random parameters, without compiling what draws the model's own."""
    rng = np.random.default_rng(seed)
    example = np.zeros(WIDTH, np.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), example)
    draw = lambda leaf: jnp.asarray(0.4 * rng.normal(size=leaf.shape), leaf.dtype)
    params = jax.tree.map(draw, variables.params)
    own = lambda player: {name: params[name] for name in player.params}
    zero = np.int32(0)
    return TrainState(
        variables=ae.Variables(params, {}),
        optimizer={player.name: player.optimizer.init(own(player)) for player in players},
        average={},
        root=jax.random.key(seed),
        step=zero,
        skipped=zero,
        skipped_in_a_row=zero,
    )


PROGRAMS = ("training", "evaluation")


@contextlib.contextmanager
def compiled_once() -> Iterator[None]:
    """Within it, runs of the same model, devices and default optimizer share their programs."""
    programs: dict[Any, Any] = {}

    def shared(build):
        def program(model, what, preprocessing, strategy, *sizes):
            parts = (model.encoder, model.decoder, model.bottleneck, model.likelihood)
            nodes = tuple(part.node for part in (*parts, preprocessing))
            key = (build, nodes, strategy.name, len(strategy.devices), sizes)
            if key not in programs:
                programs[key] = build(model, what, preprocessing, strategy, *sizes)
            return programs[key]

        return program

    names = [f"{kind}_{what}" for kind in ("resident", "streamed") for what in PROGRAMS]
    with contextlib.ExitStack() as stack:
        for name in names:
            patched = mock.patch.object(engine, name, shared(getattr(engine, name)))
            stack.enter_context(patched)
        yield


@contextlib.contextmanager
def small_shards() -> Iterator[None]:
    """Within it, `fsdp` splits even the smallest leaves."""
    every = functools.partial(parallel.fsdp, tile=(1, 1))
    with mock.patch.dict(parallel.STRATEGIES, fsdp=every):
        yield


@contextlib.contextmanager
def compilations() -> Iterator[collections.Counter[str]]:
    """How often XLA compiled each function within it, by name."""
    counted: collections.Counter[str] = collections.Counter()
    compiled = "/jax/core/compile/backend_compile_duration"

    def count(event: str, _: float, fun_name: str = "", **__: Any) -> None:
        counted.update([fun_name] * (event == compiled))

    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        yield counted
    finally:
        jax.monitoring.unregister_event_duration_listener(count)


def free_port() -> str:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return str(probe.getsockname()[1])


def newest(workdir: Any, step: int | None = None) -> dict[str, Any]:
    """The tree of a workdir's newest checkpoint: everything that changes while training."""
    with Checkpoints(epath.Path(workdir), read_only=True) as checkpoints:
        restored = checkpoints.restore(step)
    assert restored is not None
    assert not restored.passed_over
    return restored.tree


def steps_of(workdir: Any) -> list[int]:
    """The steps of a workdir's finished checkpoints."""
    with Checkpoints(epath.Path(workdir), read_only=True) as checkpoints:
        return checkpoints.steps()


def leaves(tree: Any) -> dict[str, np.ndarray]:
    """A tree's leaves by path."""
    paths = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in paths}


def assert_identical(tree: Any, other: Any) -> None:
    """Both trees have the same leaves, bit for bit."""
    ours, theirs = leaves(tree), leaves(other)
    assert ours
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()]
    assert not different, f"different: {different}"


def distance(tree: Any, other: Any) -> float:
    """‖a - b‖ / ‖b‖ over all leaves."""
    flat = lambda t: np.concatenate([leaf.ravel() for leaf in leaves(t).values()])
    ours, theirs = flat(tree).astype(np.float64), flat(other).astype(np.float64)
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
