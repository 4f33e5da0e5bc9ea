"""A small very deep VAE of ImageNet at 32 × 32: four latents of 16 × 16 to 2 × 2 positions.

    python scripts/prepare_data.py --dataset=imagenet2012
    python scripts/train.py --config=configs/vdvae_imagenet32.py --workdir=gs://BUCKET/vdvae32

Child 2021, "Very deep VAEs generalize autoregressive models and can outperform them on images":
residual blocks at every resolution, the state doubled from the top down, bytes under a mixture of
discretised logistics, gradients clipped. One latent a resolution where the paper has tens, none at
the full one, and posteriors relative to their priors as in NVAE (Vahdat & Kautz 2020).

Expected: not yet measured on hardware. -ELBO is in nats of 3,072 bytes: divided by 2,129 in bits a
dimension. Compiled for v5e:16x16 a step takes 0.25 GiB of a chip and at least 0.73 ms under pmap,
0.11 GiB and 0.94 ms under fsdp.
"""

import ml_collections

import ae_jax as ae

FULL = {"side": 32, "width": 128, "depth": 2, "batch_size": 2_048}
SMOKE = {"side": 16, "width": 8, "depth": 1, "batch_size": 16}


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    n = ae.config.sizes(variant, FULL, SMOKE)
    sides = [n.side // 2**i for i in range(1, 5)]
    recipe = ae.recipes.vdvae(
        [(side, side, 16) for side in sides],
        width=n.width,
        depth=n.depth,
        decoder=ae.networks.resnet_decoder((n.width,), n.depth, remat=True),
        likelihood=ae.likelihoods.discretized_logistic_mixture(),
    )
    config = ae.config.config_dict(recipe)
    config.model.bottleneck.dtype = "bfloat16"
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
    config.optimizer.learning_rate = 2e-4
    config.optimizer.warmup_steps = 1_000
    config.optimizer.clip_norm = 200.0
    config.training.batch_size = n.batch_size
    config.training.compute_dtype = "bfloat16"
    config.training.average_decay = 0.999
    config.training.steps = 100_000
    config.pod.batch_per_chip = 8
    config.pod.strategies = ("pmap", "fsdp")
    return ae.config.variant(config, variant)
