"""What games converge to, against the values that theory gives."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import ae_jax as ae
from ae_jax import terms
from ae_jax.types import Coder

NETWORK = ae.networks.mlp((64, 64), "leaky_relu")
UNMOVED = Coder(lambda key, x: ({}, {}), lambda params, state, x, **told: (x, {}, state))
"""A network without parameters: its output is its input."""
RAW = {"name": "none"}
ADAM = {"learning_rate": 2e-3, "schedule": "cosine", "arguments": {"b1": 0.5}}


def judged(objective, x, steps, encoder=None, **critic):
    """The test metrics of a critic that alone is trained, on x and on its prior or codes."""
    bottleneck = ae.bottlenecks.identity(x.shape[1], prior="standard_normal")
    critics = {"critic": ae.critic(NETWORK, **critic)}
    parts = encoder, UNMOVED, bottleneck, ae.likelihoods.implicit()
    model = ae.autoencoder(*parts, event_shape=x.shape[1:], critics=critics)
    options = {"batch_size": 256, "optimizer": ADAM, "preprocessing": RAW, "progress": False}
    options |= {"log_every": steps, "eval_every": steps}
    alone = (ae.Player(("critic",), None, None),)
    run = ae.fit((model, objective, alone), x.astype(np.float32), steps=steps, **options)
    return run.summary["metrics"]["test"]


@pytest.mark.slow
def test_the_best_discriminator_of_equal_distributions_is_worth_minus_log_four():
    x = np.random.default_rng(0).normal(size=(20_000, 2))
    found = judged(terms.discriminator() + 0.0 * terms.critic_accuracy(), x, steps=500)
    assert -found["discriminator"] == pytest.approx(-np.log(4), abs=0.01)
    assert found["critic_accuracy"] == pytest.approx(0.5, abs=0.03)


@pytest.mark.slow
def test_a_wasserstein_critic_finds_the_distance_of_shifted_gaussians():
    """Two of deviation 1 are as far apart as their means; slopes exceed 1 by distance / 2λ."""
    x = np.random.default_rng(0).normal(size=(20_000, 2)) + np.array([1.8, 2.4])
    penalty = 100.0 * terms.gradient_penalty()
    found = judged(terms.discriminator(loss="wasserstein") + penalty, x, steps=1_000)
    assert -found["discriminator"] == pytest.approx(3.0, rel=0.05)


@pytest.mark.slow
def test_the_density_ratio_is_the_total_correlation_of_correlated_gaussians():
    """In closed form -½ log det R, R the correlations."""
    correlations = np.array([[1.0, 0.7, 0.0], [0.7, 1.0, 0.3], [0.0, 0.3, 1.0]])
    rng = np.random.default_rng(0)
    x = rng.multivariate_normal(np.zeros(3), correlations, size=40_000)
    objective = terms.density_ratio_discriminator() + 0.0 * terms.density_ratio()
    found = judged(objective, x, 2_000, encoder=UNMOVED, on="code", outputs=2)
    exact = -0.5 * np.linalg.slogdet(correlations)[1]
    assert found["density_ratio"] == pytest.approx(exact, rel=0.1)


def energy_p_value(a, b, rng, permutations=200):
    """Of the energy distance between two samples (Székely & Rizzo 2004), by permutations."""
    distances = cdist(np.concatenate([a, b]), np.concatenate([a, b]))

    def energy(order):
        first, second = order[: len(a)], order[len(a) :]
        between = distances[np.ix_(first, second)].mean()
        within = [distances[np.ix_(part, part)].mean() for part in (first, second)]
        return 2 * between - sum(within)

    size = len(a) + len(b)
    got = energy(np.arange(size))
    return np.mean([energy(rng.permutation(size)) >= got for _ in range(permutations)])


@pytest.mark.slow
def test_the_codes_of_an_adversarial_autoencoder_are_the_priors():
    """Of a curved sheet in three dimensions; codes without the game fail the same test."""
    rng = np.random.default_rng(0)
    u, v = rng.uniform(-1, 1, size=(2, 10_000))
    x = np.stack([u + 0.3 * v**2, v, u * v], axis=1).astype(np.float32)
    parts = {"encoder": NETWORK, "decoder": NETWORK, "critic": NETWORK}
    options = {"batch_size": 128, "optimizer": ADAM, "progress": False}
    options |= {"steps": 2_000, "log_every": 2_000, "eval_every": 2_000}
    p_values = {}
    for weight in (1.0, 0.0):
        recipe = ae.recipes.adversarial_autoencoder(2, weight=weight, **parts)
        codes = ae.fit(recipe, x, **options).encode(x[:400])
        p_values[weight] = energy_p_value(codes, rng.normal(size=(400, 2)), rng)
    assert p_values[1.0] > 0.01
    assert p_values[0.0] <= 0.01
