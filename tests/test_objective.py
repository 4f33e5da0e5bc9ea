"""Objectives: their algebra, their average over the batch, and their config form."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ae_jax as ae
from ae_jax.distributions import DiagonalGaussian
from ae_jax.objective import from_config

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(6, 2, 3)).astype(np.float32)
VALID = np.array([True, True, False, True, True, False])


@ae.term
def code_power(outputs, context, power: float = 2.0):
    """Σ |z|^power over the code, averaged over samples."""
    del context
    return jnp.mean(jnp.sum(jnp.abs(outputs.z) ** power, axis=-1), axis=1)


@ae.term(batch_coupled=True)
def mean_code_norm(outputs, context):
    """The squared norm of the batch's mean code."""
    return jnp.sum(context.mean(outputs.z[:, 0]) ** 2)


@ae.term
def many_samples(outputs, context, samples: int = 5):
    del context
    return outputs.z.sum((1, 2)) / samples


@ae.term
def not_per_example(outputs, context):
    del context
    return jnp.sum(outputs.z)


@ae.term(batch_coupled=True)
def not_one_number(outputs, context):
    del context
    return jnp.sum(outputs.z, axis=(1, 2))


def outputs_of(z):
    nothing = jnp.zeros(z.shape[:2])
    posterior = DiagonalGaussian(z[:, 0], jnp.zeros_like(z[:, 0]))
    return ae.Outputs(z, {}, posterior, z, z, nothing, nothing, nothing, {})


def context_of(valid=None, step=0):
    batch = ae.Batch(jnp.zeros((6, 1)), valid=valid)
    return ae.Context(None, ae.Variables({}, {}), batch, None, step, 100)


def value(objective, z=Z, valid=None, step=0):
    return objective(outputs_of(jnp.asarray(z)), context_of(valid, step))


def scales(objective):
    return {term.name: term.scale for term in objective.terms}


def test_addition_and_sum_join_terms_and_a_number_weighs_them():
    a, b = code_power(), mean_code_norm()
    assert scales(3.0 * (a + 2.0 * b)) == {"code_power": 3.0, "mean_code_norm": 6.0}
    assert scales((a + b) * 0.5) == {"code_power": 0.5, "mean_code_norm": 0.5}
    assert scales(sum([a, b, many_samples()])) == scales(a + b + many_samples())
    assert scales(0 + a) == scales(a + ae.Objective()) == {"code_power": 1.0}
    assert repr(a + 2.0 * b) == "Objective(1.0 · code_power + 2.0 · mean_code_norm)"


def test_two_terms_of_one_name_are_refused_and_renaming_helps():
    with pytest.raises(ae.errors.ConfigError, match=r"two terms are called 'code_power'.*name="):
        code_power() + code_power(power=1.0)
    both = code_power() + code_power(power=1.0, name="code_l1")
    assert set(value(both)[1]) == {"loss", "code_power", "code_l1"}


@pytest.mark.parametrize("name", ["loss", "grad_norm", "skipped"])
def test_the_names_of_the_steps_own_metrics_are_taken(name):
    with pytest.raises(ae.errors.ConfigError, match=f"no term can be called '{name}'"):
        code_power(name=name)


@pytest.mark.parametrize(("other", "match"), [(1, "plus int"), ("kl", "plus str")])
def test_only_objectives_can_be_added(other, match):
    with pytest.raises(ae.errors.PartError, match=match):
        code_power() + other


def test_a_weight_is_a_scalar():
    with pytest.raises(ae.errors.PartError, match="a weight is a number or a scalar array"):
        code_power() * np.ones(3)
    assert scales(code_power() * jnp.float32(2.0)) == {"code_power": 2.0}


def test_the_value_is_the_weighted_sum_of_means_and_metrics_are_unweighted():
    objective = 2.0 * code_power() + 0.25 * code_power(power=1.0, name="l1")
    loss, metrics = value(objective)
    square, absolute = np.mean(np.sum(Z**2, -1)), np.mean(np.sum(np.abs(Z), -1))
    np.testing.assert_allclose(metrics["code_power"], square, rtol=1e-6)
    np.testing.assert_allclose(metrics["l1"], absolute, rtol=1e-6)
    np.testing.assert_allclose(loss, 2 * square + 0.25 * absolute, rtol=1e-6)
    assert metrics["loss"] == loss


def test_examples_that_are_not_valid_do_not_count_even_if_they_are_nan():
    z = Z.copy()
    z[~VALID] = np.nan
    objective = code_power() + 0.5 * mean_code_norm()
    loss, metrics = value(objective, z, VALID)
    coupled = np.sum(np.mean(Z[VALID, 0], 0) ** 2)
    np.testing.assert_allclose(metrics["code_power"], np.mean(np.sum(Z[VALID] ** 2, -1)), rtol=1e-6)
    np.testing.assert_allclose(metrics["mean_code_norm"], coupled, rtol=1e-6)
    np.testing.assert_allclose(loss, metrics["code_power"] + 0.5 * coupled, rtol=1e-6)


def test_weights_scale_gradients():
    loss = lambda z, objective: value(objective, z, VALID)[0]
    gradient = functools.partial(jax.jit(jax.grad(loss)), jnp.asarray(Z))
    once, coupled = gradient(code_power()), gradient(mean_code_norm())
    np.testing.assert_allclose(once[0], Z[0] / 4, rtol=1e-6)  # d/dz of Σ z² / 2 samples / 4 valid
    np.testing.assert_array_equal(once[2], 0)
    np.testing.assert_allclose(gradient(7.0 * code_power()), 7 * once, rtol=1e-6)
    combined = gradient(0.1 * code_power() + 3.0 * mean_code_norm())
    np.testing.assert_allclose(combined, 0.1 * once + 3 * coupled, rtol=1e-5, atol=1e-8)


def test_schedules_multiply_the_weight_by_the_step():
    schedule = optax.linear_schedule(0.0, 1.0, 10)
    objective = 4.0 * code_power(schedule=schedule) + code_power(power=1.0, name="l1")
    at = jax.jit(lambda step: value(objective, step=step))
    for step, multiplier in ((0, 0.0), (5, 0.5), (10, 1.0), (99, 1.0)):
        loss, metrics = at(step)
        expected = 4 * multiplier * metrics["code_power"] + metrics["l1"]
        np.testing.assert_allclose(loss, expected, rtol=1e-6)
        assert metrics["code_power"] > 1
    assert "code_power · schedule" in repr(objective)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (not_per_example(), r"\(6,\), got \(\); a single number needs"),
        (not_one_number(), r"\(\), got \(6,\)$"),
    ],
)
def test_a_term_of_the_wrong_shape_is_told_both_shapes(objective, expected):
    with pytest.raises(ae.errors.PartError, match=f"must return shape {expected}"):
        value(objective)


def test_a_batch_coupled_value_is_that_of_each_example():
    term = mean_code_norm().terms[0]
    got = term.per_example(outputs_of(jnp.asarray(Z)), context_of())
    np.testing.assert_allclose(got, np.full(6, np.sum(np.mean(Z[:, 0], 0) ** 2)), rtol=1e-6)


def test_a_population_is_a_vmap_over_the_weights():
    members = [weight * code_power() + 2.0 * mean_code_norm() for weight in (0.5, 1.0, 8.0)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack([*map(jnp.asarray, leaves)]), *members)
    losses = jax.jit(jax.vmap(lambda objective: value(objective)[0]))(stacked)
    np.testing.assert_allclose(losses, [value(member)[0] for member in members], rtol=1e-6)
    assert len(np.unique(losses)) == 3


def test_the_gradient_of_a_weight_is_the_value_of_its_term():
    gradient = jax.grad(lambda objective: value(objective)[0])(2.0 * code_power())
    np.testing.assert_allclose(gradient.terms[0].scale, value(code_power())[0], rtol=1e-6)


def test_a_rebuilt_objective_is_the_same_argument_to_jit():
    traces = []

    @jax.jit
    def loss(objective):
        traces.append(objective)
        return value(objective)[0]

    first = loss(2.0 * code_power(power=3.0) + mean_code_norm())
    second = loss(4.0 * code_power(power=3.0) + mean_code_norm())
    assert len(traces) == 1
    assert second > first
    loss(4.0 * code_power(power=1.0) + mean_code_norm())
    assert len(traces) == 2


def test_the_objective_needs_as_many_samples_as_its_neediest_term():
    assert ae.Objective().samples == 1
    assert (code_power() + many_samples()).samples == 5
    assert many_samples(samples=9).samples == 9


@pytest.mark.parametrize("bad", [np.ones(2), [[1], [2]], {"a": 1}], ids=["array", "lists", "dict"])
def test_mutable_arguments_are_refused(bad):
    with pytest.raises(ae.errors.PartError, match=r"the argument power=.* is mutable"):
        code_power(power=bad)


def test_an_unknown_argument_gets_the_nearest():
    with pytest.raises(
        ae.errors.ConfigError, match=r"'code_power' has no argument 'powr'; did you"
    ):
        code_power(powr=2)


def test_the_config_form_survives_the_round_trip_through_json():
    objective = (
        ae.terms.reconstruction()
        + 4.0 * ae.terms.kl(schedule=ae.schedules.linear(0.0, 1.0, 10))
        + 0.5 * code_power(power=1.5)
        + 0.25 * code_power(name="again")
        + jnp.float32(0.125) * ae.terms.squared_error(name="mse")
    )
    section = objective.to_config()
    path = f"{__name__}:code_power"
    assert section["reconstruction"] == {"weight": 1.0}
    assert section["code_power"] == {"weight": 0.5, "name": path, "power": 1.5}
    assert section["again"] == {"weight": 0.25, "name": path, "power": 2.0}
    assert section["mse"] == {"weight": 0.125, "name": "squared_error"}
    assert section["kl"]["schedule"]["transition_steps"] == 10
    again = from_config(json.loads(json.dumps(section)))
    assert again.to_config() == section
    assert [term.weight(5) for term in again.terms] == [1.0, 2.0, 0.5, 0.25, 0.125]
    assert [term.fn for term in again.terms] == [term.fn for term in objective.terms]


def test_terms_without_a_config_form_give_none():
    @ae.term
    def local(outputs, context):
        return outputs.z.sum((1, 2))

    assert (code_power() + local()).to_config() is None
    assert code_power(schedule=lambda step: 1.0 / (step + 1)).to_config() is None
    assert code_power(power=lambda: 3).to_config() is None


def test_a_bare_number_in_a_config_is_a_weight():
    assert scales(from_config({"reconstruction": 1, "kl": 0.5})) == {"reconstruction": 1, "kl": 0.5}


@pytest.mark.parametrize(
    ("section", "match"),
    [
        ({}, "the objective has no terms"),
        ({"reconstuction": 1.0}, "no term is called 'reconstuction'; did you mean 'reconstruct"),
        ({"kl": {"weight": "1"}}, r"objective\.kl\.weight must be a number, got '1'"),
        ({"kl": {"weight": True}}, r"objective\.kl\.weight must be a number, got True"),
        ({"kl": {"wieght": 1.0}}, "term 'kl' has no argument 'wieght'"),
        ({"kl": {"schedule": {"name": "linaer"}}}, "no schedule is called 'linaer'; did you mean"),
        ({"kl": None}, r"objective\.kl must be a weight or a mapping, got None"),
    ],
)
def test_a_wrong_config_section(section, match):
    with pytest.raises(ae.errors.ConfigError, match=match):
        from_config(section)
