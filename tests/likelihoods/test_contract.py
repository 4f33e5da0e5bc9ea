"""What every likelihood keeps: one table of cases, one oracle each, all properties."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import config
from ae_jax.registry import LIKELIHOODS
from tests.likelihoods.cases import (
    CASES,
    Case,
    compiled,
    extreme_batch,
    on_device,
    random_batch,
)
from tests.losses.properties import PRECISIONS, assert_close, finite_differences

BATCH, DRAWS = 16, 20_000
UNDERFLOW = 1e-30  # what float32 flushes to zero, times 1e5


@pytest.fixture(params=CASES, ids=lambda case: case.id)
def case(request) -> Case:
    return request.param


def test_every_registered_likelihood_is_in_the_table_and_exported():
    ours = {n for n, f in LIKELIHOODS.factories.items() if f.__module__.startswith("ae_jax.")}
    assert ours == {case.name for case in CASES} == set(ae.likelihoods.__all__)


def test_its_node_survives_json(case):
    plain = json.loads(json.dumps(config.to_plain(case.part.node)))
    again = LIKELIHOODS.build(plain)
    assert again.node == case.part.node
    shape = case.shapes[0]
    assert again.parameter_shape(shape) == case.part.parameter_shape(shape)


def test_shapes_agree_for_every_event(case):
    key, precision = jax.random.key(0), jnp.float32
    for shape in case.shapes:
        y = jax.ShapeDtypeStruct(case.part.parameter_shape(shape), precision)
        x = jax.ShapeDtypeStruct(shape, precision)
        assert jax.eval_shape(case.part.log_prob, case.params, y, x, None).shape == ()
        for function, more in (("mean", ()), ("mode", ()), ("sample", (key,))):
            result = jax.eval_shape(getattr(case.part, function), case.params, y, *more)
            assert (result.shape, result.dtype) == (shape, precision), function


@PRECISIONS
def test_log_prob_equals_the_reference(case, dtype, tolerance):
    batches = [random_batch(case, shape, BATCH) for shape in case.shapes]
    if dtype == np.float64:
        batches = batches[:1]
    with jax.enable_x64(dtype == np.float64):
        for y, x in [*batches, extreme_batch(case)]:
            mask = np.random.default_rng(2).random(x.shape) < 0.8
            params, outputs, target = on_device(dtype, case.params, y, x)
            actual = compiled(case.id, "log_prob")(params, outputs, target, mask)
            assert actual.dtype == dtype
            for value, *example in zip(actual, y, x, mask, strict=True):
                expected, magnitude = case.reference(params, *example)
                assert_close(value, expected, magnitude + UNDERFLOW, tolerance)


def test_gradients_equal_finite_differences_of_the_reference(case):
    y, x = (v[0] for v in random_batch(case, case.shapes[0], 1))
    leaves, tree = jax.tree.flatten(case.params)

    def reference(outputs, *leaves):
        return case.reference(jax.tree.unflatten(tree, leaves), outputs, x)[0]

    arrays = tuple(np.asarray(v, np.float64) for v in (y, *leaves))
    wanted = finite_differences(reference, arrays)
    with jax.enable_x64(True):
        params, outputs, target = on_device(np.float64, case.params, y[None], x[None])
        mask = np.ones(target.shape, bool)
        _, (by_params, by_y) = compiled(case.id, "gradients")(params, outputs, target, mask)
    for got, expected in zip([by_y, *jax.tree.leaves(by_params)], wanted, strict=True):
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(got[0], expected, rtol=0, atol=1e-6 * scale)


def test_value_and_gradient_are_finite_at_extremes(case):
    y, x = extreme_batch(case)
    results = compiled(case.id, "gradients")(case.params, y, x, np.ones(x.shape, bool))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(results))


def test_jit_and_vmap_change_nothing(case):
    y, x = random_batch(case, case.shapes[0], BATCH)
    together = compiled(case.id, "log_prob")(case.params, y, x, np.ones(x.shape, bool))
    for i in range(2):
        alone = case.part.log_prob(case.params, jnp.asarray(y[i]), jnp.asarray(x[i]), None)
        _, magnitude = case.reference(case.params, y[i], x[i])
        assert_close(together[i], float(alone), magnitude, 1e-6)


def test_bfloat16_is_computed_in_float32(case):
    y, x = (jnp.asarray(v[0], jnp.bfloat16) for v in random_batch(case, case.shapes[0], 1))
    actual = case.part.log_prob(case.params, y, x, None)
    rounded = (v.astype(jnp.float32) for v in (y, x))
    assert actual.dtype == jnp.float32
    assert actual == case.part.log_prob(case.params, *rounded, None)


def test_unobserved_entries_cost_nothing(case):
    """Neither the entries alone nor all of an example, whatever x holds there."""
    y, x = random_batch(case, case.shapes[0], 64)
    mask = np.random.default_rng(3).random(x.shape) < 0.5
    mask[-1] = False
    evaluate = functools.partial(compiled(case.id, "gradients"), case.params, y)
    values, gradients = evaluate(x, mask)
    assert values[-1] == 0
    assert not any(np.any(leaf[-1]) for leaf in jax.tree.leaves(gradients))
    for garbage in (np.nan, np.inf, -1e30):
        dirty = evaluate(np.where(mask, x, np.float32(garbage)), mask)
        jax.tree.map(np.testing.assert_array_equal, dirty, (values, gradients))


def test_samples_have_the_mean_and_lie_in_the_support(case):
    for seed in range(2):
        y = jnp.asarray(case.outputs(np.random.default_rng(seed), case.shapes[0]))
        keys = jax.random.split(jax.random.key(seed), DRAWS)
        samples = np.asarray(compiled(case.id, "draw")(case.params, y, keys), np.float64)
        case.part.validate(samples[:100].astype(np.float32))
        case.part.validate(np.asarray(case.part.mode(case.params, y))[None])
        mean = np.asarray(case.part.mean(case.params, y))
        z = (samples.mean(0) - mean) / (samples.std(0) / np.sqrt(DRAWS))
        assert (np.abs(z) < 5).all(where=case.has_mean), z


def test_it_sums_to_one_with_its_mean_mode_and_samples_second_moment(case):
    if case.support is None:
        pytest.skip("more than one entry")
    points, weights = case.support
    for seed in range(3):
        y = case.outputs(np.random.default_rng(seed), (1,))
        with jax.enable_x64(True):
            params, outputs, x = on_device(np.float64, case.params, y, points[:, None])
            log_prob = np.asarray(compiled(case.id, "table")(params, outputs, x))
            mode = case.part.mode(params, outputs)
            at_mode = float(case.part.log_prob(params, outputs, mode, None))
            mean = float(case.part.mean(params, outputs)[0])
        probability = weights * np.exp(log_prob)
        np.testing.assert_allclose(probability.sum(), 1, rtol=0, atol=1e-6)
        assert at_mode >= log_prob.max() - 1e-9
        if case.has_mean is True:
            np.testing.assert_allclose(mean, probability @ points, rtol=0, atol=1e-5)
        keys = jax.random.split(jax.random.key(seed), DRAWS)
        draws = np.asarray(compiled(case.id, "draw")(case.params, y, keys), np.float64)
        squares = draws.ravel() ** 2
        z = (squares.mean() - probability @ points**2) / (squares.std() / np.sqrt(DRAWS))
        assert abs(z) < 5


def test_a_value_outside_is_refused_with_its_place(case):
    if case.outside is None:
        return case.part.validate(np.array([[-1e30, 1e30]]))
    data, shown, place = case.outside
    for dtype in (np.float32, np.float64):
        with pytest.raises(ae.errors.DataError) as error:
            case.part.validate(np.array(data, dtype))
        assert f"got {shown} at {place}" in str(error.value)
    return None
