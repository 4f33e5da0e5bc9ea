"""The compiled programs: traced once, fetched from rarely, and equal to a plain loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import config as config_lib
from ae_jax import keys
from ae_jax.data import order
from ae_jax.data.batches import shuffled_index
from ae_jax.recipes.recipe import Recipe
from ae_jax.runs import planning
from ae_jax.training import init_state, make_step
from ae_jax.training import programs as engine
from ae_jax.training.loop import Loop
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.reporting import Reporter
from tests import small

BATCH = small.DEFAULTS["batch_size"]


def plan_of(**fields):
    config = config_lib.complete(small.config(**fields))
    recipe = Recipe.from_config(config)
    return planning.resolve(config, recipe, small.small_test_data())


def loop_of(**fields):
    plan = plan_of(**fields)
    state = small.filled_state(plan.model, plan.players)
    return Loop(plan, state, 0, Reporter(None, 0, 30, progress=False))


@functools.cache
def counted(**cadence):
    before = parallel.counts.copy()
    run = small.train(**cadence)
    return run, parallel.counts - before


@pytest.mark.parametrize(
    "cadence",
    [
        {"log_every": 10, "eval_every": 15, "checkpoint_every": 10},
        {"log_every": 7, "eval_every": 4, "checkpoint_every": 9},
        {"log_every": 100, "eval_every": 100, "checkpoint_every": 100, "steps_per_dispatch": 4},
    ],
)
def test_each_program_is_traced_once_whatever_the_cadence(cadence):
    run, counts = counted(**cadence)
    assert (counts["trace train"], counts["trace evaluate"]) == (1, 1)
    assert run.summary["compiles"] == {"train": 1, "evaluate": 1}


def test_a_resumed_run_traces_each_program_once_more(tmp_path):
    small.train(tmp_path, steps=10)
    run = small.train(tmp_path, steps=30)
    assert run.summary["compiles"] == {"train": 1, "evaluate": 1}


@pytest.mark.parametrize(
    ("log_every", "eval_every", "checkpoint_every"), [(10, 15, 10), (1, 30, 30), (30, 30, 1)]
)
def test_there_is_one_fetch_a_log_an_evaluation_and_a_checkpoint(
    log_every, eval_every, checkpoint_every
):
    cadence = {"log_every": log_every, "eval_every": eval_every}
    _, counts = counted(**cadence, checkpoint_every=checkpoint_every)
    needed = sum(30 // every for every in (log_every, eval_every, checkpoint_every))
    # The run's start fetches its key, its end the state of the returned Run.
    assert counts["fetch"] == needed + 2


@pytest.mark.parametrize("length", [1, 7])
def test_the_length_of_dispatches_does_not_change_the_result(length):
    automatic, _ = counted()
    small.assert_identical(small.train(steps_per_dispatch=length).variables, automatic.variables)


def test_state_and_totals_are_donated():
    loop = loop_of()
    held = jax.tree.leaves((loop.state.variables, loop.state.optimizer, loop.totals))
    kept = jax.tree.leaves((loop.feed.data, loop.root))
    loop.dispatch()
    assert held
    assert all(leaf.is_deleted() for leaf in held)
    assert not any(leaf.is_deleted() for leaf in kept)


def test_an_upload_within_a_dispatch_is_refused():
    loop = loop_of()
    loop.dispatch()
    records, order_seed = loop.feed.data
    loop.feed.data = (records, np.asarray(order_seed))
    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        loop.dispatch()


def test_an_upload_within_an_evaluation_is_refused():
    loop = loop_of()
    loop.evaluate()
    loop.state = loop.state._replace(variables=parallel.fetch(loop.state.variables))
    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        loop.evaluate()


def test_the_log_holds_the_means_of_a_plain_loop_over_the_step():
    points = []
    run = small.train(callbacks=[points.append], steps=20, eval_every=100)
    plan = plan_of(steps=20, eval_every=100)
    init = jax.jit(lambda key, x: init_state(plan.model, plan.players, x, key))
    state = init(jax.random.key(0), np.zeros(small.WIDTH, np.float32))
    step = jax.jit(make_step(plan.model, plan.players, small.TRAIN))
    x, seed = plan.dataset.train.x, order.order_seed(state.root)
    history = []
    for i in range(20):
        places = np.arange(BATCH) + i * BATCH
        index = [
            int(order.order(seed, p // small.TRAIN, p % small.TRAIN, small.TRAIN, np))
            for p in places
        ]
        state, metrics = step(state, ae.Batch(plan.preprocessing.apply(x[index])))
        history.append({name: float(value) for name, value in metrics.items()})
    logged = [point for point in points if point.split == "train"]
    assert [point.step for point in logged] == [10, 20]
    for point, window in zip(logged, (history[:10], history[10:]), strict=True):
        assert set(point.metrics) - {"examples_per_second", "learning_rate"} == set(window[0])
        for name in window[0]:
            mean = np.mean([metrics[name] for metrics in window])
            assert point.metrics[name] == pytest.approx(mean, rel=1e-5, abs=1e-7), name
    assert small.distance(run.variables.params, state.variables.params) < 1e-5


def test_every_example_is_trained_on_once_an_epoch_across_batch_boundaries():
    seed, size = jnp.uint32(5), small.TRAIN
    draw = lambda i: shuffled_index(
        seed, jnp.uint32(0), jnp.uint32(i * BATCH), jnp.arange(BATCH, dtype=jnp.uint32), size
    )
    drawn = np.concatenate([draw(i) for i in range(8)])[: 2 * size]
    assert sorted(drawn[:size]) == sorted(drawn[size:]) == list(range(size))
    assert list(drawn[:size]) != list(drawn[size:])


@pytest.mark.parametrize(
    ("devices", "size"), [(1, 37), (2, 37), (4, 37), (8, 37), (1, 1), (8, 1), (2, 16)]
)
def test_evaluation_counts_every_example_exactly_once(devices, size):
    plan = plan_of()
    test = plan.dataset.test.x[:size]
    variables = small.filled_state(plan.model, plan.players).variables
    strategy = parallel.pmap(jax.devices()[:devices])
    place, sizes = strategy.place, (BATCH, small.TRAIN)
    run = engine.resident_evaluation(
        plan.model, plan.objective, plan.preprocessing, strategy, *sizes
    )
    data = ae.data.Arrays(test).records
    sums, count = run(place(variables), place(jax.random.key(9)), place(np.int32(0)), place(data))
    assert float(count) == size
    values = {name: value / count for name, value in sums.items()}
    expected = in_numpy(variables.params, np.float64(plan.preprocessing.apply(test)))
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        assert float(values[name]) == pytest.approx(value, rel=2e-6), name


def in_numpy(params, x):
    """The means of every metric over the rows of x; only the noise is drawn by JAX."""
    drawn = keys.for_examples(jax.random.key(9), None, np.arange(len(x), dtype=np.uint32)).latent
    noise = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 0), (2,)))(drawn)

    def network(part, x):
        layers = [(np.float64(p["kernel"]), np.float64(p["bias"])) for p in part.values()]
        (w, b), (v, c) = layers  # "dense_0" before "output"
        return np.maximum(x @ w + b, 0) @ v + c

    loc, log_var = np.split(network(params["encoder"], x), 2, axis=1)
    z = loc + np.exp(log_var / 2) * np.float64(noise)
    error = ((network(params["decoder"], z) - x) ** 2).sum(1)
    reconstruction = 0.5 * (error + x.shape[1] * np.log(2 * np.pi)).mean()
    kl = 0.5 * (np.exp(log_var) + loc**2 - 1 - log_var).sum(1).mean()
    bound = reconstruction + kl
    mse = error.mean() / x.shape[1]
    terms = {"reconstruction": reconstruction, "kl": kl, "mse": mse}
    return terms | {"loss": bound, "neg_elbo": bound}


def test_evaluation_is_deterministic_and_independent_of_when_it_happens():
    loop = loop_of()
    loop.evaluate()
    first = dict(loop.metrics["test"])
    loop.evaluate()
    assert loop.metrics["test"] == first
    loop.dispatch()
    loop.evaluate()
    assert loop.metrics["test"] != first


def test_evaluating_more_or_less_often_does_not_change_training():
    often = small.train(eval_every=1, steps_per_dispatch=1)
    small.assert_identical(often.variables, counted()[0].variables)
