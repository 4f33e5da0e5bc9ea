"""A Ladder VAE of three latents on Fashion-MNIST, binarised once: 32, 16 and 8 numbers.

    python scripts/prepare_data.py --from_debian
    python scripts/train.py --config=configs/ladder_vae_fashion_mnist.py --workdir=runs/ladder

Each latent's prior is made of the one above, and its posterior of that prior and what the encoder
says (Sønderby et al. 2016); the KL's weight rises over the first third of the run.

Expected of seed 0: test -ELBO 237.2 nats of binarised pixels, of which the KL is 15.3: 8.2, 4.4 and
2.7 from the bottom up. A VAE with one latent of 56 numbers, as many parameters (0.58 million), as
many steps and the same warm-up reaches 239.7; by the importance bound of 1,000 samples on 1,000
test images, binarised alike, it is -234.2 against -235.8. One to two minutes of one CPU core.
"""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    width, steps = 176, 9_375
    decoder, likelihood = ae.networks.mlp((width, width), "silu"), ae.likelihoods.bernoulli()
    parts = {"decoder": decoder, "likelihood": likelihood}
    recipe = ae.recipes.ladder_vae((32, 16, 8), width=width, warm_up=steps // 3, **parts)
    config = ae.config.config_dict(recipe)
    config.data.source = "tfds:fashion_mnist"
    config.data.stand_in = {"source": "synthetic:28x28x1", "arguments": {}}
    config.data.preprocessing = (
        {"name": "scale", "low": 0.0, "high": 255.0},
        {"name": "binarise", "how": "fixed"},
    )
    config.optimizer.schedule = "cosine"
    config.training.steps = steps
    return ae.config.variant(config, variant)
