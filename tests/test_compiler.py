"""What XLA is told: numbers that it is known to get wrong, and where it may not round."""

import functools
import json
import os
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import compiler, precision
from ae_jax.training.parallel import examples
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.parallel.strategy import Program, compiler_options
from tests import small
from tests.scripts import ROOT

WRONG = {"0.10.2": 1, "0.11.2": 0, "0.12.0.1": 0}  # rows of the first program, by jax's version
PROGRAMS = """
import json, sys, warnings
import jax, jax.numpy as jnp, numpy as np
if "late" in sys.argv:
    jax.devices()
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    import ae_jax as ae
    from ae_jax import compiler
    from ae_jax.training.parallel import examples, strategies as parallel

    x = np.zeros((32_769, 3), np.float32)  # jax #39103
    x[:, 0] = np.arange(len(x))
    rows = lambda x: jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2))(x)
    squares = (x.astype(np.float64) ** 2).sum(1)
    pairs = np.random.default_rng(0).normal(size=(64, 128)).astype(np.float32)  # openxla #48714
    window = (2, 1), (2, 1), ((0, 0), (0, 0)), (1, 2)
    highest = lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, *window)
    wide = np.full((32, 255), -np.inf)
    wide[:, ::2] = np.maximum(pairs[::2], pairs[1::2])
    programs = (rows, x, squares), (highest, pairs, wide)
    off = lambda found, right: int((~np.isclose(np.asarray(found), right, rtol=1e-5)).sum())
    mesh = parallel.STRATEGIES["pmap"](jax.devices())
    of_run = mesh.compile("rows", lambda number, x: rows(x))
    over = examples.over_examples(lambda shared, x: rows(x), mesh, len(x))
    print(json.dumps({
        "plain": [off(jax.jit(f)(x), right) for f, x, right in programs],
        "own": [off(compiler.jit(f)(x), right) for f, x, right in programs],
        "run": [off(of_run(x), squares), off(over({}, x), squares)],
        "said": [str(warning.message) for warning in said],
    }))
"""


@functools.cache
def found(*arguments):
    """What `PROGRAMS` prints in a process of its own, without `XLA_FLAGS`."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment |= {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROGRAMS, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_after_import_ae_jax_every_program_on_a_cpu_is_right():
    assert found() == {"plain": [0, 0], "own": [0, 0], "run": [0, 0], "said": []}


def test_where_the_import_comes_too_late_ours_are_right_and_the_user_is_told_in_one_line():
    late = found("late")
    assert late["own"] == late["run"] == [0, 0]
    assert len(late["said"]) == 1
    assert "wrong numbers" in late["said"][0]
    assert "\n" not in late["said"][0]
    if (wrong := WRONG.get(jax.__version__)) is not None:  # there is something to be mended
        assert late["plain"][0] == wrong
        assert late["plain"][1] > 8_000


@pytest.fixture
def fresh(monkeypatch):
    """No device in use and nobody warned, as far as `make_safe` can tell."""
    monkeypatch.setattr(compiler.xla_bridge, "backends_are_initialized", lambda: False)
    compiler._warn.cache_clear()
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    return monkeypatch


OFF = f"--{compiler.FUSIONS}=-reduce"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, OFF),
        ("", OFF),
        (
            "--xla_force_host_platform_device_count=8",
            f"--xla_force_host_platform_device_count=8 {OFF}",
        ),
        (f"--{compiler.FUSIONS}=", f"--{compiler.FUSIONS}="),
        (OFF, OFF),
    ],
)
def test_flags_are_completed_and_what_the_user_says_is_left(fresh, before, after):
    if before is not None:
        fresh.setenv("XLA_FLAGS", before)
    compiler.make_safe()
    compiler.make_safe()
    assert os.environ["XLA_FLAGS"] == after
    assert compiler.options("cpu") == {}


@pytest.mark.parametrize("platforms", ["cuda", "tpu"])
def test_flags_are_left_alone_where_there_is_no_cpu(fresh, platforms):
    fresh.setattr(
        compiler,
        "jax",
        types.SimpleNamespace(config=types.SimpleNamespace(jax_platforms=platforms)),
    )
    compiler.make_safe()
    assert "XLA_FLAGS" not in os.environ
    assert compiler.options("gpu") == compiler.options("tpu") == {}


def test_a_compiler_that_does_not_know_the_flag_never_sees_it(fresh, tmp_path):
    older = tmp_path / "libjax_common.so"
    older.write_bytes(b"xla_cpu_something_else")
    fresh.setattr(compiler, "_compilers", lambda *packages: iter([older]))
    compiler.make_safe()
    assert "XLA_FLAGS" not in os.environ
    assert compiler.options("cpu") == {}


def test_a_plugin_that_does_not_know_the_flag_leaves_it_to_each_program(fresh, tmp_path):
    plugin, known = tmp_path / "plugin.so", tmp_path / "libjax_common.so"
    plugin.write_bytes(b"another compiler")
    known.write_bytes(compiler.FUSIONS.encode())
    fresh.setattr(
        compiler,
        "_compilers",
        lambda *packages: iter([known] if packages == ("jaxlib",) else [known, plugin]),
    )
    compiler.make_safe()
    assert "XLA_FLAGS" not in os.environ
    with pytest.warns(RuntimeWarning, match="wrong numbers"):
        assert set(compiler.options("cpu")) == {compiler.FUSIONS}


def test_flags_that_were_replaced_after_the_import_are_made_good_in_each_program(fresh):
    fresh.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
    with pytest.warns(RuntimeWarning, match="wrong numbers"):
        first = compiler_options(jax.devices())
    assert set(first) == {compiler.FUSIONS}
    assert compiler_options(jax.devices()) == first  # and no second warning, which is an error


def test_a_file_of_flags_is_read_and_not_appended_to(fresh, tmp_path):
    file = tmp_path / "flags.txt"
    file.write_text("--xla_force_host_platform_device_count=8\n")
    fresh.setenv("XLA_FLAGS", str(file))
    compiler.make_safe()
    assert os.environ["XLA_FLAGS"] == str(file)
    with pytest.warns(RuntimeWarning, match="wrong numbers"):
        assert set(compiler.options("cpu")) == {compiler.FUSIONS}
    file.write_text(OFF)
    assert compiler.options("cpu") == {}


# ---- half precision -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_program_in_half_precision_rounds_where_it_says(dtype):
    """NumPy rounds after each operation; what XLA may keep makes the error of a sum 0."""
    half = np.dtype(getattr(ml_dtypes, dtype, dtype))
    x, y = np.random.default_rng(0).normal(size=(2, 1_000)).astype(half)
    program = Program(lambda count: jax.jit(lambda x, y: y - ((x + y) - x)))
    np.testing.assert_array_equal(program(x, y).astype("f4"), (y - ((x + y) - x)).astype("f4"))
    assert len(program._compiled) == 1  # with the options


def test_only_programs_in_half_precision_are_told_to_round(monkeypatch):
    monkeypatch.setitem(compiler.EXACT, "xla_no_such_option", 1)
    twice = Program(lambda count: jax.jit(lambda x: 2 * x))
    np.testing.assert_array_equal(twice(np.ones(3, np.float32)), np.full(3, 2.0))
    for dtype in (jnp.bfloat16, jnp.float16):
        half = Program(lambda count, dtype=dtype: jax.jit(lambda x: 2 * x.astype(dtype)))
        with pytest.raises(Exception, match="No such compile option"):
            half(np.ones(3, np.float32))
        with pytest.raises(Exception, match="No such compile option"):
            half.lower(np.ones(3, np.float32)).compile()
    monkeypatch.setenv("XLA_FLAGS", "--xla_allow_excess_precision=true --xla_no_such_option=1")
    assert compiler.rounding("tensor<bf16>") == {}


@pytest.mark.slow
def test_training_evaluation_and_a_runs_own_programs_are_told_to_round(monkeypatch):
    run = small.fit_quietly(small.config(compute_dtype="bfloat16", steps=1))
    monkeypatch.setitem(compiler.EXACT, "xla_no_such_option", 1)
    run._programs.clear()
    x = small.arrays()[:4]
    for program in (run.encode, run.reconstruct, run.log_likelihood, run.evaluate):
        with pytest.raises(Exception, match="No such compile option"):
            program(x)
    with pytest.raises(Exception, match="No such compile option"):
        small.fit_quietly(run.config)


NETWORKS = {
    "mlp": (ae.Spec((6,), "real"), lambda n: (n.mlp((32,)), n.mlp((32,)))),
    "conv": (ae.Spec((8, 8, 1), "real"), lambda n: (n.conv((4, 8)), n.deconv((8, 4)))),
    "vit": (
        ae.Spec((8, 8, 1), "real"),
        lambda n: (n.vit(4, 8, depth=1, heads=1), n.vit_decoder(4, 8, depth=1, heads=1)),
    ),
    "transformer": (
        ae.Spec((6,), "tokens", num_classes=9),
        lambda n: (
            n.transformer(vocabulary=9, width=8, depth=1, heads=1),
            n.transformer_decoder(vocabulary=9, width=8, depth=1, heads=1),
        ),
    ),
}


@pytest.mark.devices(8)
@pytest.mark.parametrize(
    "name",
    ["mlp", "conv", *(pytest.param(n, marks=pytest.mark.slow) for n in ("vit", "transformer"))],
)
def test_the_bfloat16_forward_of_eight_devices_is_that_of_one(name):
    """All but a few elements in the same bits, those to bfloat16's last place."""
    spec, networks = NETWORKS[name]
    encoder, decoder = networks(ae.networks)
    model, _ = ae.recipes.autoencoder(3, encoder=encoder, decoder=decoder).build(spec)
    model = precision.with_compute_dtype(model, "bfloat16", spec)
    rng = np.random.default_rng(0)
    shape = (16, *spec.event_shape)
    x = rng.integers(9, size=shape) if spec.num_classes else rng.normal(size=shape)
    x = x.astype(np.int32 if spec.num_classes else np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), x[0])
    draw = lambda leaf: (0.3 * rng.normal(size=leaf.shape)).astype(leaf.dtype)
    variables = jax.tree.map(draw, shapes)

    def forward(variables, x):
        z = model.encode(variables, x)
        return z, model.decode(variables, z)

    def on(count):
        over = parallel.STRATEGIES["pmap"](jax.devices()[:count])
        found = examples.over_examples(forward, over, len(x))(variables, x)
        return np.concatenate([leaf.reshape(len(x), -1) for leaf in jax.tree.leaves(found)], 1)

    one, eight = on(1), on(8)
    assert np.std(one) > 0.1
    assert (one != eight).mean() <= 0.005
    np.testing.assert_allclose(eight, one, atol=2**-7 * np.abs(one).max())
