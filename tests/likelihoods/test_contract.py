"""What every likelihood keeps: one table of cases, one oracle each, all properties."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import config
from ae_jax._registry import LIKELIHOODS
from tests.likelihoods.cases import CASES, DRAWS, Case, compiled, examples, extremes
from tests.losses.properties import PRECISIONS, assert_close, finite_differences

BATCH = 32
UNDERFLOW = 1e-30  # what float32 flushes to zero, times 1e5


@pytest.fixture(params=CASES, ids=lambda case: case.id, scope="module")  # groups tests by case
def case(request) -> Case:
    return request.param


def log_probs_and_gradients(case, y, x, mask, dtype=np.float32):
    arguments = jax.tree.map(lambda v: jnp.asarray(v, dtype), (case.params, y, x))
    return compiled(case.id, "gradients")(*arguments, mask)


def assert_equals_reference(case, actual, y, x, mask, tolerance):
    for value, *example in zip(actual, y, x, mask, strict=True):
        expected, magnitude = case.reference(case.params, *example)
        assert_close(value, expected, magnitude + UNDERFLOW, tolerance)


WITHOUT_DENSITY = {"implicit"}


def test_every_registered_likelihood_is_in_the_table_and_exported():
    ours = {n for n, f in LIKELIHOODS.factories.items() if f.__module__.startswith("ae_jax.")}
    assert ours == set(ae.likelihoods.__all__)
    assert ours - WITHOUT_DENSITY == {case.name for case in CASES}


def test_a_generator_has_no_density_and_nothing_to_draw():
    part, y = ae.likelihoods.implicit("tanh"), np.linspace(-2, 2, 6, dtype=np.float32)
    assert part.log_prob({}, y, y, None) is None
    np.testing.assert_allclose(part.mean({}, y), np.tanh(y), rtol=1e-6)
    assert part.parameter_shape((2, 3)) == (2, 3)
    with pytest.raises(ae.errors.PartError, match="no observations to draw"):
        part.sample({}, y, jax.random.key(0))
    with pytest.raises(ae.errors.DataError, match="implicit"):
        part.validate(np.array([[0.0, 1.5]]))


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
    with jax.enable_x64(dtype == np.float64):
        for y, x in examples(case, case.shapes[0], BATCH), extremes(case, BATCH):
            mask = np.random.default_rng(2).random(x.shape) < 0.8
            actual, _ = log_probs_and_gradients(case, y, x, mask, dtype)
            assert actual.dtype == dtype
            assert_equals_reference(case, actual, y, x, mask, tolerance)


def test_log_prob_equals_the_reference_for_events_of_other_shapes(case):
    for shape in case.shapes[1:]:
        y, x = examples(case, shape, 4)
        mask = np.random.default_rng(2).random(x.shape) < 0.8
        actual = compiled(case.id, "log_prob")(case.params, y, x, mask)
        assert_equals_reference(case, actual, y, x, mask, 1e-5)


def test_gradients_equal_finite_differences_of_the_reference(case):
    y, x = examples(case, case.shapes[0], BATCH)
    leaves, tree = jax.tree.flatten(case.params)

    def reference(outputs, *leaves):
        return case.reference(jax.tree.unflatten(tree, leaves), outputs, x[0])[0]

    wanted = finite_differences(reference, tuple(np.asarray(v, float) for v in (y[0], *leaves)))
    with jax.enable_x64(True):
        _, (by_params, by_y) = log_probs_and_gradients(
            case, y, x, np.ones(x.shape, bool), np.float64
        )
    for got, expected in zip([by_y, *jax.tree.leaves(by_params)], wanted, strict=True):
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(np.asarray(got)[0], expected, rtol=0, atol=1e-6 * scale)


def test_value_and_gradient_are_finite_at_extremes(case):
    y, x = extremes(case, BATCH)
    results = log_probs_and_gradients(case, y, x, np.ones(x.shape, bool))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(results))


def test_jit_and_vmap_change_nothing(case):
    y, x = examples(case, case.shapes[0], BATCH)
    together, _ = log_probs_and_gradients(case, y, x, np.ones(x.shape, bool))
    for i in range(2):
        alone = case.part.log_prob(case.params, jnp.asarray(y[i]), jnp.asarray(x[i]), None)
        _, magnitude = case.reference(case.params, y[i], x[i])
        assert_close(together[i], float(alone), magnitude, 1e-6)


def test_bfloat16_is_computed_in_float32(case):
    half = [jnp.asarray(v, jnp.bfloat16) for v in examples(case, case.shapes[0], BATCH)]
    mask = np.ones(half[1].shape, bool)
    actual = compiled(case.id, "log_prob")(case.params, *half, mask)
    assert actual.dtype == jnp.float32
    expected, _ = log_probs_and_gradients(case, *half, mask)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_unobserved_entries_cost_nothing(case):
    """Neither single entries nor a whole example, whatever x holds there."""
    y, x = examples(case, case.shapes[0], BATCH)
    mask = np.random.default_rng(3).random(x.shape) < 0.5
    mask[-1] = False
    evaluate = functools.partial(log_probs_and_gradients, case, y, mask=mask)
    values, gradients = evaluate(x)
    assert values[-1] == 0
    assert not any(np.any(leaf[-1]) for leaf in jax.tree.leaves(gradients))
    for garbage in (np.nan, np.inf, -1e30):
        dirty = evaluate(np.where(mask, x, np.float32(garbage)))
        jax.tree.map(np.testing.assert_array_equal, dirty, (values, gradients))


def in_double(case, what, y, *more):
    with jax.enable_x64(True):
        arguments = jax.tree.map(lambda v: jnp.asarray(v, float), (case.params, y, *more))
        return jax.tree.map(np.asarray, compiled(case.id, what)(*arguments))


def test_it_sums_to_one_around_its_mean_and_mode(case):
    if case.support is None:
        pytest.skip("more than one entry")
    points, weights = case.support
    for seed in range(3):
        y = case.outputs(np.random.default_rng(seed), (1,))
        log_prob = in_double(case, "table", y, points[:, None])
        mean, _, log_prob_of_mode = in_double(case, "summary", y)
        probability = weights * np.exp(log_prob)
        np.testing.assert_allclose(probability.sum(), 1, rtol=0, atol=1e-6)
        assert log_prob_of_mode >= log_prob.max() - 1e-9
        if case.has_mean is True:
            np.testing.assert_allclose(mean, [probability @ points], rtol=0, atol=1e-5)


def test_samples_lie_in_the_support_and_have_its_moments(case):
    shape = case.shapes[0] if case.support is None else (1,)
    keys = jax.random.split(jax.random.key(0), DRAWS)
    for seed in range(3):
        y = case.outputs(np.random.default_rng(seed), shape)
        samples = np.asarray(compiled(case.id, "draw")(case.params, y, keys))
        mean, mode, _ = in_double(case, "summary", y)
        case.part.validate(samples)
        case.part.validate(mode[None])
        assert (np.abs(deviations(samples, mean)) < 5).all(where=case.has_mean)
        if case.support is not None:
            points, weights = case.support
            second = weights * np.exp(in_double(case, "table", y, points[:, None])) @ points**2
            assert np.abs(deviations(samples.astype(float) ** 2, second)) < 5


def deviations(samples, expected):
    """How far the samples' mean is from what is expected, in standard errors."""
    samples = samples.astype(float)
    return (samples.mean(0) - expected) / (samples.std(0) / np.sqrt(len(samples)))


def test_a_value_outside_is_refused_with_its_place(case):
    if case.outside is None:
        return case.part.validate(np.array([[-1e30, 1e30]]))
    data, shown, place = case.outside
    for dtype in (np.float32, np.float64):
        with pytest.raises(ae.errors.DataError) as error:
            case.part.validate(np.array(data, dtype))
        assert f"got {shown} at {place}" in str(error.value)
    return None
