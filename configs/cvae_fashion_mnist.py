"""A variational autoencoder of Fashion-MNIST told the class, which then draws each class on demand.

    python scripts/prepare_data.py --from_debian
    python scripts/train.py --config=configs/cvae_fashion_mnist.py --workdir=runs/cvae_fashion_mnist

Expected over seeds 0 to 2: test -ELBO 239.4 ± 0.2 nats of binarised pixels (239.3 to 239.6; without
the class, `vae_fashion_mnist`, 242.5), of which the KL is 16.6 ± 0.4. About 70 s on two CPU cores.
`scripts/sample.py` draws the classes one after the other.
"""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    network = ae.networks.mlp(hidden=(500,), condition="label", num_classes=10)
    recipe = ae.recipes.vae(
        20, encoder=network, decoder=network, likelihood=ae.likelihoods.bernoulli()
    )
    config = ae.config.config_dict(recipe)
    config.data.source = "tfds:fashion_mnist"
    config.data.stand_in = {"source": "synthetic:28x28x1", "arguments": {"classes": 10}}
    config.data.preprocessing = (
        {"name": "scale", "low": 0.0, "high": 255.0},
        {"name": "binarise", "how": "dynamic"},
    )
    config.training.steps = 4_690
    return ae.config.variant(config, variant)
