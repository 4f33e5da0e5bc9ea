"""What is read from compiled text, against what is known of the program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from ae_jax.benchmarking.program import compiled, exchanges, flops
from ae_jax.benchmarking.program.exchanges import Collective
from ae_jax.ops import convolution as _convolution


def struct(*shape, dtype="float32"):
    return jax.ShapeDtypeStruct(shape, dtype)


def text_of(function, *args):
    return jax.jit(function).lower(*args).compile().as_text()


def program(*lines, before=""):
    body = "\n".join(f"  {line}" for line in lines)
    return f"HloModule m\n\n{before}ENTRY %main (p: f32[8]) -> f32[8] {{\n{body}\n}}\n"


@pytest.mark.parametrize("turns", [2, 5])
def test_operations_of_a_compiled_program_are_those_of_its_jaxpr(turns):
    def step(x, ws):
        body = lambda h, w: (jnp.tanh(h @ w), None)
        return jnp.sum(jax.lax.scan(body, x, ws)[0])

    function, shapes = jax.grad(step, argnums=(0, 1)), (struct(8, 16), struct(turns, 16, 16))
    found = compiled.work(text_of(function, *shapes))
    assert found.flops == flops.count(function, *shapes).total == 3 * turns * 2 * 8 * 16 * 16
    assert found.unknown_loops == ()


@pytest.mark.parametrize(("size", "stride"), [((8, 8), 1), ((9, 6), 2)])
def test_so_are_those_of_convolutions_and_their_gradients(size, stride):
    convolve = lambda x, w: jax.vmap(lambda x: _convolution.convolve_natively(x, w, stride))(x)
    function = jax.grad(lambda x, w: jnp.sum(convolve(x, w) ** 2), argnums=(0, 1))
    shapes = struct(2, *size, 3), struct(3, 3, 3, 4)
    assert compiled.work(text_of(function, *shapes)).flops == flops.count(function, *shapes).total


def test_a_batched_product_as_a_tpu_writes_it():
    """Batch dimensions stand as window positions; all but one of them meet the dilation's zeros."""
    text = program(
        "%p = f32[4,16,8]{2,1,0} parameter(0)",
        "%q = f32[4,8,32]{2,1,0} parameter(1)",
        "ROOT %c = f32[4,16,32]{2,1,0} convolution(%p, %q), "
        "window={size=4 stride=3 pad=0_0 lhs_dilate=4}, dim_labels=0bf_0io->0bf",
    )
    assert compiled.work(text).flops == 2 * 4 * 16 * 32 * 8


@pytest.mark.parametrize(
    ("line", "nbytes"),
    [
        ("f32[1024]{0} add(%p, %q)", 3 * 4096),
        ("f32[1024]{0:S(1)} add(%p, %q)", 2 * 4096),  # the result stays on the chip
        ("f32[1024]{0} add(%p, %near)", 2 * 4096),
        ("f32[16]{0} dynamic-slice(%p, %i), dynamic_slice_sizes={16}", 64 + 4 + 64),
        ("f32[1024]{0} dynamic-update-slice(%p, %part, %i)", 64 + 4 + 64),
        ("f32[32,32]{1,0} bitcast(%p)", 0),
        (
            "((f32[1024]{0}), f32[16]{0:S(1)}, s32[]{:S(2)}) slice-start(%p), slice={[0:16]}",
            64,
        ),
        ("(f32[1024]{0}, f32[1024]{0:S(1)}, u32[]{:S(2)}) copy-start(%near)", 4096),
        ("f32[16]{0} fusion(%p, %i), kind=kLoop, calls=%sliced", 64 + 4 + 64),
        ("f32[1024]{0} fusion(%p, %part, %i), kind=kLoop, calls=%updated", 64 + 4 + 64),
    ],
)
def test_only_what_is_touched_in_main_memory_counts(line, nbytes):
    before = """\
%sliced (a: f32[1024], i: s32[]) -> f32[16] {
  %a = f32[1024]{0} parameter(0)
  %b = f32[1024]{0} bitcast(%a)
  %i = s32[] parameter(1)
  %cut = f32[16]{0} dynamic-slice(%b, %i), dynamic_slice_sizes={16}
  ROOT %out = f32[16]{0} negate(%cut)
}

%updated (a: f32[1024], u: f32[16], i: s32[]) -> f32[1024] {
  %a = f32[1024]{0} parameter(0)
  %u = f32[16]{0} parameter(1)
  %i = s32[] parameter(2)
  ROOT %out = f32[1024]{0} dynamic-update-slice(%a, %u, %i)
}

"""
    text = program(
        "%p = f32[1024]{0} parameter(0)",
        "%q = f32[1024]{0} parameter(1)",
        "%near = f32[1024]{0:S(1)} parameter(2)",
        "%part = f32[16]{0} parameter(3)",
        "%i = s32[] parameter(4)",
        f"ROOT %out = {line}",
        before=before,
    )
    assert compiled.work(text).hbm_bytes == nbytes


def test_memory_traffic_of_an_update_of_everything():
    shape = struct(1024, 256)
    text = text_of(lambda m, g: 0.9 * m + g, shape, shape)
    assert compiled.work(text).hbm_bytes == 3 * 4 * 1024 * 256


@pytest.mark.parametrize(
    ("attributes", "first", "number"),
    [
        ("replica_groups={{0,1,2,3},{4,5,6,7}}, dimensions={0}", (0, 1, 2, 3), 2),
        ("replica_groups=[4,2]<=[8], use_global_device_ids=true", (0, 1), 4),
        ("replica_groups=[2,4]<=[4,2]T(1,0), channel_id=1", (0, 2, 4, 6), 2),
        ("replica_groups=mesh['a'=2,'b'=4] {'a'}, dimensions={1}", (0, 4), 4),
        ("replica_groups=mesh['a'=2,'b'=4] {'a','b'}", tuple(range(8)), 1),
        ("replica_groups=mesh['a'=4,'b'=2], device_ids=([2,4]T(1,0)) {'b'}", (0, 4), 4),
        ("source_target_pairs={{0,1},{1,2},{2,0}}, channel_id=3", (0, 1), 3),
    ],
)
def test_groups_in_all_their_forms(attributes, first, number):
    found = exchanges.groups(attributes)
    assert (found[0], len(found)) == (first, number)


def test_what_a_device_sends():
    sent = lambda kind, n: Collective(kind, 1200, tuple(range(n)), 1).sent
    assert sent("all-reduce", 4) == 2 * 900
    assert sent("all-gather", 4) == sent("reduce-scatter", 4) == sent("all-to-all", 4) == 900
    assert sent("collective-permute", 2) == 1200


@pytest.mark.parametrize("devices", [2, 4])
def test_collectives_of_a_compiled_program_over_its_loops(devices):
    mesh, over, every = (
        Mesh(np.array(jax.devices()[:devices]), ("d",)),
        PartitionSpec("d"),
        PartitionSpec(),
    )

    def shard(x):
        body = lambda h, _: (jax.lax.pmean(jnp.sin(h), "d"), None)
        h = jax.lax.scan(body, x, length=3)[0]
        return h, jax.lax.all_gather(x[:2], "d"), jax.lax.psum_scatter(x, "d", tiled=True)

    run = jax.shard_map(
        shard, mesh=mesh, in_specs=over, out_specs=(every, every, over), check_vma=False
    )
    found = compiled.work(text_of(run, struct(8 * devices, 16)))
    totals = {c.kind: (c.payload, len(c.group), c.times) for c in found.collectives}
    assert totals == {
        "all-reduce": (8 * 16 * 4, devices, 3),
        "all-gather": (devices * 2 * 16 * 4, devices, 1),
        "reduce-scatter": (8 * 16 * 4, devices, 1),
    }


def test_transfers_in_two_halves_count_once():
    text = program(
        "%p = bf16[64]{0} parameter(0)",
        "%start = (bf16[64]{0}, bf16[256]{0}) all-gather-start(%p), replica_groups=[1,4]<=[4]",
        "%g = bf16[256]{0} all-gather-done(%start)",
        "%r = bf16[256]{0} all-reduce-start(%g), replica_groups={{0,1,2,3}}, to_apply=%add",
        "ROOT %out = bf16[256]{0} all-reduce-done(%r)",
    )
    found = [(c.kind, c.payload) for c in compiled.work(text).collectives]
    assert found == [("all-gather", 512), ("all-reduce", 512)]


def test_an_exchange_of_a_device_with_itself_is_none():
    text = program(
        "%p = f32[64]{0} parameter(0)",
        "ROOT %r = f32[64]{0} all-reduce(%p), replica_groups={{0},{1}}, to_apply=%add",
    )
    assert compiled.work(text).collectives == ()


BESIDE = """\
%begin (a: f32[64]) -> (f32[64], f32[256], u32[]) {
  %a = f32[64]{0} parameter(0)
  %g = f32[256]{0} all-gather(%a), channel_id=3, replica_groups=[1,4]<=[4], \
frontend_attributes={chain_id="0"}
  ROOT %s = (f32[64]{0}, f32[256]{0}, u32[]{:S(2)}) custom-call(%g), \
custom_call_target="AsyncCollectiveStart"
}

%beside (a: f32[64], b: f32[256], c: u32[], x: f32[16]) -> (f32[16], f32[64], f32[256], u32[]) {
  %x = f32[16]{0} parameter(3)
  %y = f32[16]{0} negate(%x)
  %a = f32[64]{0} parameter(0)
  %b = f32[256]{0} parameter(1)
  %g = f32[256]{0} all-gather(%a), channel_id=3, replica_groups=[1,4]<=[4], \
frontend_attributes={chain_id="0"}
  %c = u32[]{:S(2)} parameter(2)
  ROOT %t = (f32[16]{0}, f32[64]{0}, f32[256]{0}, u32[]{:S(2)}) tuple(%y, %a, %g, %c)
}

%finish (a: f32[64], b: f32[256], c: u32[]) -> f32[256] {
  %a = f32[64]{0} parameter(0)
  %b = f32[256]{0} parameter(1)
  %g = f32[256]{0} all-gather(%a), channel_id=3, replica_groups=[1,4]<=[4], \
frontend_attributes={chain_id="0"}
  %c = u32[]{:S(2)} parameter(2)
  ROOT %d = f32[256]{0} custom-call(%a, %b, %g, %c), custom_call_target="AsyncCollectiveDone"
}

"""


def test_a_collective_beside_other_work_counts_once():
    text = program(
        "%p = f32[64]{0} parameter(0)",
        "%x = f32[16]{0} parameter(1)",
        "%s = (f32[64]{0}, f32[256]{0}, u32[]{:S(2)}) fusion(%p), kind=kCustom, calls=%begin",
        "%a = f32[64]{0} get-tuple-element(%s), index=0",
        "%b = f32[256]{0} get-tuple-element(%s), index=1",
        "%c = u32[]{:S(2)} get-tuple-element(%s), index=2",
        "%t = (f32[16]{0}, f32[64]{0}, f32[256]{0}, u32[]{:S(2)}) fusion(%a, %b, %c, %x), "
        "kind=kCustom, calls=%beside",
        "%e = f32[64]{0} get-tuple-element(%t), index=1",
        "%f = f32[256]{0} get-tuple-element(%t), index=2",
        "%h = u32[]{:S(2)} get-tuple-element(%t), index=3",
        "ROOT %d = f32[256]{0} fusion(%e, %f, %h), kind=kCustom, calls=%finish",
        before=BESIDE,
    )
    found = compiled.work(text)
    assert [(c.kind, c.payload) for c in found.collectives] == [("all-gather", 1024)]
    gathered, beside = 256 + 1024, 64 + 64  # the part read and the whole written; x and y
    assert found.hbm_bytes == gathered + beside
