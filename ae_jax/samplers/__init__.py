"""Samplers: densities fitted on the codes of a trained run, to draw new examples from."""

from ae_jax.samplers.code_transformer import code_transformer
from ae_jax.samplers.fit import fit
from ae_jax.samplers.fitted import Fitted
from ae_jax.samplers.flow import flow
from ae_jax.samplers.flow_matching import flow_matching
from ae_jax.samplers.gaussian_mixture import gaussian_mixture
from ae_jax.samplers.kernel_density import kernel_density
from ae_jax.samplers.rates import CodeRates, code_rates
from ae_jax.samplers.sampler import SAMPLERS, Sampler
from ae_jax.samplers.second_stage_vae import second_stage_vae
from ae_jax.samplers.store import load, names
from ae_jax.samplers.unigram import unigram

__all__ = [
    "SAMPLERS",
    "CodeRates",
    "Fitted",
    "Sampler",
    "code_rates",
    "code_transformer",
    "fit",
    "flow",
    "flow_matching",
    "gaussian_mixture",
    "kernel_density",
    "load",
    "names",
    "second_stage_vae",
    "unigram",
]
