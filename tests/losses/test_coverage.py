"""Every raw function is compared with a reference: in a table of cases, or by a test of its own."""

import importlib
import pathlib

import pytest

from ae_jax import losses

ELSEWHERE = {  # those without one number to compare, and the likelihoods' own table
    "bits_per_dim": "likelihoods.test_discretized_logistic_mixture",
    "categorical_nll": "likelihoods.test_contract",
    "code_probabilities": "losses.test_binary_codes",
    "continuous_bernoulli_mean": "likelihoods.test_contract",
    "continuous_bernoulli_nll": "likelihoods.test_contract",
    "continuous_bernoulli_quantile": "likelihoods.test_continuous_bernoulli",
    "cooling_schedule": "losses.test_hamiltonian",
    "discretized_logistic_mixture_nll": "likelihoods.test_contract",
    "doubly_reparameterized_bound": "losses.test_bounds",
    "gaussian_kl_decomposition": "losses.test_total_correlation",
    "hamiltonian_bound": "losses.test_hamiltonian",
    "hutchinson_jacobian_norm": "losses.test_structure",
    "interpolate": "losses.test_adversarial",
    "kl_decomposition": "losses.test_total_correlation",
    "kl_laplace_gaussian": "losses.test_laws",
    "kl_laplaces": "losses.test_laws",
    "kl_power_spherical_uniform": "losses.test_laws",
    "laplace_nll": "likelihoods.test_contract",
    "lecam": "losses.test_relativistic",
    "log_sphere_area": "losses.test_laws",
    "mean_code_probabilities": "losses.test_binary_codes",
    "ms_ssim": "losses.test_structural",
    "nearest_codes": "losses.test_quantization",
    "negative_binomial_nll": "likelihoods.test_contract",
    "normalized_importance_weights": "losses.test_bounds",
    "permute_dimensions": "losses.test_adversarial",
    "poisson_nll": "likelihoods.test_contract",
    "power_spherical_nll": "losses.test_laws",
    "relativistic_discriminator": "losses.test_relativistic",
    "relativistic_generator": "losses.test_relativistic",
    "rotate_through": "losses.test_quantization",
    "scale_gradient": "losses.test_bounds",
    "ssim": "losses.test_structural",
    "straight_through": "losses.test_quantization",
    "tempered_leapfrog": "losses.test_hamiltonian",
    "top_k": "bottlenecks.test_topk",
    "top_k_of_dead": "losses.test_sparsity",
}


def cases():
    """The functions of every table of cases, by the names of their rows."""
    names = set()
    for path in pathlib.Path(__file__).parent.glob("test_*.py"):
        for value in vars(importlib.import_module(f"tests.losses.{path.stem}")).values():
            rows = getattr(value, "cases", ()) if isinstance(value, type) else ()
            names |= {case.name.split("(")[0] for case in rows}
    return names


def test_every_raw_function_is_compared_with_a_reference():
    functions = {name for name in losses.__all__ if not isinstance(getattr(losses, name), type)}
    named = cases() & functions
    assert not named & ELSEWHERE.keys()
    assert named | ELSEWHERE.keys() == functions


@pytest.mark.parametrize(("name", "module"), ELSEWHERE.items())
def test_those_compared_elsewhere_are(name, module):
    path = pathlib.Path(__file__).parents[1] / f"{module.replace('.', '/')}.py"
    source = path.read_text()
    likelihood = name.removesuffix("_nll").removesuffix("_mean")
    assert name in source or (module == "likelihoods.test_contract" and likelihood in table())


def table():
    return {case.name for case in importlib.import_module("tests.likelihoods.cases").CASES}
