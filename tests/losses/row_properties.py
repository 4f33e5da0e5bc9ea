"""The properties of batch-coupled losses besides those of every loss, over the same tables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses.properties import Case, LossProperties, as_type, assert_close, gradients

PLACES = (0, 3, 3)  # where rows of padding are inserted


class BatchCoupledProperties(LossProperties):
    """For cases whose function takes arrays of rows and `valid`, as many rows in each array.

    The functions are jitted: op by op, each new shape would compile a hundred small programs.
    """

    def test_jit_changes_nothing(self, case: Case) -> None:
        arrays = as_type(case.inputs(np.random.default_rng(0)), np.float32)
        _, magnitude = case.reference(*as_type(arrays, np.float64))
        with jax.disable_jit():
            plain = float(case.function(*map(jnp.asarray, arrays)))
        assert_close(case.function(*arrays), plain, magnitude, 1e-6)

    @pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
    def test_half_precision_is_computed_in_float32(self, case: Case, dtype: object) -> None:
        arrays = as_type(case.inputs(np.random.default_rng(0)), dtype)
        widened = as_type(arrays, np.float32)
        _, magnitude = case.reference(*as_type(arrays, np.float64))
        value = case.function(*map(jnp.asarray, arrays))
        assert value.dtype == jnp.float32
        assert_close(value, float(case.function(*map(jnp.asarray, widened))), magnitude, 1e-6)

    @pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e30])
    def test_padding_costs_nothing(self, case: Case, garbage: float) -> None:
        arrays = as_type(case.inputs(np.random.default_rng(0)), np.float32)
        _, magnitude = case.reference(*as_type(arrays, np.float64))
        padded = [np.insert(array, PLACES, np.float32(garbage), axis=0) for array in arrays]
        valid = np.insert(np.ones(len(arrays[0]), bool), PLACES, False)
        masked = lambda *a: case.function(*a, valid=jnp.asarray(valid))

        assert_close(masked(*padded), float(case.function(*arrays)), magnitude, 1e-6)
        plain = gradients(case.function, arrays)
        for grad, without in zip(gradients(masked, padded), plain, strict=True):
            assert not grad[~valid].any()
            assert grad[valid].any()
            scale = float(np.abs(without).max())
            np.testing.assert_allclose(grad[valid], without, rtol=0, atol=1e-5 * scale)

    def test_a_batch_of_padding_is_finite(self, case: Case) -> None:
        arrays = as_type(case.inputs(np.random.default_rng(0)), np.float32)
        nothing = jnp.zeros(len(arrays[0]), bool)
        empty = [np.full_like(array, np.nan) for array in arrays]
        masked = lambda *a: case.function(*a, valid=nothing)
        assert np.isfinite(masked(*empty))
        assert all(not grad.any() for grad in gradients(masked, empty))

    def test_a_mask_of_another_shape_is_refused(self, case: Case) -> None:
        arrays = case.inputs(np.random.default_rng(0))
        rows = len(arrays[0])
        with pytest.raises(ValueError, match=rf"must have shape \({rows},\).*got \({rows}, 1\)"):
            case.function(*arrays, valid=np.ones((rows, 1), bool))
