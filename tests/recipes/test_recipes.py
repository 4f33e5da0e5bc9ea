"""Every recipe keeps the public contract, stays small, and meets its relatives where it should."""

import ast
import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import keys as keys_lib
from ae_jax.testing import check_recipe
from tests import fast
from tests.terms.test_contract import GROUPS

NETWORK = ae.networks.mlp((8,), "tanh")
NAMES = [name for name in ae.recipes.__all__ if name != "Recipe"]
IMAGE = {"event_shape": (11, 12, 1), "kind": "binary", "scales": (1.0,)}
OPTIONS = {"ms_ssim_vae": IMAGE, "topk": {"k": 1}, "vq_vae": {"num_codes": 8}}
OPTIONS["masked_autoencoder"] = {"patch": 2}
OPTIONS |= {
    "iaf_vae": {"layers": 1},
    "flow_prior_vae": {"layers": 1},
    "vamp_vae": {"pseudo_inputs": 8},
}
OPTIONS["fsq_vae"] = {"levels": 4}
OPTIONS |= {f"{name}_vae": {"num_codes": 8} for name in ("rotation_vq", "sim_vq", "ibq")}
OPTIONS["residual_vq_vae"] = {"num_codes": 8, "levels": 2, "dropout": 0.5}
OPTIONS["dvae"] = {"num_codes": 8}
FIRST = {"ladder_vae": (4, 2), "vdvae": ((4, 4, 1), (2, 2, 1)), "i_jepa": (3, 2)}
"""The first argument of recipes whose latents are several, or of several axes."""
OPTIONS["ladder_vae"] = {"width": 8, "free_bits": 0.1}
OPTIONS["vdvae"] = {"width": 4, "event_shape": (8, 8, 1)}
OPTIONS["i_jepa"] = {"patch": 2, "rate": 0.4, "predictor": NETWORK}
RENAMED = {"reconstructions"}  # discriminator or generator of reconstructions
WITHOUT_ENCODER = ("gan", "dcgan", "wgan_gp")
OPTIONS["dcgan"] = {"features": (4, 2), "event_shape": (8, 8, 1)}
GAMES = tuple(name for name in NAMES if getattr(ae.recipes, name)().critics)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 6)).astype(np.float32)
LATE = 1_000_000  # a step at which every schedule has ended


def check(name, **more):
    options = OPTIONS.get(name, {}) | more
    first = FIRST.get(name, 3)
    return check_recipe(getattr(ae.recipes, name), first, **networks_of(name), **options)


def networks_of(name, network=NETWORK):
    """Small networks for every part that a recipe leaves to be chosen."""
    parts = {"encoder": network, "decoder": network, "critic": network}
    absent = {"encoder"} if name in WITHOUT_ENCODER else set()
    absent |= set() if name in GAMES and name != "i_jepa" else {"critic"}
    of_its_own = ("dcgan", "ladder_vae", "vdvae")
    return {} if name in of_its_own else {part: parts[part] for part in parts if part not in absent}


@pytest.mark.parametrize("name", NAMES)
def test_arguments_config_and_state(name):
    report = check(name, devices=())
    assert set(report.errors) == {"arguments", "config", "form"}


@pytest.mark.devices(8)
@pytest.mark.parametrize("name", ["sparse", "vq_vae"])
def test_a_step_on_eight_devices(name):
    report = check(name, devices=(8,), compiler_options=fast.options())
    assert {"finite", "a step", "padding", "8 devices"} < set(report.errors)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_step_on_any_number_of_devices(name):
    report = check(name, compiler_options=fast.options())
    assert report.devices == (1, 2, 4, 8)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_short(name):
    (function,) = ast.parse(inspect.getsource(getattr(ae.recipes, name))).body
    assert isinstance(function.body[0].value.value, str)
    code = ast.unparse(function.body[1:]).splitlines()
    assert len(code) <= 15


def test_every_term_of_a_recipe_is_in_the_contract_table():
    known = {term.name for group in GROUPS.values() for term in group.objective.terms}
    for name in NAMES:
        made = getattr(ae.recipes, name)()
        assert {term.name for term in made.objective.terms} <= known | RENAMED


def losses(recipes, samples=1):
    """The value and gradient norm of several recipes of one model, compiled together."""
    parts = {"encoder": NETWORK, "decoder": NETWORK, "likelihood": ae.likelihoods.gaussian()}
    spec = ae.Spec((6,), "real")
    built = {name: recipe(3, **parts).build(spec) for name, recipe in recipes.items()}
    models = [model for model, _ in built.values()]
    nodes = {(model.bottleneck.node, model.encoder.node, model.decoder.node) for model in models}
    assert len(nodes) == 1

    def evaluate(key):
        batch = ae.Batch(jnp.asarray(X), valid=jnp.arange(8) < 7)
        keys, model = keys_lib.for_examples(key, 0, jnp.arange(8)), models[0]
        variables = model.init(key, X[0])

        def each(params):
            inner = variables._replace(params=params)
            outputs, _ = model.forward(inner, batch, keys, samples=samples, train=True)
            context = ae.Context(model, inner, batch, keys, jnp.int32(LATE), 100)
            return {name: objective(outputs, context)[0] for name, (_, objective) in built.items()}

        return each(variables.params), jax.jacrev(each)(variables.params)

    values, gradients = fast.jit(evaluate)(jax.random.key(0))
    flat = lambda tree: np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
    return {name: np.append(flat(gradients[name]), values[name]) for name in values}


def assert_equal(found, first, *others):
    for other in others:
        error = np.linalg.norm(found[other] - found[first]) / np.linalg.norm(found[first])
        assert error <= 1e-5, f"{other} is {100 * error:.2g}% from {first}"


def with_arguments(name, **arguments):
    return functools.partial(getattr(ae.recipes, name), **arguments)


def monte_carlo_elbo(latent_dim, **parts):
    objective = ae.terms.reconstruction() + ae.terms.monte_carlo_kl()
    return ae.recipes.vae(latent_dim, **parts)._replace(objective=objective)


@pytest.mark.slow
def test_variational_recipes_meet_at_the_elbo():
    found = losses(
        {
            "vae": ae.recipes.vae,
            "beta = 1": with_arguments("beta_vae", beta=1.0),
            "annealed to the end": ae.recipes.annealed_vae,
            "capacity 0": with_arguments("capacity_vae", target=0.0, gamma=1.0),
            "no discrepancy": with_arguments("info_vae", alpha=0.0, scale=1.0),
            "monte carlo": monte_carlo_elbo,
            "iwae of 1": with_arguments("iwae", samples=1),
            "miwae of 1": with_arguments("miwae", samples=1, groups=1),
            "ciwae of 1": with_arguments("ciwae", samples=1, beta=0.3),
            "equal parts": with_arguments("beta_tcvae", alpha=1.0, beta=1.0, gamma=1.0),
            "beta = 4": with_arguments("beta_vae", beta=4.0),
        }
    )
    closed = ("vae", "beta = 1", "annealed to the end", "capacity 0", "no discrepancy")
    assert_equal(found, *closed)
    sampled = ("monte carlo", "iwae of 1", "miwae of 1", "ciwae of 1", "equal parts")
    assert_equal(found, *sampled)
    for other in ("monte carlo", "beta = 4"):  # the comparison can fail
        assert np.linalg.norm(found["vae"] - found[other]) > 0.01 * np.linalg.norm(found["vae"])


def test_bounds_of_several_samples_meet_at_their_ends():
    found = losses(
        {
            "iwae": with_arguments("iwae", samples=4),
            "one group": with_arguments("miwae", samples=4, groups=1),
            "no elbo": with_arguments("ciwae", samples=4, beta=0.0),
            "elbo alone": with_arguments("ciwae", samples=4, beta=1.0),
            "four groups": with_arguments("miwae", samples=4, groups=4),
        },
        samples=4,
    )
    assert_equal(found, "iwae", "one group", "no elbo")
    assert_equal(found, "elbo alone", "four groups")
    assert found["iwae"][-1] < found["elbo alone"][-1]  # a tighter bound


def test_deterministic_recipes_without_their_penalty_are_the_autoencoder():
    found = losses(
        {
            "autoencoder": ae.recipes.autoencoder,
            "denoising": with_arguments("denoising", corruption=ae.corruptions.none()),
            "contractive": with_arguments("contractive", weight=0.0),
            "rae_l2": with_arguments("rae_l2", beta=0.0, weight=0.0),
            "rae_gp": with_arguments("rae_gp", beta=0.0, weight=0.0),
            "penalised": with_arguments("rae_l2", beta=1.0, weight=1.0),
        }
    )
    assert_equal(found, "autoencoder", "denoising", "contractive", "rae_l2", "rae_gp")
    difference = found["penalised"] - found["autoencoder"]
    assert np.linalg.norm(difference) > 0.01 * np.linalg.norm(found["autoencoder"])


def test_a_wasserstein_autoencoder_without_weight_is_the_autoencoder():
    def with_prior(latent_dim, **parts):
        bottleneck = ae.bottlenecks.identity(latent_dim, prior="standard_normal")
        return ae.recipes.autoencoder(latent_dim, **parts)._replace(bottleneck=bottleneck)

    found = losses(
        {
            "autoencoder": with_prior,
            "weight 0": with_arguments("wae_mmd", weight=0.0),
            "weight 100": ae.recipes.wae_mmd,
        }
    )
    assert_equal(found, "autoencoder", "weight 0")
    difference = found["weight 100"] - found["autoencoder"]
    assert np.linalg.norm(difference) > 0.01 * np.linalg.norm(found["autoencoder"])


def test_the_defaults_are_those_of_the_papers():
    arguments = lambda name: {
        key: parameter.default
        for key, parameter in inspect.signature(getattr(ae.recipes, name)).parameters.items()
        if key not in ("latent_dim", "parts")
    }
    assert arguments("vae") == {"beta": 1.0}
    assert arguments("beta_tcvae") == {"alpha": 1.0, "beta": 6.0, "gamma": 1.0}  # Chen et al. 2018
    assert arguments("capacity_vae") == {"target": 25.0, "steps": 100_000, "gamma": 1000.0}
    assert arguments("sparse") == {"rho": 0.05, "weight": 1.0}
    assert arguments("topk")["weight"] == 1 / 32  # Gao et al. 2024
    assert arguments("masked_autoencoder")["rate"] == 0.75  # He et al. 2022
    # van den Oord et al. 2017
    assert arguments("vq_vae") == {"num_codes": 512, "beta": 0.25, "decay": 0.99}
    assert arguments("rotation_vq_vae")["beta"] == 1.0  # Fifty et al. 2024
    assert arguments("fsq_vae") == {"levels": (8, 5, 5, 5)}  # Mentzer et al. 2023
    # Ramesh et al. 2021
    assert (arguments("dvae")["temperature"], arguments("dvae")["final_temperature"]) == (1, 1 / 16)


def test_the_encoder_of_a_masked_autoencoder_sees_a_quarter_of_the_patches():
    model, _ = ae.recipes.masked_autoencoder().build(ae.Spec((28, 28, 1), "real"))
    batch = ae.Batch(jnp.zeros((2, 28, 28, 1)))
    keys = keys_lib.for_examples(jax.random.key(0), 0, jnp.arange(2))

    def forward():
        variables = model.init(jax.random.key(0), batch.x[0])
        outputs, _ = model.forward(variables, batch, keys, train=True)
        return outputs, model.posterior(variables, batch.x)

    outputs, posterior = jax.eval_shape(forward)
    assert outputs.activations["features"].shape == (2, 12, 128)  # of 49
    assert outputs.z.shape == (2, 1, 49, 128)
    assert outputs.parameters.shape == (2, 1, 28, 28, 1)
    assert posterior.mean.shape == (2, 49, 128)  # uncorrupted, all of them
