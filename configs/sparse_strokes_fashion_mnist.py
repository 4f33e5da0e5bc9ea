"""A sparse autoencoder whose units are strokes: 1,024 of them, each few pixels of Fashion-MNIST.

    python scripts/prepare_data.py --from_debian
    python scripts/train.py --config=configs/sparse_strokes_fashion_mnist.py --workdir=runs/strokes

Each unit adds its row of a linear decoder, of whose weights Σ |w| is small: hems, sleeves, soles
and straps in `filters.png`. The middle unit has 58% (57 to 59) of the energy of what it adds in one
window of 9 × 9 of the 28 × 28 pixels, in `sparse_fashion_mnist.py` 25%.

Expected over seeds 0 to 2: test mse 0.0117 (0.0116 to 0.0118) of pixels in [0, 1], 0.8% above the
unconstrained autoencoder of the same networks and width, 0.0116 (0.0112 to 0.0119); mean activation
of the code 0.103 (0.103 to 0.103) on test images, of which none has more than 15% of the units
above half their own 99th percentile. It does not generalise better from few: trained on 1,000
images for 3,000 steps (seeds 0 and 1), test and training mse differ by 0.0086 (0.0083 to 0.0089),
those of the unconstrained one, whose decoder is linear too, by 0.0035 (0.0033 to 0.0037). One
minute on a CPU core.
"""

import ml_collections

import ae_jax as ae


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    encoder, decoder = ae.networks.mlp((128,)), ae.networks.linear()
    recipe = ae.recipes.sparse(1024, rho=0.1, weight=0.05, encoder=encoder, decoder=decoder)
    few_an_example = 0.3 * ae.terms.population_sparsity(rho=0.1)
    few_pixels = 5e-4 * ae.terms.weight_l1(of="decoder", kernels_only=True)
    recipe = recipe._replace(objective=recipe.objective + few_an_example + few_pixels)
    config = ae.config.config_dict(recipe)
    config.data.source = "tfds:fashion_mnist"
    config.data.stand_in = {"source": "synthetic:28x28x1", "arguments": {}}
    config.data.preprocessing = {"name": "scale", "low": 0.0, "high": 255.0}
    config.optimizer.schedule = "cosine"
    config.training.steps = 4_000
    return ae.config.variant(config, variant)
