"""A denoising autoencoder: Fashion-MNIST under Gaussian noise of deviation 0.3.

    python scripts/prepare_data.py --from_debian
    python scripts/train.py --config=configs/denoising_fashion_mnist.py --workdir=runs/denoising

Expected over seeds 0 to 2: PSNR of the test images 20.27 ± 0.01 dB after denoising, 10.46 dB
before; mse 0.0108 of pixels in [0, 1]. Two minutes on one CPU core. For seed 0 the same network
trained without noise leaves 14.3 dB; non-local means reach 18.8 dB. A linear probe on the code
(5,000 images) falls from 83.1% to 72.1% under the noise, on the code of the network trained without
noise from 78.9% to 55.2%.
"""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    network = ae.networks.mlp(hidden=(1024,))
    corruption = ae.corruptions.gaussian(0.3)
    recipe = ae.recipes.denoising(512, encoder=network, decoder=network, corruption=corruption)
    config = ae.config.config_dict(recipe)
    config.data.source = "tfds:fashion_mnist"
    config.data.stand_in = {"source": "synthetic:28x28x1", "arguments": {}}
    config.data.preprocessing = {"name": "scale", "low": 0.0, "high": 255.0}
    config.optimizer.schedule = "cosine"
    config.training.steps = 4_000
    return ae.config.variant(config, variant)
