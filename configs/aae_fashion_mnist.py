"""An adversarial autoencoder of Fashion-MNIST: codes of 8 numbers that pass for a normal law's.

    python scripts/prepare_data.py --from_debian
    python scripts/train.py --config=configs/aae_fashion_mnist.py --workdir=runs/aae_fashion_mnist

Expected over seeds 0 and 1, the same for both: test mse 0.0140, -log p(x | z) 725.9 nats at unit
variance (720.4 of them its constant), the critic of codes right in 67%; samples of the prior are
garments, blurred as a plain autoencoder's. 90 s of computing on one CPU core.
"""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    recipe = ae.recipes.adversarial_autoencoder(
        8,
        encoder=ae.networks.mlp((512, 256)),
        decoder=ae.networks.mlp((256, 512)),
        critic=ae.networks.mlp((256, 256), "leaky_relu"),
    )
    config = ae.config.config_dict(recipe)
    config.data.source = "tfds:fashion_mnist"
    config.data.stand_in = {"source": "digits", "arguments": {}}
    config.optimizer.arguments = {"b1": 0.5}
    config.optimizer.schedule = "cosine"
    config.training.steps = 9_380
    return ae.config.variant(config, variant)
