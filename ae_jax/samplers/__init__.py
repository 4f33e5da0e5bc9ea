"""Samplers: densities fitted on the codes of a trained run, to draw new examples from."""

from ae_jax.samplers.fit import fit
from ae_jax.samplers.fitted import Fitted
from ae_jax.samplers.flow import flow
from ae_jax.samplers.gaussian_mixture import gaussian_mixture
from ae_jax.samplers.kernel_density import kernel_density
from ae_jax.samplers.sampler import SAMPLERS, Sampler
from ae_jax.samplers.second_stage_vae import second_stage_vae
from ae_jax.samplers.store import load, names

__all__ = [
    "SAMPLERS",
    "Fitted",
    "Sampler",
    "fit",
    "flow",
    "gaussian_mixture",
    "kernel_density",
    "load",
    "names",
    "second_stage_vae",
]
