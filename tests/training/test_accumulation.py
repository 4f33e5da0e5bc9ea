"""Microbatches and the running average against sums written out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ae_jax as ae
from ae_jax.training import averaging, make_step
from tests import fast, small
from tests.training.test_step import BATCH, by_hand, linear_autoencoder, players_of

NUMBER = 4
VALID = np.arange(BATCH) % 5 != 3
VALID[8:12] = False  # the third microbatch is all padding
X = small.arrays()[:BATCH]


@ae.term(batch_coupled=True)
def squared_mean(outputs, context):
    """‖mean z‖² over the batch."""
    return jnp.sum(context.mean(outputs.z[:, 0]) ** 2)


def microbatches(tree):
    return jax.tree.map(lambda leaf: jnp.reshape(leaf, (NUMBER, -1, *leaf.shape[1:])), tree)


def stepped(objective, batch, **options):
    """State before, state after a step of SGD at rate 1, and metrics."""
    model, _ = linear_autoencoder()
    players = players_of(model, objective, optax.sgd(1.0))
    state = small.filled_state(model, players)
    step = fast.jit(make_step(model, players, 100, NUMBER, **options))
    return state, *step(state, microbatches(batch))


@pytest.mark.parametrize("valid", [None, VALID])
def test_the_gradient_of_microbatches_is_that_of_all_valid_examples(valid):
    _, objective = linear_autoencoder()
    state, new, metrics = stepped(objective, ae.Batch(X, valid=valid))
    rows = X if valid is None else X[valid]
    loss, grads = by_hand(state.variables.params, np.float64(rows))
    assert float(metrics["loss"]) == pytest.approx(loss, rel=1e-6)
    moved = jax.tree.map(
        lambda old, after: old - after, state.variables.params, new.variables.params
    )
    assert small.distance(moved, grads) < 1e-5
    assert int(new.step) == 1


def test_a_coupled_term_is_the_mean_over_microbatches_weighed_by_what_counts():
    _, objective = linear_autoencoder()
    state, _, metrics = stepped(objective + squared_mean(), ae.Batch(X, valid=VALID))
    own = state.variables.params["encoder"]["output"]
    z = X @ np.float64(own["kernel"]) + np.float64(own["bias"])
    parts = [
        part[keep] for part, keep in zip(z.reshape(4, 4, -1), VALID.reshape(4, 4), strict=True)
    ]
    kept = [part for part in parts if len(part)]
    value = sum(len(part) * (part.mean(0) ** 2).sum() for part in kept) / VALID.sum()
    assert len(kept) == 3
    assert float(metrics["squared_mean"]) == pytest.approx(value, rel=1e-5)
    assert value != pytest.approx((z[VALID].mean(0) ** 2).sum(), rel=0.1)


def test_a_microbatch_that_is_not_finite_skips_the_update():
    bad = X.copy()
    bad[5, 0] = np.nan
    _, objective = linear_autoencoder()
    state, new, metrics = stepped(objective, ae.Batch(bad))
    assert float(metrics["skipped"]) == 1
    small.assert_identical(new.variables.params, state.variables.params)


def test_the_average_follows_the_parameters_and_leaves_skipped_updates_out():
    model, objective = linear_autoencoder()
    node = small.poison(first=2, last=2)
    players = players_of(model, objective + node, optax.sgd(0.05))
    state = small.filled_state(model, players)
    state = state._replace(average=state.variables.params, step=jnp.int32(0))
    step = fast.jit(averaging(make_step(model, players, 100), 0.3))
    average = jax.tree.map(np.float64, state.average)
    for i in range(6):
        state, metrics = step(state, ae.Batch(jnp.asarray(X)))
        assert float(metrics["skipped"]) == (i == 2)
        kept = 1.0 if i == 2 else min(0.3, (1 + i) / (10 + i))
        mix = lambda a, p: kept * a + (1 - kept) * np.float64(p)  # noqa: B023
        average = jax.tree.map(mix, average, state.variables.params)
        assert small.distance(state.average, average) < 1e-6
    assert small.distance(state.average, state.variables.params) > 1e-3


def test_a_run_keeps_evaluates_and_resumes_its_average(tmp_path):
    fields = {"average_decay": 0.9, "checkpoint_every": 15, "eval_every": 15}
    with small.compiled_once():
        small.train(tmp_path, steps=15, **fields)
        run, whole = small.train(tmp_path, **fields), small.train(**fields)
    small.assert_identical(whole.variables, run.variables)
    tree = small.newest(tmp_path)
    assert small.distance(tree["average"], tree["params"]) > 1e-3
    small.assert_identical(run.variables.params, tree["average"])
    loaded = ae.load(tmp_path)
    small.assert_identical(loaded.variables, run.variables)
    found, told = loaded.evaluate(), run.summary["metrics"]["test"]
    assert found == pytest.approx(told, rel=1e-6)
