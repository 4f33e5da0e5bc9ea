"""The precision policy: what is computed in which type, and what is not rounded."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import jaxprs_in_params

import ae_jax as ae
from ae_jax import precision
from ae_jax.errors import UnknownNameError
from ae_jax.networks._calls import accepted
from ae_jax.training import init_state, make_step, single_player
from tests import fast, small

SPEC = ae.Spec((small.WIDTH,), "real")
X = small.arrays()[:16]


def built(name, recipe=None, spec=SPEC):
    model, objective = (recipe or small.vae()).build(spec)
    return precision.with_compute_dtype(model, name, spec), objective


def equations(jaxpr):
    """All of a jaxpr's equations, those of inner ones too."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner)


def stepped(name):
    model, objective = built(name)
    variables = jax.eval_shape(model.init, jax.random.key(0), X[0])
    players = single_player(objective, optax.adam(1e-3), variables)
    state = jax.eval_shape(lambda: init_state(model, players, X[0], 0))
    step = make_step(model, players, 100)
    return state, jax.make_jaxpr(step)(state, ae.Batch(X)), jax.eval_shape(step, state, ae.Batch(X))


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_products_are_of_the_compute_dtype_and_all_that_is_kept_is_float32(name):
    state, jaxpr, (new, metrics) = stepped(name)
    products = [e for e in equations(jaxpr.jaxpr) if e.primitive.name == "dot_general"]
    assert len(products) >= 4 + 3 * 2  # forward, and back but for what nothing needs
    assert {str(v.aval.dtype) for e in products for v in e.invars} == {name}
    form = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
    assert form(new) == form(state)
    floats = [leaf.dtype for leaf in jax.tree.leaves((new.variables, new.optimizer, metrics))]
    assert {str(dtype) for dtype in floats} <= {"float32", "int32"}


def test_bfloat16_is_float32_to_its_own_rounding():
    found = {}
    for name in ("float32", "bfloat16"):
        model, objective = built(name)
        players = single_player(
            objective, optax.sgd(1.0), jax.eval_shape(model.init, jax.random.key(0), X[0])
        )
        state = small.filled_state(model, players)
        new, metrics = fast.jit(make_step(model, players, 100))(state, ae.Batch(X))
        moved = jax.tree.map(lambda a, b: a - b, new.variables.params, state.variables.params)
        found[name] = moved, float(metrics["loss"])
    distance = small.distance(found["bfloat16"][0], found["float32"][0])
    assert 1e-4 < distance < 2e-2
    assert found["bfloat16"][1] == pytest.approx(found["float32"][1], rel=1e-2)


def test_the_networks_of_a_float32_model_are_left_as_they_are():
    model, _ = small.vae().build(SPEC)
    assert precision.with_compute_dtype(model, "float32", SPEC) is model


def test_numbers_of_tokens_are_not_rounded():
    spec = ae.Spec((3,), "tokens", num_classes=2000)
    recipe = ae.recipes.autoencoder(
        4,
        encoder=ae.networks.transformer(vocabulary=2000, width=8, depth=1, heads=1),
        decoder=ae.networks.transformer_decoder(vocabulary=2000, width=8, depth=1, heads=1),
    )
    tokens = jnp.array([[1001, 1003, 1005], [1002, 1003, 1005]], jnp.float32)  # bfloat16: all even
    codes = {}
    for name in ("float32", "bfloat16"):
        model, _ = built(name, recipe, spec)
        variables = fast.jit(model.init)(jax.random.key(0), tokens[0])
        codes[name] = np.asarray(model.encode(variables, tokens))
        assert accepted(
            model.decoder.apply, {"target": None}
        )  # the decoder still shows that it reads x
    assert small.distance(codes["bfloat16"], codes["float32"]) < 2e-2
    assert np.linalg.norm(codes["bfloat16"][0] - codes["bfloat16"][1]) > 1e-2


def test_a_compute_dtype_that_there_is_not():
    with pytest.raises(UnknownNameError, match="compute_dtype cannot be 'half'"):
        built("half")


def test_what_a_run_says_of_its_precision():
    config = ae.config.complete(ae.config.for_recipe(small.vae()))
    assert precision.described(config) == "float32"
    changes = {"training.compute_dtype": "bfloat16", "model.decoder.dtype": "float32"}
    assert precision.described(ae.config.replaced(config, changes)) == "bfloat16 (decoder float32)"


@pytest.mark.parametrize("asked", [None, "highest", "bfloat16"])
def test_the_matmul_precision_is_what_the_machine_does(asked):
    with jax.default_matmul_precision(asked) if asked else jax.default_matmul_precision(None):
        wanted = asked or precision.MATMUL_DEFAULTS[jax.default_backend()]
        assert precision.matmul_precision() == wanted


@pytest.mark.slow
def test_a_run_in_bfloat16_ends_where_one_in_float32_does(tmp_path):
    fields = {"steps": 300, "eval_every": 300, "checkpoint_every": 300, "log_every": 100}
    half = small.train(tmp_path, compute_dtype="bfloat16", **fields)
    assert half.summary["precision"] == "bfloat16"
    whole = small.train(**fields)
    losses = [run.summary["metrics"]["test"]["loss"] for run in (half, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert ae.load(tmp_path).evaluate()["loss"] == pytest.approx(losses[0], rel=1e-6)
