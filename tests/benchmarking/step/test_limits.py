"""The limits of a step: which products it has, that the program of them computes every one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.benchmarking.program import compiled, flops
from ae_jax.benchmarking.step import accounting, limits, products
from ae_jax.ops import convolution as _convolution
from ae_jax.runs.planning import prepare
from tests import small

DEVICES = jax.devices()[:1]


def struct(*shape, dtype="float32"):
    return jax.ShapeDtypeStruct(shape, dtype)


def operations(function, *args, platform=None):
    return products.operations(jax.make_jaxpr(function)(*args).jaxpr, platform)


def shapes(operation):
    return tuple(aval.shape for aval in operation.avals)


def squeezed(operation):
    """Its operands' shapes without the axis of the one sample of the latent."""
    return tuple(tuple(n for n in shape if n != 1) for shape in shapes(operation))


def test_the_products_of_a_step_are_those_of_its_layers_and_their_gradients():
    plan = prepare(small.config())
    batch, data, hidden, features, latent = 16, small.WIDTH, 16, 4, 2
    layers = [(data, hidden), (hidden, features), (latent, hidden), (hidden, data)]
    found = products.operations(accounting.step_jaxpr(plan, batch), "cpu")
    forward = [((batch, a), (a, b)) for a, b in layers]
    assert [squeezed(operation) for operation in found if operation.flops][:4] == forward
    assert sum(operation.times for operation in found) == 3 * len(layers) - 1
    each = {2 * batch * a * b for a, b in layers}
    assert {operation.flops for operation in found} == each
    weights = sum(a * b for a, b in layers)
    assert products.total_flops(found) == 2 * batch * (3 * weights - data * hidden)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_they_sum_to_what_is_counted(accumulation):
    plan = prepare(small.config(accumulation=accumulation))
    jaxpr = accounting.step_jaxpr(plan, 16, accumulation)
    found = products.operations(jaxpr, "cpu")
    assert products.total_flops(found) == flops.count_jaxpr(jaxpr, "cpu").total
    assert products.total_flops(found) == accounting.model_flops(plan, 16)


def test_products_that_are_alike_are_counted_together_and_loops_as_often_as_they_turn():
    def layers(h, ws):
        h = jax.lax.scan(lambda h, w: (h @ w, None), h, ws)[0]
        return (h @ ws[0]).astype(jnp.bfloat16) @ ws[1].astype(jnp.bfloat16)

    found = operations(layers, struct(3, 5), struct(7, 5, 5))
    assert [(o.times, o.dtype, o.flops) for o in found] == [
        (8, "float32", 2 * 3 * 5 * 5),
        (1, "bfloat16", 2 * 3 * 5 * 5),
    ]
    assert products.main_dtype(found) == "float32"
    assert products.main_dtype(found[1:]) == "bfloat16"
    assert products.main_dtype([]) == "float32"
    assert found[0].to_dict() == {
        "operation": "dot_general",
        "operands": ["float32[3, 5]", "float32[5, 5]"],
        "times": 8,
        "flops": 150,
    }


def test_a_convolution_is_what_the_platform_makes_of_it():
    convolve = lambda x, w: jax.vmap(lambda x: _convolution.convolve(x, w, 2))(x)
    args = struct(2, 8, 8, 3), struct(4, 4, 3, 5)
    assert [o.equation.primitive.name for o in operations(convolve, *args, platform="cpu")] == [
        "dot_general"
    ]
    assert [o.equation.primitive.name for o in operations(convolve, *args, platform="tpu")] == [
        "conv_general_dilated"
    ]


PROGRAMS = {
    "alike": (lambda a, b: a @ b @ b @ b, (struct(4, 6), struct(6, 6))),
    "batched": (lambda a, b: jnp.einsum("bij,bjk->bik", a, b), (struct(3, 4, 6), struct(3, 6, 5))),
    "mixed": (
        lambda a, b: (a @ b).astype(jnp.bfloat16) @ jnp.ones((5, 7), jnp.bfloat16),
        (struct(4, 6), struct(6, 5)),
    ),
    "convolution": (
        lambda x, w: jax.vmap(lambda x: _convolution.convolve_natively(x, w, 2))(x),
        (struct(2, 8, 8, 3), struct(4, 4, 3, 5)),
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_of_the_products_computes_every_one_in_every_turn(name):
    function, args = PROGRAMS[name]
    found = operations(function, *args)
    made = products.alone(found, DEVICES)
    expected = flops.count(function, *args).total
    assert made.flops == products.total_flops(found) == expected
    turns = jnp.int32(3)
    traced = jax.make_jaxpr(made.program)(turns, made.operands)
    assert flops.count_jaxpr(traced.jaxpr).total == expected
    program = made.program.lower(turns, made.operands).compile()
    work = compiled.work(program.as_text())
    assert work.flops == expected
    assert products.complete(made)
    assert not products.complete(made._replace(flops=expected + 1))
    assert len(work.unknown_loops) == 1  # that over turns: what it holds is computed in each


def test_the_program_of_the_products_computes_them_correctly_on_every_device():
    found = operations(lambda a, b: a @ b, struct(4, 6), struct(6, 5))
    made = products.alone(found, jax.devices()[:4])
    (result,) = made.program(jnp.int32(2), made.operands)
    a, b = (np.asarray(operand) for operand in made.operands[0])
    np.testing.assert_allclose(np.asarray(result), a @ b, rtol=1e-5)
    assert len(result.sharding.device_set) == 4
    assert np.count_nonzero(a) == a.size


def test_nothing_is_taken_out_of_the_loop_of_a_whole_step():
    plan = prepare(small.config(ae.recipes.vae(2)))
    found = products.operations(accounting.step_jaxpr(plan, 16), "cpu")
    made = products.alone(found, DEVICES)
    text = made.program.lower(jnp.int32(1), made.operands).compile().as_text()
    assert compiled.work(text).flops == accounting.model_flops(plan, 16)


def test_times_are_those_of_one_turn():
    made = products.alone(operations(lambda a, b: a @ b, struct(4, 6), struct(6, 5)), DEVICES)
    found = products.turn_seconds(made, 1e-3)
    assert len(found) == products.REPEATS
    assert min(found) > 0


def test_peak_and_bandwidth_are_rates():
    assert limits.gemm_peak("float32", DEVICES, 1e-3, size=32) > 0
    assert limits.bandwidth(DEVICES, 1e-3, nbytes=4096) > 0


BOUND = {"moved": 1_000, "bandwidth": 1e6, "step": 4e-3}


@pytest.mark.parametrize(
    ("products", "cache", "held", "seconds"),
    [
        (2e-3, None, "products", 2e-3),
        (5e-4, None, "memory", 1e-3),
        (5e-4, 999, "memory", 1e-3),
        (5e-4, 1_000, "products", 5e-4),  # all of it fits in the cache
    ],
)
def test_the_larger_limit_that_counts_binds(products, cache, held, seconds):
    found = limits.bound(products, cache=cache, **BOUND)
    assert found["held_by"] == held
    assert found["seconds"] == seconds
    assert found["memory_seconds"] == 1e-3
    assert found["fraction"] == pytest.approx(seconds / 4e-3)
