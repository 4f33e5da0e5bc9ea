"""Codes in two clusters with a label each, and a small fit of each sampler on them."""

import functools

import jax
import numpy as np

import ae_jax as ae

SAMPLERS = {
    "gaussian_mixture": ae.samplers.gaussian_mixture(),
    "kernel_density": ae.samplers.kernel_density(),
    "flow": ae.samplers.flow(ae.flows.masked_autoregressive(2, (16,)), steps=300),
}
EXACT = list(SAMPLERS)
SLOW = {
    "second_stage_vae": ae.samplers.second_stage_vae((32,), steps=600),
    "flow_matching": ae.samplers.flow_matching((64, 64), 1000, learning_rate=5e-3),
}
INTEGERS = {
    "unigram": ae.samplers.unigram(),
    "code_transformer": ae.samplers.code_transformer(32, 1, 2, 0.0, steps=300, learning_rate=1e-2),
}
SIZE = 3  # of the integers below


def clusters(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Codes `[n, 2]` about (-1, 0) and (3, 1), the second twice as wide, and their labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    noise = rng.normal(size=(n, 2)) @ np.array([[1.0, 0.5], [0.0, 0.3]])
    codes = np.array([[-1.0, 0.0], [3.0, 1.0]])[labels] + 0.4 * (1 + labels)[:, None] * noise
    return codes.astype(np.float32), labels


def integers(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Codes `[n, 3]` of integers below 3, the last the sum of the others, and labels, the first."""
    first, second = np.random.default_rng(1).choice(SIZE, p=[0.6, 0.3, 0.1], size=(2, n))
    return np.stack([first, second, (first + second) % SIZE], axis=1), first


@functools.cache
def fitted_on_integers(name: str, by_label: bool):
    """The state of a sampler on those integers."""
    codes, labels = integers()
    key, given = jax.random.key(0), labels if by_label else None
    return INTEGERS[name].fit(codes, key, given, size=SIZE)


@functools.cache
def fitted(name: str, by_label: bool):
    """The state of a sampler on the clusters."""
    codes, labels = clusters()
    sampler = (SAMPLERS | SLOW)[name]
    return sampler.fit(codes, jax.random.key(0), labels if by_label else None)
