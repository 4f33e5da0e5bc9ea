"""What is trained: a table of models, data and sizes that every peer builds for itself."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ae_jax.errors import UnknownNameError, nearest

BETAS = (0.9, 0.999)
EPSILON = 1e-8
REDUCTION = "mean over the batch of sums over the event, in nats"


class Sizes(NamedTuple):
    """How large a workload is.

    Attributes:
      shape: of an example.
      latent: of the code.
      batch_size: examples a step.
      train: examples to learn from.
      test: examples to evaluate on.
      network: the networks' own sizes, by name.
    """

    shape: tuple[int, ...]
    latent: int
    batch_size: int
    train: int
    test: int
    network: Mapping[str, Any]


class Workload(NamedTuple):
    """One model on one kind of data, trained by Adam.

    Attributes:
      name: in `WORKLOADS`.
      recipe: from Sizes to ae_jax's recipe.
      dtype: of the data.
      scale: what the data are divided by, in the step.
      learning_rate: of Adam, whose other constants are `BETAS` and `EPSILON`.
      sizes: by name; "full" is timed, "smoke" is for tests.
      noisy: whether the code is drawn, z = μ + σ ε.
    """

    name: str
    recipe: Callable[[Sizes], Any]
    dtype: str
    scale: float
    learning_rate: float
    sizes: Mapping[str, Sizes]
    noisy: bool = True

    @property
    def optimizer(self) -> dict[str, Any]:
        """Adam's constants."""
        constants = {"b1": BETAS[0], "b2": BETAS[1], "eps": EPSILON}
        return {"name": "adam", "learning_rate": self.learning_rate, **constants}

    def source(self, size: str) -> tuple[str, dict[str, Any]]:
        """Noise of the right shape: a source's name and its arguments, see `ae_jax.data.load`."""
        own = self.sizes[size]
        shape = "x".join(map(str, own.shape))
        arguments = {"size": own.train, "test_size": own.test, "dtype": self.dtype}
        return f"synthetic:{shape}", arguments


def _vae(sizes: Sizes) -> Any:
    import ae_jax as ae

    network = ae.networks.mlp((sizes.network["hidden"],))
    likelihood = ae.likelihoods.bernoulli()
    return ae.recipes.vae(sizes.latent, encoder=network, decoder=network, likelihood=likelihood)


def _conv_vae(sizes: Sizes) -> Any:
    import ae_jax as ae

    features = sizes.network["features"]
    return ae.recipes.vae(
        sizes.latent,
        encoder=ae.networks.conv(features),
        decoder=ae.networks.deconv(features[::-1]),
        likelihood=ae.likelihoods.bernoulli(),
    )


def _resnet_vae(sizes: Sizes) -> Any:
    import ae_jax as ae

    features, depth, heads = (sizes.network[name] for name in ("features", "depth", "heads"))
    options = {"depth": depth, "heads": heads, "attention_at": True}
    return ae.recipes.vae(
        sizes.latent,
        encoder=ae.networks.resnet(features, **options),
        decoder=ae.networks.resnet_decoder(features[::-1], **options),
        likelihood=ae.likelihoods.bernoulli(),
    )


def _transformer(sizes: Sizes) -> Any:
    import ae_jax as ae

    vocabulary = sizes.network["vocabulary"]
    return ae.recipes.vae(
        sizes.latent,
        encoder=ae.networks.transformer(**sizes.network, pool="mean"),
        decoder=ae.networks.transformer_decoder(**sizes.network),
        likelihood=ae.likelihoods.categorical(vocabulary),
    )


def _topk(sizes: Sizes) -> Any:
    import ae_jax as ae

    return ae.recipes.Recipe.from_nodes(
        bottleneck=ae.bottlenecks.topk(sizes.latent, sizes.network["k"]),
        objective=ae.terms.reconstruction(),
        encoder=ae.networks.linear(),
        decoder=ae.networks.linear(),
        likelihood=ae.likelihoods.gaussian(),
    )


WORKLOADS = {
    row.name: row
    for row in (
        Workload(
            "vae",
            _vae,
            "uint8",
            255.0,
            1e-3,
            {
                "full": Sizes((28, 28, 1), 20, 128, 60_000, 10_000, {"hidden": 500}),
                "smoke": Sizes((6, 5, 1), 3, 8, 64, 16, {"hidden": 16}),
            },
        ),
        Workload(
            "conv_vae",
            _conv_vae,
            "uint8",
            255.0,
            1e-3,
            {
                "full": Sizes((32, 32, 3), 64, 128, 16_384, 2_048, {"features": (32, 64, 128)}),
                "smoke": Sizes((16, 16, 3), 3, 8, 64, 16, {"features": (4, 6, 8)}),
            },
        ),
        Workload(
            "resnet_vae",
            _resnet_vae,
            "uint8",
            255.0,
            1e-4,
            {
                "full": Sizes(
                    (64, 64, 3),
                    64,
                    128,
                    4_096,
                    512,
                    {"features": (64, 128, 256), "depth": 2, "heads": 4},
                ),
                "smoke": Sizes(
                    (8, 8, 3), 3, 8, 64, 16, {"features": (4, 8), "depth": 1, "heads": 2}
                ),
            },
        ),
        Workload(
            "transformer",
            _transformer,
            "uint8",
            1.0,
            3e-4,
            {
                "full": Sizes(
                    (128,),
                    64,
                    16,
                    8_192,
                    1_024,
                    {"vocabulary": 256, "width": 256, "depth": 4, "heads": 4},
                ),
                "smoke": Sizes(
                    (8,), 3, 4, 64, 16, {"vocabulary": 256, "width": 8, "depth": 2, "heads": 2}
                ),
            },
        ),
        Workload(
            "topk",
            _topk,
            "float32",
            1.0,
            1e-4,
            {
                "full": Sizes((768,), 24_576, 4_096, 32_768, 4_096, {"k": 32}),
                "smoke": Sizes((12,), 48, 16, 64, 16, {"k": 4}),
            },
            noisy=False,
        ),
    )
}
"""By name.

- `vae`: 784-500-20 with ReLU, Bernoulli on grey levels (Kingma & Welling 2014; Flax's example).
- `conv_vae`: three 4 x 4 convolutions of stride 2, a dense layer each way, and their transposes.
- `resnet_vae`: residual blocks with group normalisation and SiLU, the image halved three times and
  doubled again, self-attention at the lowest resolution; a CPU takes some ten seconds a step.
- `transformer`: an encoder of tokens pooled by their mean, a decoder that is told z at every
  position and sees them all, pre-norm blocks, tanh-GELU.
- `topk`: Gao et al. 2024 without the auxiliary loss, which is zero until units are dead and which
  implementations then compute or not; units' last use is counted, as reviving them needs.
"""


def find(workload: str, size: str) -> tuple[Workload, Sizes]:
    """A row of the table at one of its sizes.

    Raises:
      UnknownNameError: no such workload or size; the nearest is named.
    """
    if workload not in WORKLOADS:
        raise UnknownNameError(f"no workload is called '{workload}'{nearest(workload, WORKLOADS)}")
    row = WORKLOADS[workload]
    if size not in row.sizes:
        raise UnknownNameError(
            f"workload '{workload}' has no size '{size}'{nearest(size, row.sizes)}"
        )
    return row, row.sizes[size]


@functools.cache
def flops_per_step(workload: str, size: str) -> int:
    """Operations of the matrix products and convolutions of loss and gradients, once a step.

    Counted in ae_jax's own program in the form that accelerators run (`flops.count`), a multiply
    and an add as two. The same number stands for every peer, whatever it computes besides.
    """
    import jax
    import jax.numpy as jnp

    from ae_jax import keys
    from ae_jax.benchmarking.program import flops
    from ae_jax.types import Batch, Context, Spec

    row, sizes = find(workload, size)
    model, objective = row.recipe(sizes).build(Spec(sizes.shape, "real"))
    example = jax.ShapeDtypeStruct(sizes.shape, jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), example)
    draws = keys.for_examples(jax.random.key(0), 0, jnp.arange(sizes.batch_size))

    def loss(params, x):
        own, batch = variables._replace(params=params), Batch(x)
        state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), own.state)
        own = own._replace(state=state)
        outputs, _ = model.forward(own, batch, draws, train=True)
        context = Context(model, own, batch, draws, jnp.int32(0), sizes.train, train=True)
        return objective(outputs, context)[0]

    x = jax.ShapeDtypeStruct((sizes.batch_size, *sizes.shape), jnp.float32)
    return flops.count(jax.grad(loss), variables.params, x).total
