"""A variational autoencoder of text whose decoder writes byte by byte, kept from collapse.

    python scripts/train.py --config=configs/vae_text.py --workdir=runs/vae_text

Free bits of half a nat a latent (Kingma et al. 2016) and word dropout (Bowman et al. 2016) make the
decoder listen to z. Expected over seeds 0 to 2: test -ELBO 68.1 (67.9 to 68.5) nats a window of 32
bytes, of which the KL is 16.9 (16.8 to 17.0); for seed 0 -log p(x) at most 63.0 nats with 64
samples, all 32 latents active, mutual information 8.2 nats (its ceiling is log 4,307 = 8.4).
Halfway between two codes 83% (80 to 85) of the words decoded occur in the training text, of
held-out text itself 73%; 24% (24 to 25) of the bytes of held-out windows come back when the decoder
reads its own guesses. With free bits of one nat, word dropout of 0.3 and a decoder half as wide
these were 26%, 53% and a test -ELBO of 73.2 nats. 9 minutes of computing on one CPU core.

From one window of the test text to another, in five steps:

    transform(newsgroups_test.target
    transform(news: 1.0% of an addic
     the transforme to a servary the
     the transforme to a sepal large
     the around the target and the t
"""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    recipe = ae.recipes.vae(
        32,
        encoder=ae.networks.transformer(vocabulary=256, width=64, depth=0),
        decoder=ae.networks.gru_decoder(
            vocabulary=256, width=256, autoregressive=True, word_dropout=0.1
        ),
    )
    objective = ae.terms.reconstruction() + ae.terms.free_bits(threshold=0.5)
    config = ae.config.config_dict(recipe._replace(objective=objective))
    config.data.source = "text:embedded"
    config.data.arguments.stride = 1
    config.optimizer.learning_rate = 4e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 20
    config.optimizer.clip_norm = 1.0
    config.training.steps = 2_500
    return ae.config.variant(config, variant)
