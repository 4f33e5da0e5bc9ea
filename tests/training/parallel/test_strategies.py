"""One table: every strategy, on any number of devices, trains what one device trains."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ae_jax as ae
from ae_jax.config.sections import Optimizer
from ae_jax.data.preprocessing import none
from ae_jax.data.source import Records
from ae_jax.recipes.players import arranged
from ae_jax.training import init_state
from ae_jax.training import programs as engine
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.step import metric_names
from tests import fast, small
from tests.recipes.test_recipes import FIRST, GAMES, NAMES, OPTIONS, networks_of

BATCH, SIZE, STEPS = 32, 61, 5  # the data end within the second batch
TOLERANCE = 1e-5
RNG = np.random.default_rng(0)
VALID = np.arange(SIZE) % 7 != 3  # unevenly over devices and microbatches
NETWORK = ae.networks.mlp((8,), "tanh")
PARTS = {"encoder": NETWORK, "decoder": NETWORK}
NORMALISED = ae.networks.mlp((8,), "tanh", normalisation="batch")
DROPPED = ae.networks.mlp((8,), "tanh", dropout=0.3)
LIKELIHOOD = {"likelihood": ae.likelihoods.gaussian()}


class Case(NamedTuple):
    """A recipe, and whether its gradients are a mean of those of single examples."""

    recipe: Any
    separable: bool = True
    missing: bool = False
    shape: tuple[int, ...] = (6,)
    kind: str = "real"


CASES = {
    "plain": Case(ae.recipes.autoencoder(4, **PARTS, **LIKELIHOOD)),
    "dropout": Case(ae.recipes.vae(4, encoder=DROPPED, decoder=DROPPED, **LIKELIHOOD)),
    "batch-coupled": Case(
        ae.recipes.wae_mmd(4, weight=1.0, encoder=NORMALISED, decoder=NETWORK, **LIKELIHOOD),
        separable=False,
    ),
    "bottleneck state": Case(ae.recipes.vq_vae((3, 4), num_codes=8, **PARTS)),
    "masks": Case(
        ae.recipes.denoising(4, corruption=ae.corruptions.masking(0.4), **PARTS, **LIKELIHOOD),
        missing=True,
    ),
}
"""The last four have dropout, a coupled term with normalisation over the batch, a codebook of
moving averages, and a corruption mask with missing entries."""

MILDER = {"capacity_vae": {"gamma": 1.0}, "info_vae": {"scale": 10.0}}
"""With weights of 1,000 five steps of SGD diverge, and an unbiased discrepancy near zero, whose
summands cancel, brings a thousand times their rounding into the loss."""
EARLIER = {"vq_gan": {"start": 2}}
"""A critic that waits for longer than these steps would not be looked at."""


def other(name):
    options = dict(OPTIONS.get(name, {})) | MILDER.get(name, {}) | EARLIER.get(name, {})
    shape, kind = options.pop("event_shape", (6,)), options.pop("kind", "real")
    parts = networks_of(name, NETWORK)
    return Case(
        getattr(ae.recipes, name)(FIRST.get(name, 4), **parts, **options), shape=shape, kind=kind
    )


@functools.cache
def case_of(name):
    return CASES[name] if name in CASES else other(name)


def either() -> optax.GradientTransformation:
    """SGD or, where its state says so, Adam: both from one compilation; it keeps the gradient."""
    adam, sgd = optax.adam(3e-3, eps=1e-3), optax.sgd(3e-3)
    init = lambda params: (jnp.float32(0), params, adam.init(params))

    def update(grads, state, params):
        chosen, _, inner = state
        by_adam, inner = adam.update(grads, inner, params)
        by_sgd, _ = sgd.update(grads, sgd.init(params), params)
        pick = lambda a, s: jnp.where(chosen > 0, a, s)
        return jax.tree.map(pick, by_adam, by_sgd), (chosen, grads, inner)

    return optax.GradientTransformation(init, update)


@functools.cache
def setting(name):
    """Model, players, first state and data of a case."""
    case = case_of(name)
    model, objective = case.recipe.build(ae.Spec(case.shape, case.kind))
    example = np.zeros(case.shape, np.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), example)
    of = (case.recipe.players, objective, variables, either())
    players = arranged(*of, Optimizer(), lambda section: either())
    state = jax.device_get(fast.jit(lambda: init_state(model, players, example, 0))())
    x = RNG.normal(size=(SIZE, *case.shape)).astype(np.float32)
    x = (x > 0).astype(np.float32) if case.kind == "binary" else x
    observed = RNG.random(x.shape) < 0.8 if case.missing else None
    x = x if observed is None else np.where(observed, x, 0)
    return model, players, state, Records(x, observed=observed, valid=VALID)


def strategy_of(name, devices):
    """The strategy, with even the smallest leaves split."""
    chosen = jax.devices()[:devices]
    if name != "fsdp":
        return parallel.STRATEGIES[name](chosen)
    shape = {"data": 2, "fsdp": devices // 2} if devices > 2 else None
    return parallel.fsdp(chosen, shape, tile=(1, 1))


@functools.cache
def trained(name, strategy, devices, accumulation):
    """Loss, gradient, and variables after some steps of SGD and of Adam."""
    model, players, state, records = setting(name)
    made = strategy_of(strategy, devices)
    sizes = (BATCH, SIZE, accumulation)
    run = fast.jit(engine.resident_training(model, players, none(), made, *sizes))
    data = made.place((records, np.uint32(3)))
    zeros = made.place({key: np.zeros((), np.float32) for key in metric_names(players)})

    def after(steps, adam):
        chosen = np.float32(adam)
        optimizer = {name: (chosen, *rest) for name, (_, *rest) in state.optimizer.items()}
        placed = made.place_state(state._replace(optimizer=optimizer))
        where = made.place(engine.position(0, SIZE, steps, True))
        new, totals = run(placed, zeros, data, where)
        gradient = {name: kept[1] for name, kept in new.optimizer.items()}
        return parallel.fetch((new.variables, gradient, totals))

    _, gradient, totals = after(1, False)
    assert totals["skipped"] == 0
    longer = {"sgd, 20 steps": after(20, False)[0]} if name in GAMES else {}
    return longer | {
        "loss": {key: totals[key] for key in totals if not key.endswith(("skipped", "grad_norm"))},
        "gradient": gradient,
        "sgd": after(STEPS, False)[0],
        "adam": after(STEPS, True)[0],
    }


def assert_equal(found, expected):
    distances = {key: small.distance(found[key], expected[key]) for key in expected}
    assert max(distances.values()) <= TOLERANCE, distances


CROSS = [
    (strategy, devices)
    for strategy in ("pmap", "shard_map", "fsdp")
    for devices in (1, 2, 4, 8)
    if (strategy, devices) != ("pmap", 1)
]


TURNS = [
    (name, strategy)
    for place, name in enumerate(NAMES)
    for turn, strategy in enumerate(parallel.STRATEGIES)
    if name in GAMES or place % 3 == turn
]
"""Games under every strategy, the others under one in turn: what may differ is in `CASES`."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "devices", "accumulation"),
    [(*cross, 1) for cross in CROSS] + [(strategy, 4, 4) for strategy in parallel.STRATEGIES],
)
@pytest.mark.parametrize("name", CASES)
def test_training_is_that_of_one_device(name, strategy, devices, accumulation):
    one = trained(name, "pmap", 1, accumulation)
    assert_equal(trained(name, strategy, devices, accumulation), one)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.separable])
def test_microbatches_change_nothing_where_nothing_couples_a_batch(name):
    assert_equal(trained(name, "pmap", 1, 4), trained(name, "pmap", 1, 1))


@pytest.mark.slow
def test_microbatches_change_what_couples_a_batch():
    four, one = (trained("batch-coupled", "pmap", 1, n)["gradient"] for n in (4, 1))
    assert small.distance(four, one) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_five_steps_move_the_parameters(name):
    first, found = setting(name)[2].variables.params, trained(name, "pmap", 1, 1)
    for how in ("sgd", "adam"):
        assert small.distance(found[how].params, first) > 100 * TOLERANCE, how
    assert small.distance(found["sgd"].params, found["adam"].params) > 100 * TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(("name", "strategy"), TURNS)
def test_every_recipe_trains_on_four_devices_as_on_one(name, strategy):
    assert_equal(trained(name, strategy, 4, 1), trained(name, "pmap", 1, 1))


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "devices"), [("shard_map", 2), ("fsdp", 8)])
@pytest.mark.parametrize("name", GAMES)
def test_every_game_trains_on_two_and_eight_devices_as_on_one(name, strategy, devices):
    assert_equal(trained(name, strategy, devices, 1), trained(name, "pmap", 1, 1))


@pytest.mark.devices(8)
@pytest.mark.parametrize("strategy", ["shard_map", "fsdp"])
def test_accumulated_training_on_eight_devices_is_that_of_one(strategy):
    assert_equal(trained("dropout", strategy, 8, 4), trained("dropout", "pmap", 1, 4))
