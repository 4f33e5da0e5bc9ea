"""Programs in XLA's text: loops, buffers, and what runs how often."""

import jax
import jax.numpy as jnp
import pytest

from ae_jax.benchmarking.program import hlo, hlo_text

LOOPS = """\
HloModule jit_run, num_partitions=4

%fused (param_0: s32[], param_1: s32[]) -> pred[] {
  %param_0 = s32[]{:T(128)} parameter(0)
  %param_1 = s32[]{:T(128)} parameter(1)
  ROOT %lt = pred[]{:T(512)} compare(%param_1, %param_0), direction=LT
}

%inner_body (p: (s32[], f32[8,128], s32[], s32[])) -> (s32[], f32[8,128], s32[], s32[]) {
  %p = (s32[]{:T(128)}, f32[8,128]{1,0:T(8,128)S(1)}, s32[], s32[]) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  %copy.1 = s32[]{:T(128)S(6)} copy(%i)
  %one = s32[] get-tuple-element(%p), index=2
  %end = s32[] get-tuple-element(%p), index=3
  %add = s32[]{:T(128)} add(%copy.1, %one)
  %x = f32[8,128]{1,0:T(8,128)S(1)} get-tuple-element(%p), index=1
  %tanh = f32[8,128]{1,0:T(8,128)S(1)} tanh(%x), metadata={op_name="a(b)/c[d]{e}"}
  ROOT %out = (s32[], f32[8,128]{1,0}, s32[], /*index=3*/s32[]) tuple(%add, %tanh, %one, %end)
}

%inner_test (p: (s32[], f32[8,128], s32[], s32[])) -> pred[] {
  %p = (s32[], f32[8,128]{1,0:T(8,128)S(1)}, s32[], s32[]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %end = s32[] get-tuple-element(%p), index=3
  ROOT %less = pred[] fusion(%end, %i), kind=kLoop, calls=%fused
}

%outer_body (p: (s32[], f32[8,128], s32[], s32[])) -> (s32[], f32[8,128], s32[], s32[]) {
  %p = (s32[], f32[8,128]{1,0:T(8,128)}, s32[], s32[]) parameter(0)
  %x = f32[8,128]{1,0:T(8,128)} get-tuple-element(%p), index=1
  %i = s32[] get-tuple-element(%p), index=0
  %n = s32[] get-tuple-element(%p), index=2
  %kept = s32[] get-tuple-element(%p), index=3
  %two = s32[] constant(2)
  %one = s32[] constant(1)
  %start = (s32[], f32[8,128], s32[], s32[]) tuple(%two, %x, %one, %kept)
  %loop = (s32[], f32[8,128], s32[], s32[]) while(%start), body=%inner_body, condition=%inner_test
  %y = f32[8,128]{1,0} get-tuple-element(%loop), index=1
  %add = s32[] add(%i, %one)
  ROOT %out = (s32[], f32[8,128]{1,0}, s32[], s32[]) tuple(%add, %y, %n, %kept)
}

%outer_test (p: (s32[], f32[8,128], s32[], s32[])) -> pred[] {
  %p = (s32[], f32[8,128]{1,0:T(8,128)}, s32[], s32[]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %n = s32[] get-tuple-element(%p), index=2
  ROOT %less = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (x: f32[8,128], n: s32[]) -> f32[8,128] {
  %x = f32[8,128]{1,0:T(8,128)} parameter(0)
  %n = s32[] parameter(1)
  %zero = s32[] constant(0)
  %nine = s32[] constant(9)
  %carry = (s32[], f32[8,128], s32[], s32[]) tuple(%zero, %x, %n, %nine)
  %while = (s32[], f32[8,128], s32[], s32[]) while(%carry), condition=%outer_test, body=%outer_body
  ROOT %y = f32[8,128]{1,0:T(8,128)} get-tuple-element(%while), index=1
}
"""


def test_constants_carried_into_a_loop_tell_how_often_it_turns():
    program = hlo.Program(LOOPS)
    assert program.entry == "main"
    trips = {loop.name: program.trips(where, loop) for where, loop in program.loops.values()}
    assert trips == {"loop": 7, "while": None}  # from 2 up to 9, and as long as asked
    visits = {visit.instruction.name: visit for visit in program.walk()}
    assert visits["tanh"].times == 7
    assert not visits["tanh"].fused
    assert visits["y"].times == 1


def test_buffers_know_their_bytes_and_where_they_lie():
    found = hlo_text.buffers(
        "(f32[8,128]{1,0:T(8,128)S(1)}, /*index=1*/bf16[3]{0:T(4)(2,1)}, pred[], u32[]{:S(2)})"
    )
    assert [b.nbytes for b in found] == [4096, 6, 1, 4]
    assert [b.space for b in found] == [1, 0, 0, 2]
    assert hlo_text.buffers("s4[16]")[0].nbytes == 8


@pytest.mark.parametrize("turns", [1, 5])
def test_a_program_of_this_machines_compiler_is_read_too(turns):
    def run(x, n):
        body = lambda i, x: jax.lax.scan(lambda h, _: (jnp.sin(h @ h), None), x, length=turns)[0]
        return jax.lax.fori_loop(0, n, body, x)

    shape = jax.ShapeDtypeStruct((4, 4), "float32")
    text = jax.jit(run).lower(shape, jax.ShapeDtypeStruct((), "int32")).compile().as_text()
    visits = [v for v in hlo.Program(text or "").walk() if v.instruction.opcode == "sine"]
    assert [v.times for v in visits] == [turns]
