"""A variational autoencoder on dynamically binarised Fashion-MNIST, 784-500-20, ten epochs.

    python scripts/prepare_data.py --from_debian
    python scripts/train.py --config=configs/vae_fashion_mnist.py --workdir=runs/vae_fashion_mnist

The set-up of Kingma & Welling 2014 with 20 latents. Expected over seeds 0 to 2: test -ELBO 242.5 ±
0.2 nats of binarised pixels (242.3 to 242.7), of which the KL is 19.3 ± 0.1; an independent PyTorch
program of the same set-up gives 242.0 ± 0.2 (tests/data/sources/test_fashion_mnist.py). About
70 s on two CPU cores.
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
    config.data.stand_in = {"source": "synthetic:28x28x1", "arguments": {}}
    config.data.preprocessing = (
        {"name": "scale", "low": 0.0, "high": 255.0},
        {"name": "binarise", "how": "dynamic"},
    )
    config.training.steps = 4_690
    return ae.config.variant(config, variant)
