"""The contract suite accepts our parts and refuses broken ones, with the size of the fault."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import ae_jax as ae
from ae_jax import testing
from ae_jax.bottlenecks.sparse import sparse
from ae_jax.likelihoods.gaussian import gaussian
from ae_jax.testing._batches import small_model
from tests import fast

NETWORK = ae.networks.mlp((8,), "sigmoid")
check_term = functools.partial(testing.check_term, compiler_options=fast.options())
check_recipe = functools.partial(testing.check_recipe, compiler_options=fast.options())
check_coder = functools.partial(testing.check_coder, compiler_options=fast.options())
check_corruption = functools.partial(testing.check_corruption, compiler_options=fast.options())
check_likelihood = functools.partial(testing.check_likelihood, compiler_options=fast.options())


@ae.term(batch_coupled=True)
def local_rho(outputs, context, rho):
    """ρ̂ of the valid examples of this device alone."""
    hidden, valid = outputs.activations["hidden_0"], context.batch.valid
    if valid is None:
        return ae.losses.sparsity_kl(rho, hidden.mean(0))
    mean = jnp.where(valid[:, None], hidden, 0).sum(0) / jnp.maximum(valid.sum(), 1)
    return ae.losses.sparsity_kl(rho, jnp.where(valid.any(), mean, rho))


@ae.term(batch_coupled=True)
def global_rho(outputs, context, rho):
    return ae.losses.sparsity_kl(rho, context.mean(outputs.activations["hidden_0"]))


@ae.term(batch_coupled=True)
def forgets_valid(outputs, context):
    return jnp.sum(context.across.mean(outputs.z[:, 0].mean(0)) ** 2)


@ae.term
def means_the_batch(outputs, context):
    """The right shape, and every example pays for its neighbours on the same device."""
    del context
    power = jnp.sum(outputs.z[:, 0] ** 2, axis=-1)
    return jnp.full_like(power, power.mean())


@ae.term
def scalar(outputs, context):
    del context
    return jnp.mean(outputs.z)


@ae.term
def own_noise(outputs, context):
    """Noise by place on the device, not in the batch."""
    del context
    noise = jax.random.normal(jax.random.key(0), outputs.z.shape)
    return jnp.sum(outputs.z * noise, axis=(1, 2))


@ae.term
def half_precision(outputs, context):
    return jnp.sum(context.batch.x * 2, axis=1)


@ae.term
def sees_missing(outputs, context):
    return jnp.sum((context.batch.x - outputs.parameters[:, 0]) ** 2, axis=1)


@jax.custom_vjp
def backwards_alone(z):
    return jnp.sum(z, axis=-1)


backwards_alone.defvjp(
    lambda z: (jnp.sum(z, axis=-1), z), lambda z, cotangent: (jnp.sign(cotangent)[..., None] * z,)
)


@ae.term
def ignores_its_weight_backwards(outputs, context):
    del context
    return backwards_alone(outputs.z[:, 0])


@jax.tree_util.register_pytree_node_class
class Stored(ae.Objective):
    """Its weight is stored and not applied."""

    def __mul__(self, weight):
        result = Stored(self.terms)
        result.weight = weight
        return result

    __rmul__ = __mul__


def failures(check, *arguments, **options):
    with pytest.raises(AssertionError) as error:
        check(*arguments, **options)
    return str(error.value)


def test_a_mean_over_one_device_is_wrong_and_one_over_all_devices_is_right():
    objective = local_rho(rho=0.05) + global_rho(rho=0.05)
    message = failures(check_term, objective, devices=(2, 4, 8))
    off = {
        int(count): float(error)
        for count, error in re.findall(r"(\d) devices: 'local_rho' is off by ([\d.]+)%", message)
    }
    assert set(off) == {2, 4, 8}
    assert min(off.values()) > 1
    assert "8 devices: the gradient of 'local_rho' is off by" in message
    assert not re.search(r"^  (padding|permutation|vmap|doubling):", message, re.M)
    assert "global_rho" not in message.split("\n", 1)[1]


def test_every_fault_of_several_terms_is_told_at_once():
    per_example = means_the_batch() + own_noise() + half_precision() + sees_missing()
    objective = forgets_valid() + per_example
    message = failures(check_term, objective, devices=(1, 2))
    found = set(re.findall(r"^  ([\w ,]+): .*?'(\w+)'", message, re.M))
    assert ("padding", "forgets_valid") in found
    assert ("jit, padding left out", "forgets_valid") in found
    assert ("padding", "means_the_batch") in found
    assert ("2 devices", "means_the_batch") in found
    assert ("permutation", "own_noise") in found
    assert ("2 devices", "own_noise") in found
    assert ("bfloat16", "half_precision") in found
    assert ("unobserved entries", "sees_missing") in found
    assert not {name for check, name in found if check in ("vmap", "one compile", "finite")}


def test_a_term_that_is_one_number_must_say_so():
    with pytest.raises(ae.errors.PartError, match="batch_coupled=True"):
        check_term(scalar(), devices=(1,))


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (Stored(ae.terms.latent_l2().terms), "doubling: the loss of twice the objective .* 50%"),
        (ignores_its_weight_backwards(), "doubling: the gradient of twice the objective .* 50%"),
    ],
    ids=["stored", "backwards"],
)
def test_a_weight_that_is_not_applied_is_found(objective, expected):
    assert re.search(expected, failures(check_term, objective, devices=()))


def test_the_report_tells_the_errors_and_that_one_device_took_part():
    labels = np.arange(16) % 3
    objective = ae.terms.where(ae.terms.latent_l2(), "label", equals=1)
    report = check_term(objective, extras={"label": labels}, devices=(1,), missing=False)
    assert report.devices == (1,)
    assert "only one device took part" in str(report)
    assert "unobserved entries" not in report.errors
    assert max(report.errors.values()) <= 1e-5


def unused_beta(latent_dim, *, beta=4.0, **parts):
    """A recipe that stores its weight nowhere."""
    del beta
    return ae.recipes.vae(latent_dim, **parts)


def counting(latent_dim):
    """Sigmoid units whose state changes its shape."""
    part = sparse(latent_dim)
    update = part.update

    def wrong(state, sums, key):
        new = update(state, sums, key)
        return {**new, "mean_activation": new["mean_activation"][None]}

    return part._replace(update=wrong)


def test_a_recipes_argument_without_effect_is_found():
    parts = {"encoder": NETWORK, "decoder": NETWORK}
    message = failures(check_recipe, unused_beta, 2, **parts, devices=())
    assert message.splitlines()[1:] == ["  arguments: beta=2.0 builds the same as beta=4.0"]


def test_a_state_that_changes_its_form_is_found():
    def recipe(latent_dim):
        objective = ae.terms.reconstruction() + ae.terms.sparsity(rho=0.05)
        parts = {"encoder": NETWORK, "decoder": NETWORK, "likelihood": gaussian()}
        return ae.recipes.Recipe(counting(latent_dim), objective, **parts)

    assert "form: a step turns" in failures(check_recipe, recipe, 3, devices=())


class Normalised(nn.Module):
    """Batch normalisation over all devices, and dropout."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Dense(8)(x)
        x = nn.BatchNorm(use_running_average=not train, axis_name="batch")(x)
        return nn.Dense(4)(nn.Dropout(0.2, deterministic=not train)(nn.relu(x)))


class Local(nn.Module):
    """Normalises over the examples of its own device, in evaluation too."""

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(4)(x)
        return x if self.is_initializing() else x - jax.lax.pmean(x, "batch")


def test_networks():
    report = check_coder(ae.from_linen(Normalised()), devices=(2, 8))
    assert report.devices == (2, 8)
    check_coder(NETWORK, devices=(1,))
    message = failures(check_coder, ae.from_linen(Local()), devices=(2,))
    assert re.search(r"2 devices: the output is off by [\d.]+%", message)
    assert "jit and vmap: the output of example 0 in evaluation is off by" in message
    message = failures(check_coder, ae.from_linen(nn.Dense(4)), output_shape=(5,))
    assert message.endswith("shape: it emits (4,), not (5,)")


LIKELIHOODS = {
    "bernoulli": ({}, {"outside": [1.5]}),
    "gaussian": ({"variance": "predicted"}, {}),
    "laplace": ({"variance": "global"}, {}),
    "categorical": ({"num_classes": 5}, {"outside": [5], "has_mean": False}),
    "poisson": ({}, {"outside": [0.5]}),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods(name):
    arguments, options = LIKELIHOODS[name]
    check_likelihood(getattr(ae.likelihoods, name)(**arguments), **options)


def broken(change):
    part = gaussian(scale=0.5)
    return part._replace(**change(part))


BROKEN = {
    "variance for deviation": (
        lambda part: {"sample": lambda p, y, key: y + 0.25 * jax.random.normal(key, y.shape)},
        r"density of the samples: the mean of p\(x\|y'\) / p\(x\|y\) is 0\.\d+, not 1",
    ),
    "a biased mean": (
        lambda part: {"mean": lambda p, y: y + 0.1},
        r"mean of the samples: the mean of x is [-\d.]+, not",
    ),
    "unobserved entries": (
        lambda part: {"log_prob": lambda p, y, x, observed: part.log_prob(p, y, x, None)},
        "unobserved entries: log_prob or its gradient is off by",
    ),
    "a normalisation that depends on y": (
        lambda part: {
            "log_prob": lambda p, y, x, observed: part.log_prob(p, y, x, observed) + 2 * y[0]
        },
        "density of the samples",
    ),
    "no support": (lambda part: {}, r"support: validate accepts \[nan\]"),
    "half precision": (
        lambda part: {
            "log_prob": lambda p, y, x, observed: part.log_prob(p, y, x, observed).astype(y.dtype)
        },
        "precision: log_prob of .*bfloat16",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_likelihoods(name):
    change, expected = BROKEN[name]
    assert re.search(expected, failures(check_likelihood, broken(change), outside=[np.nan]))


GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("corruption", "expected"),
    [
        (lambda key, x, observed: (x.astype(jnp.bfloat16), {}), "form: .*bfloat16"),
        (lambda key, x, observed: (x + 1, {}), "unobserved entries: some that are not observed"),
        (
            lambda key, x, observed: (jnp.where(observed, 0, x), {"mask": jnp.zeros(6, bool)}),
            r"mask: info\['mask'\] is not",
        ),
        (
            lambda key, x, observed: (jnp.where(observed, GENERATOR.random(), x), {}),
            "jit and vmap: x̃ is off by",
        ),
        (
            lambda key, x, observed: (jnp.where(observed, jnp.sqrt(x - x), x), {}),
            "finite: its gradient has . values",
        ),
    ],
    ids=["dtype", "unobserved", "mask", "impure", "gradient"],
)
def test_broken_corruptions(corruption, expected):
    assert re.search(expected, failures(check_corruption, corruption))


@pytest.mark.parametrize(
    ("corruption", "options"),
    [
        (ae.corruptions.gaussian(0.3), {}),
        (ae.corruptions.salt_and_pepper(0.3), {"event_shape": (4, 4, 1)}),
        (ae.corruptions.token_masking(0.3, 9), {"dtype": jnp.int32}),
    ],
    ids=["gaussian", "salt_and_pepper", "token_masking"],
)
def test_corruptions(corruption, options):
    report = check_corruption(corruption, **options)
    assert ("mask" in report.errors) == (options != {})


def test_the_norms_of_terms_are_those_of_each_alone():
    objective = ae.terms.reconstruction() + 4.0 * ae.terms.kl(schedule=lambda step: (step + 1) / 8)
    model = small_model((6,))
    x = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    players = lambda terms: ae.training.single_player(terms, optax.sgd(0.1), variables)
    variables = jax.eval_shape(model.init, jax.random.key(0), x[0])
    init = lambda: ae.training.init_state(model, players(objective), x[0], seed=0)
    state = fast.jit(init)()
    state = state._replace(step=jnp.int32(3))
    norms = fast.jit(
        lambda state, batch: ae.training.term_gradient_norms(model, objective, state, batch)
    )(state, ae.Batch(x))
    assert set(norms) == {"reconstruction", "kl"}
    for term in objective.terms:
        single = players(ae.Objective((term,)))
        step = fast.jit(ae.training.make_step(model, single, num_train=8))
        _, metrics = step(state, ae.Batch(x))
        np.testing.assert_allclose(norms[term.name], metrics["grad_norm"], rtol=1e-5)
