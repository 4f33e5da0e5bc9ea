"""The properties every raw loss has, run over the table of cases of each test module."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

Arrays = tuple[np.ndarray, ...]

PRECISIONS = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-10)], ids=["f32", "f64"]
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A loss, its oracle, and the inputs on which they are compared.

    The reference takes the same arguments as float64 and returns the value and the sum of the
    absolute summands it is made of, against which errors are judged.
    """

    name: str
    function: Callable[..., jax.Array]
    reference: Callable[..., tuple[float, float]]
    inputs: Callable[[np.random.Generator], Arrays]
    extremes: Callable[[], Iterable[Arrays]] = tuple

    @property
    def takes_one_shape(self) -> bool:
        """Whether there are two arguments or more, all of one shape that can be wrong."""
        shapes = [array.shape for array in self.inputs(np.random.default_rng(0))]
        return len(shapes) > 1 and len(set(shapes)) == 1 and shapes[0] != ()


def as_type(arrays: Iterable[np.ndarray], dtype: Any) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(array).astype(dtype) for array in arrays)


@functools.cache
def _jitted(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    return jax.jit(function)


@functools.cache
def _jitted_gradients(function: Callable[..., jax.Array], count: int) -> Callable[..., Any]:
    return jax.jit(jax.grad(function, argnums=tuple(range(count))))


def value(function: Callable[..., jax.Array], arrays: Iterable[np.ndarray], **masks) -> jax.Array:
    """The loss, compiled once per function and shape: op by op, XLA would compile every op."""
    return _jitted(function)(*map(jnp.asarray, arrays), **masks)


def gradients(
    function: Callable[..., jax.Array], arrays: Sequence[np.ndarray], **masks
) -> list[np.ndarray]:
    """The gradients with respect to every array, compiled likewise."""
    grads = _jitted_gradients(function, len(arrays))(*map(jnp.asarray, arrays), **masks)
    return [np.asarray(grad) for grad in grads]


def finite_differences(
    function: Callable[..., float], arrays: Arrays, step: float = 1e-4
) -> Arrays:
    """Central differences of fourth order in every entry of every array."""
    results = []
    for position, array in enumerate(arrays):
        result = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            values = {}
            for shift in (-2, -1, 1, 2):
                moved = array.copy()
                moved[index] += shift * step
                values[shift] = function(*arrays[:position], moved, *arrays[position + 1 :])
            result[index] = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * step)
        results.append(result)
    return tuple(results)


def assert_close(actual: Any, expected: float, magnitude: float, tolerance: float) -> None:
    error = abs(float(np.asarray(actual)) - expected)
    assert error <= tolerance * magnitude, (
        f"{actual} against {expected}: {error / (magnitude or 1):.2e} of the summands"
    )


def mask_for(x: np.ndarray) -> np.ndarray:
    """A mask with an unobserved block and unobserved single entries, everywhere else True."""
    mask = np.random.default_rng(7).random(x.shape) < 0.8
    mask[:2] = False
    return mask


class LossProperties:
    """A test class for the modules to derive from, with their table as `cases`."""

    cases: ClassVar[Sequence[Case]]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "case" in metafunc.fixturenames:
            shapes = "shapes_that_differ" in metafunc.function.__name__
            cases = [case for case in metafunc.cls.cases if case.takes_one_shape or not shapes]
            metafunc.parametrize("case", cases, ids=[case.name for case in cases])

    @PRECISIONS
    def test_value_equals_the_reference(self, case: Case, dtype: type, tolerance: float) -> None:
        draws = [case.inputs(np.random.default_rng(seed)) for seed in range(3)]
        for arrays in itertools.chain(draws, case.extremes()):
            arrays = as_type(arrays, dtype)
            expected, magnitude = case.reference(*as_type(arrays, np.float64))
            with jax.enable_x64(dtype == np.float64):
                actual = value(case.function, arrays)
            assert actual.dtype == dtype
            assert actual.shape == ()
            assert_close(actual, expected, magnitude, tolerance)

    def test_gradient_equals_finite_differences_of_the_reference(self, case: Case) -> None:
        arrays = as_type(case.inputs(np.random.default_rng(0)), np.float64)
        expected = finite_differences(lambda *a: case.reference(*a)[0], arrays)
        with jax.enable_x64(True):
            actual = gradients(case.function, arrays)
        for got, wanted in zip(actual, expected, strict=True):
            scale = max(1.0, float(np.abs(wanted).max()))
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6 * scale)

    def test_value_and_gradient_are_finite_at_extremes(self, case: Case) -> None:
        for arrays in case.extremes():
            arrays = as_type(arrays, np.float32)
            assert np.isfinite(value(case.function, arrays))
            for grad in gradients(case.function, arrays):
                assert np.isfinite(grad).all()

    def test_jit_changes_nothing(self, case: Case) -> None:
        arrays = as_type(case.inputs(np.random.default_rng(0)), np.float32)
        _, magnitude = case.reference(*as_type(arrays, np.float64))
        plain = case.function(*map(jnp.asarray, arrays))
        assert_close(value(case.function, arrays), float(plain), magnitude, 1e-6)

    def test_vmap_is_a_loop(self, case: Case) -> None:
        batch = [as_type(case.inputs(np.random.default_rng(s)), np.float32) for s in range(3)]
        stacked = [np.stack(arrays) for arrays in zip(*batch, strict=True)]
        together = jax.jit(jax.vmap(case.function))(*stacked)
        for actual, arrays in zip(together, batch, strict=True):
            _, magnitude = case.reference(*as_type(arrays, np.float64))
            assert_close(actual, float(value(case.function, arrays)), magnitude, 1e-6)

    @pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
    def test_half_precision_is_computed_in_float32(self, case: Case, dtype: Any) -> None:
        arrays = as_type(case.inputs(np.random.default_rng(0)), dtype)
        actual = value(case.function, arrays)
        assert actual.dtype == jnp.float32
        expected = value(case.function, as_type(arrays, np.float32))
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)  # half: 1e-3

    def test_float32_needs_no_implicit_promotion(self, case: Case) -> None:
        arrays = as_type(case.inputs(np.random.default_rng(0)), np.float32)
        with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
            jax.eval_shape(jax.value_and_grad(case.function), *arrays)

    def test_shapes_that_differ_are_both_named(self, case: Case) -> None:
        arrays = case.inputs(np.random.default_rng(0))
        for position, array in enumerate(arrays):
            changed = [*arrays]
            changed[position] = array[1:]
            with pytest.raises(ValueError, match="shape") as error:
                case.function(*changed)
            assert str(array.shape) in str(error.value)
            assert str(array[1:].shape) in str(error.value)


class MaskedLossProperties(LossProperties):
    """The same and more, for losses of reconstructions, which take a mask as `observed`."""

    @PRECISIONS
    def test_masked_value_equals_the_reference(
        self, case: Case, dtype: type, tolerance: float
    ) -> None:
        arrays = as_type(case.inputs(np.random.default_rng(0)), dtype)
        mask = mask_for(arrays[0])
        expected, magnitude = case.reference(*as_type(arrays, np.float64), observed=mask)
        with jax.enable_x64(dtype == np.float64):
            actual = value(case.function, arrays, observed=mask)
        assert_close(actual, expected, magnitude, tolerance)

    @pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e30])
    def test_masked_entries_cost_nothing(self, case: Case, garbage: float) -> None:
        arrays = as_type(case.inputs(np.random.default_rng(0)), np.float32)
        mask = mask_for(arrays[0])
        dirty = tuple(np.where(mask, array, np.float32(garbage)) for array in arrays)
        masked = {"observed": mask}
        assert value(case.function, dirty, **masked) == value(case.function, arrays, **masked)
        clean = gradients(case.function, arrays, **masked)
        for grad, same in zip(gradients(case.function, dirty, **masked), clean, strict=True):
            np.testing.assert_array_equal(grad, same)
            assert not grad[~mask].any()
            assert grad[mask].any()

    def test_masked_entirely_costs_nothing(self, case: Case) -> None:
        arrays = as_type(case.inputs(np.random.default_rng(0)), np.float32)
        arrays = tuple(np.full_like(array, np.nan) for array in arrays)
        masked = {"observed": np.zeros(arrays[0].shape, bool)}
        assert value(case.function, arrays, **masked) == 0
        assert all(not grad.any() for grad in gradients(case.function, arrays, **masked))

    def test_masked_nowhere_is_no_mask(self, case: Case) -> None:
        arrays = as_type(case.inputs(np.random.default_rng(0)), np.float32)
        _, magnitude = case.reference(*as_type(arrays, np.float64))
        actual = value(case.function, arrays, observed=np.ones(arrays[0].shape, bool))
        assert_close(actual, float(value(case.function, arrays)), magnitude, 1e-6)

    def test_masked_by_anything_but_bools_of_its_shape_is_refused(self, case: Case) -> None:
        arrays = case.inputs(np.random.default_rng(0))
        with pytest.raises(ValueError, match="observed must be a bool mask, got dtype float32"):
            case.function(*arrays, observed=np.ones(arrays[0].shape, np.float32))
        with pytest.raises(ValueError, match=r"observed \(1,\)"):
            case.function(*arrays, observed=np.ones(1, bool))
