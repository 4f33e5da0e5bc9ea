"""A variational autoencoder of codes, trained with `ae.fit` itself."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import likelihoods, networks, recipes
from ae_jax.checks import require_positive_ints
from ae_jax.data import from_arrays
from ae_jax.evaluation import log_likelihood
from ae_jax.runs.fit import fit
from ae_jax.samplers.sampler import SAMPLERS, Sampler, standardise
from ae_jax.types import Array, Batch, PRNGKey, Spec, Told, Tree, Variables

LABEL = "label"
BOUND = 64  # importance samples of log_density


@SAMPLERS.register
def second_stage_vae(
    hidden: Sequence[int] = (256, 256), latent_dim: int | None = None, steps: int = 5000
) -> Sampler:
    """A second VAE, of the codes of the first: z ~ p(z | u), u ~ N(0, I) (Dai & Wipf 2019).

    Its codes u have the size of z, and its Gaussian likelihood one learned variance, so that it can
    put all of its mass where the codes lie; samples are drawn with that variance. As in the paper
    it is fitted on samples of q(z | x), whose aggregate the first decoder has seen, unless
    `ae.samplers.fit` is told otherwise. `log_density` is a lower bound: importance-weighted, over
    64 samples that are the same each time.

    It wants many codes. Of the 1,437 codes of the digits (16 dimensions) samples grew worse from
    300 to 5,000 steps while the density of held-out codes still rose: u ~ N(0, I) seems to fall
    between those that encode any z, where unlike codes are averaged. There a Gaussian mixture was
    better throughout.

    Args:
      hidden: the widths of encoder and decoder.
      latent_dim: the size of u; None: that of z.
      steps: of training, in batches of 128 codes.

    Returns:
      A Sampler, whose state holds "loc" and "scale" `[d]`, "classes" `[classes]`, zeros, and
      "params", the second model's.

    Raises:
      ConfigError: an option out of range.
    """
    require_positive_ints(steps=steps, **({} if latent_dim is None else {"latent_dim": latent_dim}))

    def recipe(dim: int, classes: int) -> Any:
        network = networks.mlp(tuple(hidden), "silu", condition=LABEL, num_classes=classes)
        likelihood = likelihoods.gaussian(variance="global")
        size = dim if latent_dim is None else latent_dim
        return recipes.vae(size, encoder=network, decoder=network, likelihood=likelihood)

    recipe(1, 1)  # so that hidden is checked here

    def model_of(state: Tree) -> tuple[Any, Variables]:
        dim, classes = state["loc"].shape[0], state["classes"].shape[0]
        model, _ = recipe(dim, classes).build(Spec((dim,), "real"))
        return model, Variables(state["params"], {})

    def estimate(codes: np.ndarray, labels: np.ndarray, key: PRNGKey) -> Tree:
        given, classes = standardise(codes), int(labels.max()) + 1
        x = given.codes.astype(np.float32)
        data = from_arrays(x, extras={LABEL: labels}, test_fraction=0.0)
        seed = int(np.asarray(jax.random.bits(key, (), np.uint32)))
        trained = fit(
            recipe(x.shape[1], classes),
            data,
            steps=steps,
            seed=seed,
            preprocessing="none",
            optimizer={"learning_rate": 1e-3, "schedule": "cosine"},
            progress=False,
        )
        scales = {"loc": given.loc, "scale": given.scale, "classes": np.zeros(classes)}
        return {**scales, "params": trained.variables.params}

    def draw(state: Tree, key: PRNGKey, label: Array) -> Array:
        model, variables = model_of(state)
        first, noise = jax.random.split(key)
        prior: Any = model.prior(variables)
        y, _, _ = model.decode_one(variables, prior.sample(first), Told(extras={LABEL: label}))
        z = model.likelihood.sample(variables.params["likelihood"], y, noise)
        return state["loc"] + state["scale"] * z

    def log_density(state: Tree, code: Array, label: Array) -> Array:
        model, variables = model_of(state)
        z = (code - state["loc"]) / state["scale"]
        batch = Batch(z[None], extras={LABEL: jnp.asarray(label)[None]})
        bound = log_likelihood(model, variables, batch, jax.random.key(0)[None], BOUND)
        return bound[0] - jnp.sum(jnp.log(state["scale"]))

    return Sampler(estimate, draw, log_density, codes="samples")
