"""Makers' peaks, and utilisation from a faked rate."""

import types

import jax
import pytest

from ae_jax.benchmarking.hardware import peaks
from ae_jax.benchmarking.step.trial import utilisation


def device(kind, platform):
    return types.SimpleNamespace(device_kind=kind, platform=platform)


@pytest.mark.parametrize(
    ("kind", "used", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989.4e12),
        ("NVIDIA H100 80GB HBM3", "tensorfloat32", 494.7e12),
        ("NVIDIA H100 PCIe", "float32", 51.2e12),
        ("NVIDIA H200", "bfloat16", 989.4e12),
        ("NVIDIA A100-SXM4-80GB", "tensorfloat32", 156e12),
        ("NVIDIA A100 80GB PCIe", "bfloat16", 312e12),
        ("NVIDIA L4", "bfloat16", 121e12),
        ("NVIDIA L40S", "bfloat16", 362e12),
        ("TPU v5 lite", "bfloat16", 197e12),
        ("Tesla V100-SXM2-16GB", "float32", 15.7e12),
    ],
)
def test_a_known_device_has_its_peak(kind, used, expected):
    found = peaks.peak(kind, used)
    assert found is not None
    assert found.flops == expected
    assert kind in found.source


@pytest.mark.parametrize(
    ("kind", "used"),
    [
        ("cpu", "float32"),
        ("NVIDIA A10G", "bfloat16"),  # another card than the A10
        ("Tesla V100-SXM2-16GB", "tensorfloat32"),
        ("TPU v5 lite", "float32"),
        ("NVIDIA H100 80GB HBM3", "float64"),
    ],
)
def test_others_have_none(kind, used):
    assert peaks.peak(kind, used) is None


@pytest.mark.parametrize(
    ("dtype", "platform", "asked", "expected"),
    [
        ("float32", "gpu", None, "tensorfloat32"),
        ("float32", "gpu", "tensorfloat32", "tensorfloat32"),
        ("float32", "gpu", "highest", "float32"),
        ("bfloat16", "gpu", None, "bfloat16"),
        ("float32", "tpu", None, "bfloat16"),
        ("float32", "cpu", None, "float32"),
    ],
)
def test_float32_products_are_computed_as_the_platform_does_by_default(
    dtype, platform, asked, expected
):
    assert peaks.precision(dtype, platform, asked) == expected


def test_utilisation_is_the_rate_over_the_peak_of_the_precision_used():
    gpu = device("NVIDIA H100 80GB HBM3", "gpu")
    with jax.default_matmul_precision("tensorfloat32"):
        found = utilisation(98.94e12, gpu, "float32", measured=None)
    assert found is not None
    assert found["value"] == pytest.approx(0.2)
    assert (found["precision"], found["peak_flops"]) == ("tensorfloat32", 494.7e12)
    found = utilisation(98.94e12, gpu, "bfloat16", measured=1.0)
    assert found is not None
    assert found["value"] == pytest.approx(0.1)


def test_a_device_in_no_table_is_held_against_what_was_measured_and_says_so():
    found = utilisation(3e9, device("cpu", "cpu"), "float32", measured=6e9)
    assert found is not None
    assert found["value"] == 0.5
    assert "measured" in found["of"]
    assert utilisation(3e9, device("cpu", "cpu"), "float32", None) is None
