"""The contract suite: what every part must do, run on ours and on the user's own.

Each `check_…` returns a `Report`, or raises AssertionError with all that it found and the numbers.
"""

from ae_jax.testing._objectives import check_term
from ae_jax.testing._parts import check_coder, check_corruption, check_likelihood
from ae_jax.testing._recipes import check_recipe
from ae_jax.testing._report import Report

__all__ = [
    "Report",
    "check_coder",
    "check_corruption",
    "check_likelihood",
    "check_recipe",
    "check_term",
]
