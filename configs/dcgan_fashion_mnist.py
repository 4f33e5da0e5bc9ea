"""A convolutional generative adversarial network on Fashion-MNIST.

    python scripts/prepare_data.py --from_debian
    python scripts/train.py --config=configs/dcgan_fashion_mnist.py --workdir=runs/dcgan

Expected at seed 0, after six epochs: garments with folds and sleeves, some of them two in one; the
critic right in 74%, and samples that vary 1.00 as much as the data. About 260 s on two CPU cores
that others share.
"""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    recipe = ae.recipes.dcgan(64, features=(64, 32), r1=1.0)
    config = ae.config.config_dict(recipe)
    config.data.source = "tfds:fashion_mnist"
    config.data.stand_in = {"source": "digits", "arguments": {}}
    config.optimizer.learning_rate = 5e-4
    config.optimizer.arguments = {"b1": 0.5}
    config.training.steps = 3_000
    return ae.config.variant(config, variant)
