"""A residual variational autoencoder of ImageNet at 256 × 256, with a latent of 32 × 32 × 4.

    python scripts/prepare_data.py --dataset=imagenet2012
    python scripts/train.py --config=configs/resnet_vae_imagenet256.py --workdir=gs://BUCKET/vae256

The first stage of latent diffusion at its factor of eight (Rombach et al. 2022, "High-resolution
image synthesis with latent diffusion models", KL-f8) as a true VAE: group normalisation,
self-attention once at the lowest resolution, one latent vector a position, and the evidence lower
bound with a learned observation noise (Rybkin et al. 2021) in place of perceptual and adversarial
losses. `--config.model.encoder.attention_at=64` and `--config.model.decoder.attention_at=64` attend
at larger sizes too, False nowhere.

Expected: not yet measured on hardware. -ELBO is in nats of a density over 196,608 pixels in [0, 1],
so it may be negative. The smoke variant is under a minute of compiling on a CPU core.
"""

import ml_collections

import ae_jax as ae

FULL = {"side": 256, "features": (128, 256, 512), "depth": 2, "heads": 8, "batch_size": 2_048}
SMOKE = {"side": 16, "features": (8,), "depth": 1, "heads": 2, "batch_size": 16}


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    n = ae.config.sizes(variant, FULL, SMOKE)
    options = {"attention_at": True, "heads": n.heads, "remat": True, "dtype": "bfloat16"}
    lowest = n.side // 2 ** len(n.features)
    recipe = ae.recipes.vae(
        (lowest, lowest, 4),
        encoder=ae.networks.resnet(n.features, n.depth, **options),
        decoder=ae.networks.resnet_decoder(n.features[::-1], n.depth, **options),
        likelihood=ae.likelihoods.gaussian(variance="global"),
    )
    config = ae.config.config_dict(recipe)
    config.data.source = "tfds:imagenet2012"
    config.data.arguments = {"size": n.side, "test": "validation", "cache": "auto"}
    config.data.spec = {
        "shape": (n.side, n.side, 3),
        "dtype": "uint8",
        "num_train": 1_281_167,
        "num_test": 50_000,
        "extras": {"label": {"shape": (), "dtype": "int32"}},
    }
    config.data.stand_in = {
        "source": "synthetic:16x16x3",
        "arguments": {"size": 256, "test_size": 32, "classes": 10},
    }
    config.data.preprocessing = ({"name": "scale", "low": 0.0, "high": 255.0}, {"name": "flip"})
    config.optimizer.learning_rate = 1e-4
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 2_000
    config.training.batch_size = n.batch_size
    config.training.steps = 100_000
    config.pod.batch_per_chip = 8
    config.pod.strategies = ("pmap", "fsdp")
    return ae.config.variant(config, variant)
