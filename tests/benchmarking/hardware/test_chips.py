"""Slices of pods by name."""

import pytest

from ae_jax.benchmarking.hardware import chips
from ae_jax.errors import ConfigError, UnknownNameError


def test_a_name_gives_chip_and_shape():
    found = chips.slice_of("v5e:16x16")
    assert (found.size, found.shape, found.name) == (256, (16, 16), "v5e:16x16")
    assert found.chip.peak_flops == 197e12
    assert chips.slice_of("v5p:8x8x8").size == 512


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("v6:4x4", UnknownNameError, "did you mean 'v6e'"),
        ("v5e", ConfigError, "'v5e' must give 2 sizes, such as 'v5e:4x4'"),
        ("v5e:4x4x4", ConfigError, "must give 2 sizes"),
        ("v5p:8x8", ConfigError, "must give 3 sizes, such as 'v5p:4x4x4'"),
        ("v6e:0x4", ConfigError, "must give 2 sizes"),
    ],
)
def test_a_wrong_name_says_what_is_expected(name, error, message):
    with pytest.raises(error, match=message):
        chips.slice_of(name)


def test_a_pod_adds_up_to_what_its_maker_states():
    for name, all_reduce in (("v5e:16x16", 51.2e12), ("v6e:16x16", 102.4e12)):
        pod = chips.slice_of(name)
        assert pod.size * pod.links(pod.shape) * pod.chip.link_bandwidth == all_reduce


def test_rings_have_two_links_an_axis_and_lines_fewer():
    pod = chips.slice_of("v5e:16x16")
    assert pod.links((16, 16)) == 4
    assert pod.links((16, 1)) == 2
    assert pod.links((8, 1)) == 2 * 7 / 8  # half an axis does not close
    assert chips.slice_of("v5e:8x8").links((8, 8)) == 4 * 7 / 8
    assert chips.slice_of("v5p:8x8x8").links((8, 8, 8)) == 6
    assert chips.slice_of("v5p:2x2x2").links((2, 2, 2)) == 3


def test_a_slice_halves_down_to_one_chip():
    sizes = [part.size for part in chips.slice_of("v5e:16x16").smaller()]
    assert sizes == [1, 4, 16, 64, 256]
    assert [p.shape for p in chips.slice_of("v6e:4x8").smaller()][1:] == [(1, 2), (2, 4), (4, 8)]


def test_cores_share_their_chip():
    core = chips.slice_of("v4:4x4x4").shared(2)
    assert (core.chip.peak_flops, core.size, core.cores) == (137.5e12, 64, 2)
