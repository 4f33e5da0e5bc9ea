"""What is refused before anything compiles: batch statistics of one example, still terms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import ae_jax as ae
from ae_jax import config as config_lib
from ae_jax import keys as keys_lib
from ae_jax import terms
from ae_jax.errors import ConfigError, PartError, ShapeError
from ae_jax.runs import planning
from tests.networks.test_normalisation import LinenNet, NnxNet

WIDTH = 6
RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(40, WIDTH)).astype(np.float32)
IMAGES = RNG.random((40, 8, 8, 1)).astype(np.float32)
COUNTS = RNG.poisson(3.0, (40, WIDTH))
CLASSES = RNG.integers(0, 5, (40, WIDTH))
SMALL = ae.networks.mlp((4,))


def planned(recipe, x, devices=1, **training):
    """The Plan of a training run, which nothing has compiled for."""
    sections = config_lib.for_recipe(recipe)
    sections["training"] |= {"batch_size": 8, **training}
    sections["data"]["preprocessing"] = {"name": "none"}
    config = config_lib.complete(sections)
    return planning.resolve(config, recipe, ae.data.from_arrays(x), devices=devices)


def normalised(encoder, decoder=SMALL):
    return ae.recipes.autoencoder(
        2, encoder=encoder, decoder=decoder, likelihood=ae.likelihoods.gaussian()
    )


class Frozen(nn.Module):
    """Normalised by running statistics alone, in training too."""

    by_call: bool

    @nn.compact
    def __call__(self, x):
        if self.by_call:
            x = nn.BatchNorm(axis_name="batch")(x, use_running_average=True)
        else:
            x = nn.BatchNorm(True, axis_name="batch")(x)
        return nn.Dense(2)(x)


MLP = ae.networks.mlp((4,), normalisation="batch")
NORMALISED = {
    "mlp": (normalised(MLP), REAL),
    "decoder": (normalised(SMALL, MLP), REAL),
    "conv": (normalised(ae.networks.conv((4,), normalisation="batch")), IMAGES),
    "linen": (normalised(ae.from_linen(LinenNet(2))), REAL),
    "nnx": (normalised(ae.from_nnx(functools.partial(NnxNet, incoming=WIDTH, width=2))), REAL),
}


@pytest.mark.parametrize("name", NORMALISED)
def test_batch_statistics_of_one_example_are_refused(name):
    message = r"batch_size=8 with training.accumulation=8: .*BatchNorm.* over a batch of 1 example"
    with pytest.raises(ConfigError, match=message) as error:
        planned(*NORMALISED[name], accumulation=8)
    assert "training.batch_size=16 or training.accumulation=4 would do" in str(error.value)


def test_a_batch_of_one_is_refused_with_the_next_larger():
    with pytest.raises(ConfigError, match=r"; training\.batch_size=2 would do"):
        planned(*NORMALISED["mlp"], batch_size=1)


@pytest.mark.parametrize(
    ("name", "devices", "training"),
    [
        ("mlp", 1, {"accumulation": 4}),
        ("nnx", 1, {"batch_size": 2}),
        ("mlp", 8, {}),  # one example a device: the statistics are those of all eight
        ("linen", 4, {"accumulation": 2}),
    ],
)
def test_two_examples_are_enough_wherever_they_are(name, devices, training):
    assert planned(*NORMALISED[name], devices=devices, **training).players


@pytest.mark.parametrize("term", [terms.dip_i(), terms.total_correlation(), terms.mmd()], ids=str)
def test_other_statistics_of_one_example_are_refused_as_well(term):
    recipe = with_term(ae.likelihoods.gaussian(), term)
    assert planned(recipe, REAL, accumulation=4).players
    with pytest.raises(ShapeError, match=r"needs? (a batch of )?2 .* got 1"):
        planned(recipe, REAL, accumulation=8)


@pytest.mark.parametrize("by_call", [True, False])
def test_running_statistics_need_no_batch(by_call):
    assert planned(normalised(ae.from_linen(Frozen(by_call))), REAL, accumulation=8).players


@pytest.mark.parametrize("name", ["mlp", "linen", "nnx"])
def test_one_example_is_encoded_and_decoded_but_not_trained_on(name):
    """What it is encoded to, `tests/networks/test_normalisation.py` compares."""
    model = planned(*NORMALISED[name]).model
    variables = jax.eval_shape(model.init, jax.random.key(0), REAL[0])
    code = jax.eval_shape(model.encode, variables, REAL[:1])
    assert jax.eval_shape(model.decode, variables, code).shape == (1, WIDTH)
    keys = keys_lib.for_examples(jax.random.key(0), 0, jnp.arange(1))
    with pytest.raises(PartError, match="over a batch of 1 example, where at least 2 are needed"):
        jax.eval_shape(
            functools.partial(model.forward, train=True), variables, ae.Batch(REAL[:1]), keys
        )


def with_term(likelihood, extra):
    parts = {"encoder": SMALL, "decoder": SMALL, "likelihood": likelihood}
    recipe = ae.recipes.vae(2, **parts)
    return recipe._replace(objective=recipe.objective + extra)


@ae.term
def constant(outputs, context):
    return jnp.ones(outputs.z.shape[0])


@ae.term
def of_the_data(outputs, context):
    return jnp.sum(outputs.corrupted**2, axis=1)


@ae.term
def stopped(outputs, context):
    return jnp.sum(jax.lax.stop_gradient(outputs.z) ** 2, axis=(1, 2))


@ae.term
def rounded(outputs, context):
    return jnp.sum(jnp.round(outputs.parameters), axis=(1, 2))


@ae.term(batch_coupled=True)
def of_the_weights(outputs, context):
    return sum(jnp.sum(w**2) for w in jax.tree.leaves(context.variables.params))


@jax.custom_vjp
def backwards_alone(z):
    return jnp.sum(z, axis=(1, 2))


backwards_alone.defvjp(lambda z: (backwards_alone(z), z), lambda z, ct: (ct[:, None, None] * z,))


@ae.term
def with_a_rule_of_its_own(outputs, context):
    return backwards_alone(outputs.z)


LATE = ae.schedules.linear(0.0, 1.0, 4)
CATEGORICAL = ae.likelihoods.categorical(5)


@pytest.mark.parametrize(
    "extra",
    [terms.squared_error(), terms.absolute_error(), terms.huber(), terms.cosine()],
    ids=lambda extra: extra.terms[0].name,
)
def test_distances_to_a_most_probable_class_are_refused(extra):
    name = extra.terms[0].name
    message = f"the term '{name}' trains nothing: its gradient is zero .* likelihood 'categorical'"
    with pytest.raises(ConfigError, match=message):
        planned(with_term(CATEGORICAL, 0.5 * extra), CLASSES)


@pytest.mark.parametrize("extra", [constant(), of_the_data(), stopped(), rounded()], ids=str)
def test_terms_without_a_gradient_are_refused_whatever_they_are(extra):
    message = f"'{extra.terms[0].name}' trains nothing: .*, or give it weight 0, which only reports"
    with pytest.raises(ConfigError, match=message):
        planned(with_term(ae.likelihoods.gaussian(), extra), REAL)


@pytest.mark.parametrize(
    ("likelihood", "extra", "x"),
    [
        (CATEGORICAL, 0 * terms.squared_error(), CLASSES),  # reported only
        (ae.likelihoods.poisson(), terms.squared_error(), COUNTS),
        (
            ae.likelihoods.gaussian(),
            terms.kl(name="late", schedule=ae.schedules.linear(0.0, 1.0, 4)),
            REAL,
        ),
        (ae.likelihoods.gaussian(), 0 * terms.huber(), REAL),
        (ae.likelihoods.gaussian(), terms.free_bits(100.0), REAL),  # at first without a gradient
        (ae.likelihoods.gaussian(), of_the_weights(), REAL),
        (ae.likelihoods.gaussian(), with_a_rule_of_its_own(), REAL),
    ],
    ids=lambda value: str(value) if isinstance(value, ae.Objective) else "",
)
def test_terms_that_train_now_or_later_are_not(likelihood, extra, x):
    assert planned(with_term(likelihood, extra), x).players
