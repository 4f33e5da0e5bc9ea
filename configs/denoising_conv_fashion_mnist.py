"""A convolutional denoising autoencoder: Fashion-MNIST under Gaussian noise of deviation 0.3.

    python scripts/prepare_data.py --from_debian
    python scripts/train.py --config=configs/denoising_conv_fashion_mnist.py --workdir=runs/dae_conv

Expected: not yet.
"""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    corruption = ae.corruptions.gaussian(0.3)
    recipe = ae.recipes.denoising(
        (7, 7, 64),
        encoder=ae.networks.conv((64, 128)),
        decoder=ae.networks.deconv((128, 64)),
        corruption=corruption,
        likelihood=ae.likelihoods.bernoulli(),
    )
    config = ae.config.config_dict(recipe)
    config.data.source = "tfds:fashion_mnist"
    config.data.stand_in = {"source": "synthetic:28x28x1", "arguments": {}}
    config.data.preprocessing = {"name": "scale", "low": 0.0, "high": 255.0}
    config.optimizer.learning_rate = 2e-3
    config.optimizer.schedule = "cosine"
    config.training.steps = 5_000
    return ae.config.variant(config, variant)
