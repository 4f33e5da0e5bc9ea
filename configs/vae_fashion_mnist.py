"""A variational autoencoder on dynamically binarised Fashion-MNIST, 784-500-20, ten epochs.

    python scripts/prepare_data.py --from_debian
    python scripts/train.py --config=configs/vae_fashion_mnist.py --workdir=runs/vae_fashion_mnist

The set-up of Kingma & Welling 2014 with 20 latents.
"""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    network = ae.networks.mlp(hidden=(500,))
    recipe = ae.recipes.vae(
        20, encoder=network, decoder=network, likelihood=ae.likelihoods.bernoulli()
    )
    config = ae.config.config_dict(recipe)
    config.data.source = "tfds:fashion_mnist"
    config.data.preprocessing = (
        {"name": "scale", "low": 0.0, "high": 255.0},
        {"name": "binarise", "how": "dynamic"},
    )
    config.training.steps = 4_690
    return ae.config.variant(config, variant)
