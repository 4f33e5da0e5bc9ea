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
SLOW = {"second_stage_vae": ae.samplers.second_stage_vae((32,), steps=600)}


def clusters(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Codes `[n, 2]` about (-1, 0) and (3, 1), the second twice as wide, and their labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    noise = rng.normal(size=(n, 2)) @ np.array([[1.0, 0.5], [0.0, 0.3]])
    codes = np.array([[-1.0, 0.0], [3.0, 1.0]])[labels] + 0.4 * (1 + labels)[:, None] * noise
    return codes.astype(np.float32), labels


@functools.cache
def fitted(name: str, by_label: bool):
    """The state of a sampler on the clusters."""
    codes, labels = clusters()
    sampler = (SAMPLERS | SLOW)[name]
    return sampler.fit(codes, jax.random.key(0), labels if by_label else None)
