"""Bounds whose times are known by hand."""

import itertools

import pytest

from ae_jax.benchmarking.hardware.chips import slice_of
from ae_jax.benchmarking.pods import roofline
from ae_jax.benchmarking.program.compiled import Work
from ae_jax.benchmarking.program.exchanges import Collective

POD = slice_of("v5e:16x16")
PLACES = list(itertools.product(range(16), range(16)))
EVERYONE, ROW = tuple(range(256)), tuple(range(16))


def all_reduce(payload, group=EVERYONE, times=1, kind="all-reduce"):
    return Collective(kind, payload, group, times)


def test_a_large_product_takes_its_operations_over_the_peak():
    n = 8192  # 3 n² numbers of 2 bytes take 0.49 ms, 2 n³ operations 5.6 ms
    found = roofline.bound(Work(2 * n**3, 3 * n * n * 2, (), ()), POD, PLACES)
    assert found.step_seconds == pytest.approx(2 * 8192**3 / 197e12)
    assert found.step_seconds == pytest.approx(5.581e-3, rel=1e-3)
    assert found.held_by == "compute"


def test_an_update_of_all_memory_takes_its_bytes_over_the_bandwidth():
    found = roofline.bound(Work(0, 2 * 4 * 10**9, (), ()), POD, PLACES)
    assert found.step_seconds == pytest.approx(8 / 819)
    assert found.held_by == "memory"


@pytest.mark.parametrize(
    ("kind", "group", "seconds"),
    [
        ("all-reduce", EVERYONE, 2 * 255 / 256 / 200),  # four links of 50 GB/s
        ("all-reduce", ROW, 2 * 15 / 16 / 100),
        ("all-gather", ROW, 15 / 16 / 100),
        ("reduce-scatter", EVERYONE, 255 / 256 / 200),
        ("all-reduce", (0, 1), 2 * 1 / 2 / 50),  # a line of two
        ("all-reduce", (0, 5, 32, 77), 2 * 3 / 4 / 200),  # no box: any link
    ],
)
def test_a_collective_takes_what_it_sends_over_the_links_of_its_group(kind, group, seconds):
    found = roofline.seconds(all_reduce(10**9, group, times=3, kind=kind), POD, PLACES)
    assert found == pytest.approx(3 * seconds)


def test_collectives_come_on_top_or_overlap():
    work = Work(197 * 10**12, 10**9, (all_reduce(10**9),), ())
    found = roofline.bound(work, POD, PLACES)
    assert found.step_seconds == pytest.approx(1 + 2 * 255 / 256 / 200)
    assert found.step_seconds_overlapped == pytest.approx(1)


def test_weak_scaling_loses_only_to_collectives():
    still = roofline.weak_scaling(Work(10**12, 10**9, (), ()), POD, PLACES)
    assert [efficiency for _, _, efficiency in still] == [1.0] * 5
    work = Work(197 * 10**10, 0, (all_reduce(10**9), all_reduce(10**9, ROW)), ())
    rows = roofline.weak_scaling(work, POD, PLACES)
    assert [part.name for part, _, _ in rows] == [
        f"v5e:{n}x{n}" for n in (1, 2, 4, 8, 16)
    ]  # compute takes 10 ms
    assert rows[0][1].collective_seconds == 0
    four = 2 * 3 / 4 / 100 + 2 * 1 / 2 / 50  # 2x2: two links, and one along the row
    assert rows[1][2] == pytest.approx(0.01 / (0.01 + four))
    whole = 2 * 255 / 256 / 200 + 2 * 15 / 16 / 100
    assert rows[-1][2] == pytest.approx(0.01 / (0.01 + whole))


def test_two_cores_of_a_chip_share_its_links():
    pod = slice_of("v4:4x4x4").shared(2)
    places = [p for p in itertools.product(range(4), repeat=3) for _ in range(2)]
    found = roofline.seconds(all_reduce(10**9, tuple(range(128))), pod, places)
    assert found == pytest.approx(2 * 127 / 128 / (6 * 25))
