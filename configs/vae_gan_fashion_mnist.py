"""A VAE-GAN of Fashion-MNIST: images alike in a hidden layer of the critic that judges samples.

    python scripts/prepare_data.py --from_debian
    python scripts/train.py --config=configs/vae_gan_fashion_mnist.py --workdir=runs/vae_gan

Expected at seed 0: test mse 0.031, KL 11.8 nats, the critic right in 70%; samples vary 0.67 as much
as the data, are sharper than a VAE's and show the squares of transposed convolutions. About 140 s
on two CPU cores.
"""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    recipe = ae.recipes.vae_gan(
        20,
        layer="hidden_1",
        gamma=0.1,
        encoder=ae.networks.conv((16, 32)),
        decoder=ae.networks.deconv((32, 16), normalisation="batch"),
        critic=ae.networks.conv((16, 32), activation="leaky_relu"),
        likelihood=ae.likelihoods.bernoulli(),
    )
    config = ae.config.config_dict(recipe)
    config.data.source = "tfds:fashion_mnist"
    config.data.stand_in = {"source": "digits", "arguments": {}}
    config.optimizer.learning_rate = 5e-4
    config.optimizer.arguments = {"b1": 0.5}
    config.training.steps = 4_000
    return ae.config.variant(config, variant)
