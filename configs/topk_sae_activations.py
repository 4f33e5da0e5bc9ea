r"""A TopK sparse autoencoder with 24,576 units on a transformer's activations of width 768.

    python scripts/train.py --config=configs/topk_sae_activations.py --workdir=runs/sae \
        --config.data.source=npy:activations.npy --config.data.preprocessing.std=3.2

Yours are the activations: `[n, 768]`, one row a token, in a `.npy` file, or
`arrayrecord:activations-*.ar` with one vector a record; float16 unless `--config.data.spec.dtype`
says otherwise. `preprocessing.std` is their deviation, `mean` their mean. The set-up of Gao et al.
2024 ("Scaling and evaluating sparse autoencoders") for GPT-2 small: 32 units a token of 32 × 768,
512 dead ones in the auxiliary loss with weight 1/32, dead after 10 million tokens, batches of
131,072 tokens. Unlike theirs: encoder and decoder start independently, and the decoder's rows are
not held to unit norm, which without an L1 penalty only fixes the scale of the code.

Expected: not yet measured on hardware. The loss is ½ ‖x - x̂‖² + 706 nats, the constant 384 log 2π
of a Gaussian of unit variance, and half of α ‖e - ê‖². The smoke variant ends in seconds on two CPU
cores.
"""

import ml_collections

import ae_jax as ae

FULL = {"width": 768, "units": 24_576, "k": 32, "dead_k": 512, "batch_size": 131_072}
SMOKE = {"width": 32, "units": 256, "k": 4, "dead_k": 8, "batch_size": 64}


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The config, or its `smoke` variant."""
    n = ae.config.sizes(variant, FULL, SMOKE)
    recipe = ae.recipes.topk(
        n.units,
        k=n.k,
        dead_k=n.dead_k,
        dead_after=10_000_000,
        encoder=ae.networks.linear(),
        decoder=ae.networks.linear(),
        likelihood=ae.likelihoods.gaussian(),
    )
    config = ae.config.config_dict(recipe)
    config.data.source = "npy:activations.npy"
    config.data.spec = {"shape": (n.width,), "dtype": "float16", "num_train": 100_000_000}
    config.data.stand_in = {
        "source": "synthetic:32",
        "arguments": {"size": 2_048, "test_size": 256, "dtype": "float16"},
    }
    config.data.preprocessing = {"name": "standardise", "mean": 0.0, "std": 1.0}
    config.optimizer.learning_rate = 1.6e-4
    config.optimizer.warmup_steps = 50
    config.optimizer.arguments = {"b1": 0.9, "b2": 0.999, "eps": 6.25e-10}
    config.training.batch_size = n.batch_size
    config.training.steps = 7_600
    config.pod.batch_per_chip = 2_048
    config.pod.strategies = ("pmap", "shard_map", "fsdp")
    return ae.config.variant(config, variant)
