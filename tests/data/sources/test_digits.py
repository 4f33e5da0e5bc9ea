"""The digits source against scikit-learn's own loader, which it does without."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

import ae_jax as ae
from tests.scripts import ROOT


@pytest.fixture(scope="module")
def digits():
    return ae.data.load("digits")


def test_the_digits_are_scikit_learns(digits):
    from sklearn.datasets import load_digits

    expected = load_digits()
    test = ae.data.split_mask(1797, 0.2)
    for part, mask in ((digits.train, ~test), (digits.test, test)):
        np.testing.assert_array_equal(part.x[..., 0], expected.images[mask])
        np.testing.assert_array_equal(part.extras["label"], expected.target[mask])


def test_sizes_dtype_and_range(digits):
    assert digits.train.x.shape == (1433, 8, 8, 1)
    assert digits.test.x.shape == (364, 8, 8, 1)
    assert digits.train.x.dtype == np.uint8
    assert digits.value_range == (digits.train.x.min(), digits.train.x.max()) == (0, 16)
    assert digits.source == "digits"


def test_the_held_out_fraction_is_an_option():
    assert len(ae.data.load("digits", test_fraction=0.0).train.x) == 1797


def test_scikit_learn_is_not_imported_for_it():
    code = (
        "import sys, ae_jax as ae; assert len(ae.data.digits().train.x) == 1433; "
        "sys.exit(any(name.partition('.')[0] == 'sklearn' for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_without_scikit_learn_the_error_names_the_fix(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install scikit-learn"):
        ae.data.digits()
