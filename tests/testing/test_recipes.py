"""The contract suite accepts our parts and refuses broken ones, with the size of the fault."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import testing
from ae_jax.bottlenecks.sparse import sparse
from ae_jax.likelihoods.gaussian import gaussian
from tests import fast

NETWORK = ae.networks.mlp((8,), "sigmoid")
check_term = functools.partial(testing.check_term, compiler_options=fast.options())
check_recipe = functools.partial(testing.check_recipe, compiler_options=fast.options())


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


@pytest.mark.slow
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


@pytest.mark.slow
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
