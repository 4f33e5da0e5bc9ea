"""A variational autoencoder on scikit-learn's digits, a minute on two CPU cores."""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    network = ae.networks.mlp(hidden=(128,))
    likelihood = ae.likelihoods.gaussian(variance="global")
    recipe = ae.recipes.vae(8, encoder=network, decoder=network, likelihood=likelihood)
    config = ae.config.config_dict(recipe)
    config.data.source = "digits"
    config.training.steps = 3_000
    return ae.config.variant(config, variant)
