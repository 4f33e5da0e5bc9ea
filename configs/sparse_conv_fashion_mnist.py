"""A sparse convolutional autoencoder: a tenth of 512 sigmoid units for each image.

    python scripts/prepare_data.py --from_debian
    python scripts/train.py --config=configs/sparse_conv_fashion_mnist.py --workdir=runs/sparse_conv

Expected over seeds 0 to 2: test mse 0.0084 (0.0082 to 0.0087) of pixels in [0, 1]; mean activation
of the code 0.101 (0.101 to 0.102) on test images, of which none has more than 20% (19 to 20) of the
units above half their own 99th percentile. 150 s of computing on one CPU core.
"""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    encoder, decoder = ae.networks.conv((16, 32)), ae.networks.deconv((32, 16))
    recipe = ae.recipes.sparse(512, rho=0.1, weight=0.05, encoder=encoder, decoder=decoder)
    few_an_example = 0.3 * ae.terms.population_sparsity(rho=0.1)
    recipe = recipe._replace(objective=recipe.objective + few_an_example)
    config = ae.config.config_dict(recipe)
    config.data.source = "tfds:fashion_mnist"
    config.data.stand_in = {"source": "synthetic:28x28x1", "arguments": {}}
    config.data.preprocessing = {"name": "scale", "low": 0.0, "high": 255.0}
    config.optimizer.schedule = "cosine"
    config.training.steps = 2_345
    return ae.config.variant(config, variant)
