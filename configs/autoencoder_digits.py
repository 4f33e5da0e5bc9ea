"""A plain autoencoder on scikit-learn's digits, under a minute on two CPU cores."""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    network = ae.networks.mlp(hidden=(256,))
    recipe = ae.recipes.autoencoder(latent_dim=16, encoder=network, decoder=network)
    config = ae.config.config_dict(recipe)
    config.data.source = "digits"
    config.training.steps = 5_000
    return ae.config.variant(config, variant)
