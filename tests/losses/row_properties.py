"""The properties of batch-coupled losses besides those of every loss, over the same tables."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses.properties import (
    Case,
    LossProperties,
    as_type,
    assert_close,
    gradients,
    value,
)

PLACES = (0, 3, 3)  # where rows of padding are inserted


class FusedProperties(LossProperties):
    """For losses with sums inside sums, which XLA rounds in another order after a cast."""

    @pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
    def test_half_precision_is_computed_in_float32(self, case: Case, dtype: Any) -> None:
        arrays = as_type(case.inputs(np.random.default_rng(0)), dtype)
        _, magnitude = case.reference(*as_type(arrays, np.float64))
        actual = value(case.function, arrays)
        widened = value(case.function, as_type(arrays, np.float32))
        assert actual.dtype == jnp.float32
        assert_close(actual, float(widened), magnitude, 1e-6)


class BatchCoupledProperties(FusedProperties):
    """For cases whose function takes arrays of rows and `valid`, as many rows in each array."""

    @pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e30])
    def test_padding_costs_nothing(self, case: Case, garbage: float) -> None:
        arrays = as_type(case.inputs(np.random.default_rng(0)), np.float32)
        _, magnitude = case.reference(*as_type(arrays, np.float64))
        padded = [np.insert(array, PLACES, np.float32(garbage), axis=0) for array in arrays]
        valid = np.insert(np.ones(len(arrays[0]), bool), PLACES, False)

        plain = float(value(case.function, arrays))
        assert_close(value(case.function, padded, valid=valid), plain, magnitude, 1e-6)
        for grad, without in zip(
            gradients(case.function, padded, valid=valid),
            gradients(case.function, arrays),
            strict=True,
        ):
            assert not grad[~valid].any()
            assert grad[valid].any()
            scale = float(np.abs(without).max())
            np.testing.assert_allclose(grad[valid], without, rtol=0, atol=1e-5 * scale)

    def test_a_batch_of_padding_is_finite(self, case: Case) -> None:
        arrays = as_type(case.inputs(np.random.default_rng(0)), np.float32)
        nothing = np.zeros(len(arrays[0]), bool)
        empty = [np.full_like(array, np.nan) for array in arrays]
        assert np.isfinite(value(case.function, empty, valid=nothing))
        assert all(not grad.any() for grad in gradients(case.function, empty, valid=nothing))

    def test_a_mask_of_another_shape_is_refused(self, case: Case) -> None:
        arrays = case.inputs(np.random.default_rng(0))
        rows = len(arrays[0])
        with pytest.raises(ValueError, match=rf"must have shape \({rows},\).*got \({rows}, 1\)"):
            case.function(*arrays, valid=np.ones((rows, 1), bool))
