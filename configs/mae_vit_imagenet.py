"""The masked autoencoder ViT-B/16, or with `:L` ViT-L/16, on ImageNet at 224 × 224.

    python scripts/prepare_data.py --dataset=imagenet2012
    python scripts/train.py --config=configs/mae_vit_imagenet.py --workdir=gs://BUCKET/mae_vit_b
    python scripts/train.py --config=configs/mae_vit_imagenet.py:L --workdir=gs://BUCKET/mae_vit_l

Three patches of four are hidden. Variants: `B` (the default), `L`, `smoke`.

The set-up of He et al. 2022 ("Masked autoencoders are scalable vision learners", table 8): 800
epochs of batches of 4,096, AdamW with β₂ 0.95 and a base rate of 1.5e-4 a 256 images, 40 epochs of
warm-up, cosine, a decoder of eight blocks of width 512. Unlike theirs: centred crops and flips
without random resizing, learned positions, no class token, pixels that are standardised as a whole
rather than by patch, and weight decay on every parameter.

Expected: accuracy is not yet measured. One H100 takes 52.5 ms for 256 images of B where both
networks have remat=False (10.5 GiB of temporaries), 69.6 ms as it stands, for TPUs of 16 GiB. The
loss is in nats, summed over the 112,896 hidden numbers of an image, each at least ½ log 2π = 0.919.
The smoke variant is half a minute of compiling on a CPU core.
"""

import ml_collections

import ae_jax as ae

BASE = {
    "side": 224,
    "patch": 16,
    "width": 768,
    "depth": 12,
    "heads": 12,
    "decoder_width": 512,
    "decoder_depth": 8,
    "decoder_heads": 16,
    "batch_size": 4_096,
    "batch_per_chip": 256,
}
LARGE = BASE | {"width": 1_024, "depth": 24, "heads": 16, "batch_per_chip": 384}
SMOKE = BASE | {
    "side": 32,
    "patch": 8,
    "width": 32,
    "depth": 2,
    "heads": 2,
    "decoder_width": 16,
    "decoder_depth": 1,
    "decoder_heads": 2,
    "batch_size": 16,
}
RATE = 0.75
IMAGES = 1_281_167


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config of ViT-B, or its variant."""
    n = ae.config.sizes(variant, BASE, SMOKE, B=BASE, L=LARGE)
    options = {"remat": True, "dtype": "bfloat16"}
    grid = n.side // n.patch
    recipe = ae.recipes.masked_autoencoder(
        (grid, grid, n.width),
        patch=n.patch,
        rate=RATE,
        encoder=ae.networks.vit(
            n.patch, n.width, n.depth, n.heads, mask_rate=RATE, pool="none", **options
        ),
        decoder=ae.networks.vit_decoder(
            n.patch, n.decoder_width, n.decoder_depth, n.decoder_heads, **options
        ),
        likelihood=ae.likelihoods.gaussian(),
    )
    config = ae.config.config_dict(recipe)
    config.data.source = "tfds:imagenet2012"
    config.data.arguments = {"size": n.side, "test": "validation", "cache": "auto"}
    config.data.spec = {
        "shape": (n.side, n.side, 3),
        "dtype": "uint8",
        "num_train": IMAGES,
        "num_test": 50_000,
        "extras": {"label": {"shape": (), "dtype": "int32"}},
    }
    config.data.stand_in = {
        "source": "synthetic:32x32x3",
        "arguments": {"size": 256, "test_size": 32, "classes": 10},
    }
    config.data.preprocessing = (
        {"name": "standardise", "mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)},
        {"name": "flip"},
    )
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1.5e-4
    config.optimizer.base_batch_size = 256
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 40 * IMAGES // 4_096
    config.optimizer.arguments = {"b1": 0.9, "b2": 0.95, "weight_decay": 0.05}
    config.training.batch_size = n.batch_size
    config.training.steps = 800 * IMAGES // 4_096
    config.pod.batch_per_chip = n.batch_per_chip
    config.pod.strategies = ("pmap", "fsdp")
    return ae.config.variant(config, variant, "B", "L")
