"""Residual quantisation of scikit-learn's digits: 8 positions of three codes of 64.

    python scripts/train.py --config=configs/residual_vq_digits.py --workdir=runs/residual_vq

The first n levels are a coarser code of their own, since for half of the examples the last ones are
left out in training: `run.decode_codes(run.codes(x)[..., :n])`. `ae-jax evaluate` tells how many
codes are in use.

Expected over seeds 0 to 2: test mse 0.0027 (0.0022 to 0.0031); decoded from the first two levels
0.0051 (0.0042 to 0.0056), from the first alone 0.0140 (0.0113 to 0.0156). All 64 codes of each
level are in use, at a perplexity of 60 to 63. 15 s on two CPU cores.
"""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    network = ae.networks.mlp(hidden=(128,))
    recipe = ae.recipes.residual_vq_vae(
        (8, 8), levels=3, num_codes=64, dropout=0.5, encoder=network, decoder=network
    )
    config = ae.config.config_dict(recipe)
    config.data.source = "digits"
    config.training.steps = 3_000
    return ae.config.variant(config, variant)
