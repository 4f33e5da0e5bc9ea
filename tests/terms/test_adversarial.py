"""Terms of games against NumPy: critics that are a line, or one hidden layer, written out."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import ae_jax as ae
from ae_jax import keys as keys_lib
from ae_jax import terms
from ae_jax.errors import PartError
from ae_jax.terms._feeds import samples
from ae_jax.terms.density_ratio import shuffled
from tests import fast
from tests.reference import adversarial as reference

BATCH, WIDTH = 8, 6
VALID = np.arange(BATCH) != 2
NETWORK = ae.networks.mlp((8,), "sigmoid")
DEEP = ae.networks.mlp((5,), "tanh")
CRITICS = {
    "critic": ae.critic(ae.networks.linear()),
    "deep": ae.critic(DEEP),
    "codes": ae.critic(DEEP, on="code", outputs=2),
}
SIDES = {
    "non_saturating": (
        reference.non_saturating_discriminator,
        lambda real, fake: reference.non_saturating_generator(fake),
    ),
    "hinge": (reference.hinge_discriminator, lambda real, fake: reference.hinge_generator(fake)),
    "least_squares": (
        reference.least_squares_discriminator,
        lambda real, fake: reference.least_squares_generator(fake),
    ),
    "wasserstein": (reference.wasserstein_critic, lambda r, f: reference.hinge_generator(f)),
    "relativistic": (
        lambda real, fake: (-special.log_expit(real - fake),),
        lambda real, fake: (-special.log_expit(fake - real),),
    ),
}
NAMES = {
    "critic_accuracy",
    "density_ratio",
    "density_ratio_discriminator",
    "discriminator",
    "feature_matching",
    "generator",
    "gradient_penalty",
    "learned_similarity",
    "lecam",
    "perceptual",
    "r1",
    "r2",
    "spread",
}
"""Terms whose reference is here; `test_references` has all others."""


@functools.cache
def played():
    """Outputs and context of a batch with padding, and what critics are given of it, NumPy."""
    parts = NETWORK, NETWORK, ae.bottlenecks.gaussian(3), ae.likelihoods.gaussian()
    model = ae.autoencoder(*parts, critics=CRITICS, event_shape=(WIDTH,))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(BATCH, WIDTH)), jnp.float32)
    batch = ae.Batch(x, valid=jnp.asarray(VALID))

    def forward():
        variables = jax.tree.map(lambda p: p + 0.125, model.init(jax.random.key(0), x[0]))
        keys = keys_lib.for_examples(jax.random.key(1), 3, jnp.arange(BATCH))
        outputs, _ = model.forward(variables, batch, keys, samples=2)
        context = ae.Context(model, variables, batch, keys, jnp.int32(3), 100)
        return (
            variables,
            keys,
            outputs,
            samples(outputs, context),
            shuffled(outputs.z[:, 0], context),
        )

    variables, keys, outputs, fake, mixed = fast.jit(forward)()
    context = ae.Context(model, variables, batch, keys, jnp.int32(3), 100)
    given = {"x": x, "sample": fake, "reconstruction": outputs.parameters[:, 0]}
    given |= {"code": outputs.z[:, 0], "shuffled": mixed}
    return outputs, context, {name: np.asarray(v, np.float64) for name, v in given.items()}


def value(objective):
    outputs, context, _ = played()
    return np.asarray(objective.terms[0].per_example(outputs, context), np.float64)


def layer(name, x):
    """tanh(x W + b) of a critic's hidden layer, and its verdicts."""
    params: Any = jax.tree.map(np.asarray, played()[1].variables.params[name])
    hidden = np.tanh(x @ params["dense_0"]["kernel"] + params["dense_0"]["bias"])
    return hidden, hidden @ params["output"]["kernel"] + params["output"]["bias"]


def line():
    params: Any = played()[1].variables.params["critic"]["output"]
    return np.asarray(params["kernel"], np.float64)[:, 0], float(params["bias"][0])


def verdicts():
    slope, offset = line()
    given = played()[2]
    return given["x"] @ slope + offset, given["sample"] @ slope + offset


def summed(found):
    """The value of a reference that gives `(value, magnitude)` or the summands themselves."""
    return found[0] if isinstance(found, tuple) else found


@pytest.mark.parametrize("loss", SIDES)
def test_both_sides_are_their_formulas(loss):
    rows = list(zip(*verdicts(), strict=True))
    for term, side in zip((terms.discriminator, terms.generator), SIDES[loss], strict=True):
        expected = [summed(side(np.array(r), np.array(f))) for r, f in rows]
        np.testing.assert_allclose(value(term(loss=loss)), expected, rtol=2e-5, atol=1e-6)


def test_accuracy_counts_the_right_signs():
    real, fake = verdicts()
    np.testing.assert_array_equal(
        value(terms.critic_accuracy()), 0.5 * (real > 0) + 0.5 * (fake < 0)
    )


def test_lecam_pulls_to_the_other_sides_mean():
    real, fake = verdicts()
    apart = (real - fake[VALID].mean()) ** 2 + (fake - real[VALID].mean()) ** 2
    np.testing.assert_allclose(value(terms.lecam()), apart[VALID].mean(), rtol=1e-5)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_penalties_of_a_line_are_those_of_its_slope(target):
    norm = np.linalg.norm(line()[0])
    found = value(terms.gradient_penalty(target=target))
    np.testing.assert_allclose(found, (norm - target) ** 2, rtol=1e-5)
    for term in (terms.r1(), terms.r2()):
        np.testing.assert_allclose(value(term), norm**2 / 2, rtol=1e-5)


def test_r1_of_a_curved_critic_is_that_of_finite_differences():
    x, step = played()[2]["x"], 1e-5
    moved = [
        (layer("deep", x + step * e)[1] - layer("deep", x - step * e)[1])[:, 0] / (2 * step)
        for e in np.eye(WIDTH)
    ]
    expected = 0.5 * np.sum(np.square(moved), axis=0)
    np.testing.assert_allclose(value(terms.r1(critic="deep")), expected, rtol=1e-4)


def test_distances_in_a_hidden_layer():
    given = played()[2]
    hidden = {name: layer("deep", given[name])[0] for name in ("x", "sample", "reconstruction")}
    means = hidden["x"][VALID].mean(0) - hidden["sample"][VALID].mean(0)
    found = value(terms.feature_matching(layer="hidden_0", critic="deep"))
    np.testing.assert_allclose(found, np.sum(means**2), rtol=1e-4)
    expected = 0.5 * np.sum((hidden["x"] - hidden["reconstruction"]) ** 2, axis=1)
    found = value(terms.learned_similarity(layer="hidden_0", critic="deep"))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_perceptual_distance_is_a_mean_over_latent_samples():
    outputs, _, given = played()
    means = np.asarray(outputs.parameters, np.float64)
    apart = np.tanh(means) - np.tanh(given["x"])[:, None]
    expected = np.sum(apart**2, axis=2).mean(axis=1)
    np.testing.assert_allclose(value(terms.perceptual(features=jnp.tanh)), expected, rtol=1e-5)


def test_density_ratio_is_the_critics_log_odds():
    given = played()[2]
    joint, apart = (layer("codes", given[name])[1] for name in ("code", "shuffled"))
    found = value(terms.density_ratio(critic="codes"))
    np.testing.assert_allclose(found, joint[:, 0] - joint[:, 1], rtol=1e-4, atol=1e-6)
    log_p = lambda logits: logits - special.logsumexp(logits, axis=1, keepdims=True)
    expected = -0.5 * (log_p(joint)[:, 0] + log_p(apart)[:, 1])
    found = value(terms.density_ratio_discriminator(critic="codes"))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_each_dimension_is_shuffled_among_the_valid_rows():
    code, mixed = played()[2]["code"], played()[2]["shuffled"]
    assert not np.array_equal(code[VALID], mixed[VALID])
    for column, other in zip(code[VALID].T, mixed[VALID].T, strict=True):
        np.testing.assert_allclose(np.sort(other), np.sort(column), rtol=1e-6)


def test_every_permutation_of_three_rows_is_as_likely():
    context = played()[1]
    context = context._replace(batch=ae.Batch(jnp.zeros((3, WIDTH))))

    def one(number):
        latent = jax.random.split(jax.random.fold_in(jax.random.key(5), number), 3)
        own = context._replace(keys=context.keys._replace(latent=latent))
        return shuffled(jnp.arange(3.0)[:, None], own)[:, 0]

    drawn = np.asarray(fast.jit(jax.vmap(one))(jnp.arange(6_000))).astype(int)
    counts = np.bincount(drawn @ np.array([9, 3, 1]))
    counts = counts[counts > 0]
    assert len(counts) == 6
    assert np.sum((counts - 1_000) ** 2 / 1_000) < 20.5  # chi-square, 5 degrees, p = 0.001


def test_spread_is_a_ratio_of_variances_of_valid_rows():
    given = {name: rows[VALID] for name, rows in played()[2].items()}
    expected = given["sample"].var(0).sum() / given["x"].var(0).sum()
    np.testing.assert_allclose(value(terms.spread()), expected, rtol=1e-4)


@pytest.mark.parametrize("layer", [None, "output"])
def test_a_balanced_term_pulls_as_hard_as_the_other(layer):
    """At unit variance the gradient of Σ(x - x̂)² is twice that of -log p(x | z), everywhere."""
    found = value(terms.balanced(terms.squared_error(), to=terms.reconstruction(), layer=layer))
    np.testing.assert_allclose(found, value(terms.squared_error()) / 2, rtol=1e-3)


def test_what_cannot_be_balanced_is_refused():
    with pytest.raises(PartError, match="no layer 'outpt'; did you mean 'output'"):
        value(terms.balanced(terms.squared_error(), terms.reconstruction(), layer="outpt"))
    with pytest.raises(PartError, match="'lecam' belongs to the batch"):
        terms.balanced(terms.lecam(), terms.reconstruction())
    with pytest.raises(PartError, match="got 2 terms"):
        terms.balanced(terms.generator(), terms.reconstruction() + terms.kl())
