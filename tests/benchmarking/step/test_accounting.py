"""What a step amounts to, against closed forms."""

import jax
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.benchmarking.program import flops
from ae_jax.benchmarking.step import accounting, machine
from ae_jax.runs.planning import prepare
from ae_jax.types import Spec
from tests import small


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (Spec((28, 28, 1), "binary"), ("pixels", 784)),
        (Spec((32, 32, 3), "real"), ("pixels", 1024)),
        (Spec((64,), "tokens", 1000), ("tokens", 64)),
        (Spec((50, 3), "series"), ("values", 150)),
        (Spec((9,), "table"), ("values", 9)),
        (Spec((6,), "real"), ("values", 6)),
    ],
)
def test_an_example_is_counted_in_pixels_tokens_or_values(spec, expected):
    assert accounting.unit(spec) == expected


def test_a_step_reads_and_writes_parameters_and_both_moments_of_adam_and_reads_its_batch():
    plan = prepare(small.config())
    state = jax.device_put(small.filled_state(plan.model, plan.players))
    weights = (6 * 16 + 16) + (16 * 4 + 4) + (2 * 16 + 16) + (16 * 6 + 6)
    params = sum(leaf.size for leaf in jax.tree.leaves(state.variables.params))
    assert params == weights
    count = 4  # Adam's
    assert accounting.least_bytes(plan, state, 16) == 2 * (3 * 4 * params + count) + 16 * 6 * 4


def test_what_is_computed_again_is_no_model_flop():
    network = {"depth": 1, "heads": 1, "width": 4}
    counts = {}
    for remat in (False, True):
        encoder = ae.networks.vit(patch=4, remat=remat, **network)
        decoder = ae.networks.vit_decoder(patch=4, remat=remat, **network)
        recipe = ae.recipes.autoencoder(2, encoder=encoder, decoder=decoder)
        config = ae.config.for_recipe(recipe)
        config["data"] |= {"source": "synthetic:8x8x1"}
        config["parallel"]["devices"] = 1
        plan = prepare(config)
        step = flops.count_jaxpr(accounting.step_jaxpr(plan, 4)).total
        counts[remat] = accounting.model_flops(plan, 4), step
    assert counts[False][0] == counts[False][1] == counts[True][0]
    assert counts[True][1] > counts[True][0]


def test_the_work_of_a_compiled_program_is_that_of_all_devices():
    square = jax.jit(lambda a: a @ a).lower(np.ones((8, 8), np.float32)).compile()
    work = accounting.compiled_work(square, devices=4)
    assert work == {"xla": 4 * 1024, "xla_products": 4 * 1024, "collective_bytes": 0}
    memory = accounting.program_memory(square)
    assert memory is not None
    assert (memory["arguments"], memory["outputs"], memory["aliased"]) == (256, 256, 0)
    assert memory["total"] >= 512


def test_the_machine_is_described_by_what_its_times_hang_on():
    found = machine.describe()
    assert found["devices"] == jax.device_count()
    assert "--xla_force_host_platform_device_count=8" in found["variables"]["XLA_FLAGS"]
    assert found["jax_default_matmul_precision"] == "highest"
    assert found["compilation_cache"] is True
    assert 0 < found["cpu_usable"] <= found["cpu_count"]
    assert found["versions"]["jax"] == jax.__version__
    assert machine.differences(found, found) == []
    assert machine.name({"device_kind": "cpu", "cpu": "A Processor"}) == "A Processor"
    assert machine.name({"device_kind": "TPU v4", "cpu": "A Processor"}) == "TPU v4"
