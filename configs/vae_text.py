"""A variational autoencoder of text whose decoder writes byte by byte, kept from collapse.

    python scripts/train.py --config=configs/vae_text.py --workdir=runs/vae_text

PENDING
"""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    recipe = ae.recipes.vae(
        32,
        encoder=ae.networks.transformer(vocabulary=256, width=64, depth=0),
        decoder=ae.networks.gru_decoder(vocabulary=256, width=128, autoregressive=True),
    )
    objective = ae.terms.reconstruction() + ae.terms.free_bits(threshold=0.5)
    config = ae.config.config_dict(recipe._replace(objective=objective))
    config.data.source = "text:embedded"
    config.data.arguments.stride = 1
    config.optimizer.learning_rate = 4e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 20
    config.optimizer.clip_norm = 1.0
    config.training.steps = 2_000
    return ae.config.variant(config, variant)
