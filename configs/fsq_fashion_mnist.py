"""Finite scalar quantisation by convolutions: Fashion-MNIST as 7 × 7 integers below 1,000.

    python scripts/prepare_data.py --from_debian
    python scripts/train.py --config=configs/fsq_fashion_mnist.py --workdir=runs/fsq

No codebook and no loss but the reconstruction: four dimensions a position are rounded to 8, 5, 5
and 5 levels (Mentzer et al. 2023). `run.codes(x)` gives the integers of images, `run.decode_codes`
the images of integers.

Expected of seeds 0 and 1: test mse 0.0077 and 0.0084 of pixels in [0, 1]; 978 and 933 of the 1,000
codes in use, at a perplexity of 172 and 128. Under two minutes on two busy CPU cores.
"""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    encoder, decoder = ae.networks.conv((16, 32)), ae.networks.deconv((32, 16))
    recipe = ae.recipes.fsq_vae((7, 7, 4), levels=(8, 5, 5, 5), encoder=encoder, decoder=decoder)
    config = ae.config.config_dict(recipe)
    config.data.source = "tfds:fashion_mnist"
    config.data.stand_in = {"source": "synthetic:28x28x1", "arguments": {}}
    config.data.preprocessing = {"name": "scale", "low": 0.0, "high": 255.0}
    config.optimizer.schedule = "cosine"
    config.training.steps = 2_345
    return ae.config.variant(config, variant)
