"""Finite scalar quantisation of Fashion-MNIST by convolutions: 7 × 7 positions of 1,000 codes.

    python scripts/train.py --config=configs/fsq_fashion_mnist.py --workdir=runs/fsq

No codebook, no loss but the reconstruction: each of four dimensions is rounded to 8, 5, 5 or 5
levels (Mentzer et al. 2023). `run.codes(x)` gives the 49 integers of an image, `run.decode_codes`
what they stand for.

Expected: EXPECTED
"""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    recipe = ae.recipes.fsq_vae((7, 7, 4), levels=(8, 5, 5, 5), **networks())
    config = ae.config.config_dict(recipe)
    config.data.source = "tfds:fashion_mnist"
    config.training.batch_size = 128
    config.training.steps = 10_000
    return ae.config.variant(config, variant)
