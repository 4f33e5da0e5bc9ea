"""Sparsity of codes and hidden layers, over the batch or the running average of the bottleneck."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ae_jax as ae
from ae_jax import terms
from ae_jax.training.parallel import strategies as parallel
from tests import fast
from tests.reference import sparsity as oracles
from tests.terms.setting import NETWORK, VALID, double, evaluate, gradients, setting

RHO = 0.2
LAYERS = ("code", "hidden_0", "decoder/hidden_0")
RELU = ae.networks.mlp((8,), "relu")


def rows_of(made, layer):
    outputs = made.outputs
    if layer == "code":
        return double(outputs.z).mean(1)
    values = double(outputs.activations[layer])
    return values.mean(1) if layer.startswith("decoder/") else values


def test_rho_hat_is_the_mean_over_valid_examples_of_each_unit_of_each_layer():
    made = setting("sparse")
    got = evaluate(made, all=terms.sparsity(RHO, layers=LAYERS), code=terms.sparsity(RHO))
    each = {
        layer: oracles.sparsity_kl(rows_of(made, layer)[VALID].mean(0), rho=RHO)[0]
        for layer in LAYERS
    }
    np.testing.assert_allclose(got["code"], each["code"], rtol=1e-5)
    np.testing.assert_allclose(got["all"], sum(each.values()), rtol=1e-5)
    per_row = [oracles.sparsity_kl(row, rho=RHO)[0] for row in rows_of(made, "code")[VALID]]
    assert np.mean(per_row) > 1.001 * each["code"]  # the mean of divergences is another number


def test_penalties_of_each_example_against_numpy():
    made = setting("sparse")
    two = ("code", "decoder/hidden_0")
    got = evaluate(made, l1=terms.l1(layers=two), l0=terms.l0(scale=3.0, layers=two))
    absolute = [np.abs(rows_of(made, layer)) for layer in two]
    np.testing.assert_allclose(got["l1"], sum(a.sum(1) for a in absolute), rtol=1e-5)
    count = sum(np.tanh(3 * a).sum(1) for a in absolute)
    np.testing.assert_allclose(got["l0"], count, rtol=1e-5)


def test_the_running_average_gives_the_value_and_the_batch_the_gradient():
    made = setting("sparse")
    variables = made.context.variables
    average = jnp.array([0.1, 0.4, 0.7])
    state = {"bottleneck": {"mean_activation": average, "steps": jnp.float32(9)}}
    variables = ae.Variables(variables.params, variables.state | state)
    made = made._replace(context=made.context._replace(variables=variables))
    running = terms.sparsity(RHO, running=True)
    got = evaluate(made, running=running)["running"]
    value, _ = oracles.sparsity_kl(np.asarray(average, np.float64), rho=RHO)
    np.testing.assert_allclose(got, value, rtol=1e-5)

    slope = jax.grad(ae.losses.sparsity_kl, argnums=1)(RHO, average)

    @ae.term(batch_coupled=True)
    def linear(outputs, context):
        return jnp.sum(context.mean(outputs.z[:, 0]) * slope)

    found = gradients(made, running=running, linear=linear())
    compare = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-8)
    jax.tree.map(compare, found["running"], found["linear"])
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(found["running"])) > 1e-3


DECAY, STEPS, BATCH = 0.5, 4, 16
DATA = np.random.default_rng(0).normal(size=(STEPS, BATCH, 6)).astype(np.float32)
MASK = np.random.default_rng(1).random((STEPS, BATCH)) < 0.7
SPARSE = ae.recipes.sparse(3, encoder=NETWORK, decoder=NETWORK)._replace(
    bottleneck=ae.bottlenecks.sparse(3, decay=DECAY),
    objective=ae.terms.reconstruction() + terms.sparsity(RHO, running=True),
)


@functools.cache
def trained(devices):
    """States after each of a few steps, on so many devices."""
    model, objective = SPARSE.build(ae.Spec((6,), "real"))
    variables = jax.eval_shape(model.init, jax.random.key(0), DATA[0, 0])
    players = ae.training.single_player(objective, optax.sgd(0.1), variables)
    step = ae.training.make_step(model, players, num_train=100)
    state = fast.jit(lambda: ae.training.init_state(model, players, DATA[0, 0], seed=0))()
    strategy, share = parallel.pmap(jax.devices()[:devices]), BATCH // devices

    def per_shard(device, state, x, valid):
        rows = lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, device * share, share)
        batch, places = ae.Batch(rows(x), valid=rows(valid)), rows(jnp.arange(BATCH))
        return step(state, batch, places, strategy.across)[0]

    run, states = fast.jit(strategy.compile("sparse", per_shard)), [state]
    for x, valid in zip(DATA, MASK, strict=True):
        states.append(run(states[-1], x, valid))
    return model, jax.device_get([(s.variables.params, s.variables.state) for s in states])


def test_the_bottleneck_keeps_the_running_average_of_its_units():
    model, states = trained(1)
    average, kept = np.full(3, np.nan), []
    for i, (x, valid) in enumerate(zip(DATA, MASK, strict=True)):
        code = model.encode(ae.Variables(*states[i]), jnp.asarray(x))
        now = double(code)[valid].mean(0)
        keep = min(DECAY, i / (i + 1))
        average = now if i == 0 else keep * average + (1 - keep) * now
        kept.append(average)
    got = [state["bottleneck"]["mean_activation"] for _, state in states[1:]]
    np.testing.assert_allclose(got, kept, rtol=1e-5)
    assert [int(state["bottleneck"]["steps"]) for _, state in states] == [0, 1, 2, 3, 4]
    assert np.abs(np.diff(got, axis=0)).max() > 1e-3


@pytest.mark.parametrize("devices", [2, 4, 8])
def test_the_running_average_does_not_depend_on_the_number_of_devices(devices):
    (_, one), (_, many) = trained(1), trained(devices)
    compare = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(compare, many, one)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_that_forgets_or_never_moves_is_refused(decay):
    with pytest.raises(ae.errors.ConfigError, match=r"decay must lie in \[0, 1\), got"):
        ae.bottlenecks.sparse(3, decay=decay)


@pytest.mark.parametrize(
    ("kind", "encoder", "objective", "message"),
    [
        ("sparse", RELU, terms.sparsity(layers=("hidden_0",)), "'hidden_0' has relu units"),
        (
            "sparse",
            ae.networks.mlp((8,), jax.nn.relu),
            terms.sparsity(layers=("hidden_0",)),
            "'hidden_0' has .*relu units: use activation='sigmoid'",
        ),
        ("sparse", RELU, terms.sparsity(layers=("hiden_0",)), "no layer 'hiden_0'; did you mean"),
        ("identity", NETWORK, terms.sparsity(), r"code in \(0, 1\).*bottleneck is 'identity'"),
        ("gaussian", NETWORK, terms.sparsity(), r"bottleneck is 'gaussian'.*ae\.terms\.l1"),
        (
            "sparse",
            NETWORK,
            terms.sparsity(layers=("hidden_0",), running=True),
            r"sparsity\(running=True\) needs the code .* got the layer 'hidden_0'",
        ),
        ("sparse", NETWORK, terms.l1(layers=("hidden_9",)), "no layer 'hidden_9'; did you mean"),
    ],
)
def test_bad_arguments_are_refused_before_compilation(kind, encoder, objective, message):
    with pytest.raises((ValueError, TypeError), match=message):
        evaluate(setting(kind, encoder=encoder), bad=objective)


def test_sigmoid_units_given_as_a_function_are_sigmoid_units():
    made = setting("sparse", encoder=ae.networks.mlp((8,), jax.nn.sigmoid))
    got = evaluate(made, it=terms.sparsity(RHO, layers=("hidden_0",)))["it"]
    mean = rows_of(made, "hidden_0")[VALID].mean(0)
    np.testing.assert_allclose(got, oracles.sparsity_kl(mean, rho=RHO)[0], rtol=1e-5)
