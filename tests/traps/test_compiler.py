"""One test for each trap of compilers, named after it; the tests stand beside the part."""

import pytest

from tests import test_compiler as compiler


@pytest.mark.slow  # its test runs in the quick suite beside the part
def test_reductions_on_a_cpu_that_are_wrong_without_a_word():
    """jax #39103, openxla #48714: no program after `import ae_jax` is handed to YNNPACK so."""
    compiler.test_after_import_ae_jax_every_program_on_a_cpu_is_right()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_roundings_of_half_precision_that_the_layout_decides(dtype):
    """jax #23007: what is computed in half precision rounds after each operation, as it says."""
    compiler.test_a_program_in_half_precision_rounds_where_it_says(dtype)
