"""Reports as text, table and figure."""

import copy

import pytest

from ae_jax import benchmarking

FITS = {
    "config": "vae",
    "topology": "v5e:2x2",
    "chips": 4,
    "strategy": "fsdp",
    "batch_per_chip": 64,
    "batch_size": 256,
    "program": "the device loop",
    "compile_seconds": 7.0,
    "fits": True,
    "verdict": "fits: 3.00 of 16.00 GiB",
    "memory": {
        "arguments": 2 * 2**30,
        "outputs": 2**30,
        "aliased": 2**30,
        "temporaries": 2**29,
        "code": 2**29,
        "total": 3 * 2**30,
        "hbm": 16 * 2**30,
    },
    "state": {"bytes": 8 * 10**9, "bytes_per_chip": 2 * 10**9, "shards": 4, "ratio": 1.0},
    "flops": {"model": 3 * 10**12, "executed": 4 * 10**12},
    "hbm_bytes": 5 * 10**9,
    "collectives": [
        {
            "kind": kind,
            "payload_bytes": 10**6 * size,
            "sent_bytes": 10**6,
            "group": 4,
            "times": times,
            "seconds": 1e-3 * size,
            "expected": kind != "all-to-all",
            "origin": f"jit(train)/{kind}",
        }
        for kind, size, times in (("all-gather", 7, 24), ("all-to-all", 3, 1))
    ],
    "collective_bytes": {"sent": 9e6, "declared": {"gradients": 10**6}, "unexpected": 2e6},
    "roofline": {
        "compute_seconds": 0.02,
        "memory_seconds": 0.006,
        "collective_seconds": 0.005,
        "step_seconds": 0.025,
        "step_seconds_overlapped": 0.02,
        "held_by": "compute",
        "examples_per_second": 10_240.0,
        "peak_fraction": 0.609,
    },
    "weak_scaling": [
        {
            "topology": f"v5e:{side}x{side}",
            "chips": side**2,
            "step_seconds": 0.02 / efficiency,
            "examples_per_second": 3_200.0 * side**2 * efficiency,
            "efficiency": efficiency,
        }
        for side, efficiency in ((1, 1.0), (2, 0.8))
    ],
}
TOO_LARGE = {
    **{k: FITS[k] for k in ("topology", "chips", "batch_per_chip", "batch_size", "program")},
    "strategy": "pmap",
    "compile_seconds": 2.0,
    "fits": False,
    "memory": {"total": 20 * 2**30, "hbm": 15 * 2**30},
    "state": FITS["state"],
    "verdict": "does not fit: 20.00 GiB of 15.00, 5.00 short. a smaller batch",
}


def test_the_text_gives_every_figure_with_its_unit():
    text = benchmarking.pod_text(FITS)
    for part in (
        "vae, v5e:2x2, fsdp: 64 examples a chip, 256 in all, on 4 chips",
        "fits: 3.00 of 16.00 GiB",
        "8,000.0 MB, 2,000.0 a chip: 1.00 of an even split into 4",
        "3,000 G of the model, 4,000 G executed",
        "9 MB sent, 2 more than the strategy needs",
        "24 x all-gather of 7 MB over 4",
        "1 x all-to-all of 3 MB over 4, all-to-all  UNEXPECTED",
        "at least 25 ms (compute 20, memory 6, collective 5), held by compute",
        "at most 10,240 examples/s, 60.9% of peak",
        "1: 100.0%, 4: 80.0%",
    ):
        assert part in text


def test_what_does_not_fit_says_so_and_gives_no_bounds():
    text = benchmarking.pod_text(TOO_LARGE)
    assert "5.00 short. a smaller batch" in text
    assert "bounds" not in text


def test_the_table_has_a_cell_for_every_column():
    lines = benchmarking.pod_table([FITS, TOO_LARGE]).splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert (
        "| vae | v5e:2x2 | fsdp | 64 | 3.00 of 16.00 | 3,000 | 4,000 | 5 | 9 | 2 | 1.000 |"
        in lines[2]
    )
    assert "| 20.00 of 15.00 | does not fit |" in lines[3]


@pytest.mark.parametrize("which", [[FITS], [TOO_LARGE], [FITS, TOO_LARGE]])
def test_the_figure_draws_what_fits_and_what_does_not(tmp_path, which):
    before = copy.deepcopy(which)
    file = tmp_path / "pods.png"
    benchmarking.draw_pods(file, which)
    assert file.read_bytes().startswith(b"\x89PNG")
    assert which == before
