"""A sparse autoencoder whose units are strokes: 1,024 of them, each few pixels of Fashion-MNIST.

    python scripts/prepare_data.py --from_debian
    python scripts/train.py --config=configs/sparse_strokes_fashion_mnist.py --workdir=runs/strokes

Each unit adds its row of a linear decoder, of whose weights the sum |w| is small: hems, sleeves,
soles and straps in `filters.png`.

Expected
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
