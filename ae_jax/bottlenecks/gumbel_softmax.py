"""Categorical codes by probability, relaxed in training."""

import dataclasses

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax._registry import BOTTLENECKS
from ae_jax.bottlenecks._shapes import latent_shape, no_stats
from ae_jax.checks import require_positive, require_positive_ints
from ae_jax.distributions import UniformCodes, kl_divergence
from ae_jax.errors import ConfigError
from ae_jax.types import Array, Bottleneck, Codes, Distribution, PRNGKey


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CategoricalCodes:
    """A code of a codebook at every position, each with a probability.

    Attributes:
      logits: of the codes, unnormalised, `[*positions, codes]`.
      codebook: `[codes, d]`.
      temperature: τ of the relaxed sample.
    """

    logits: Array
    codebook: Array
    temperature: Array

    def log_prob(self, value: Array) -> Array:
        """Log q of the codes nearest to the value, nats: of the codes themselves, exactly."""
        numbers = losses.nearest_codes(value, self.codebook)
        log_q = jax.nn.log_softmax(self.logits, axis=-1)
        return jnp.sum(jnp.take_along_axis(log_q, numbers[..., None], axis=-1))

    def sample(self, key: PRNGKey) -> Array:
        """Codes drawn by their probabilities."""
        return self.codebook[jnp.argmax(self._perturbed(key), axis=-1)]

    def relaxed(self, key: PRNGKey, straight_through: bool = False) -> Array:
        """softmax((logits + g) / τ) C with Gumbel noise g, or that of `sample` in value."""
        perturbed = self._perturbed(key)
        soft = jax.nn.softmax(perturbed / self.temperature, axis=-1)
        if straight_through:
            moved = jnp.matmul(soft - jax.lax.stop_gradient(soft), self.codebook)
            return self.codebook[jnp.argmax(perturbed, axis=-1)] + moved
        return jnp.matmul(soft, self.codebook)

    def _perturbed(self, key: PRNGKey) -> Array:
        return self.logits + jax.random.gumbel(key, self.logits.shape, self.logits.dtype)

    @property
    def mean(self) -> Array:
        """The codes' mean."""
        return jnp.matmul(jax.nn.softmax(self.logits, axis=-1), self.codebook)

    @property
    def mode(self) -> Array:
        """The most probable codes."""
        return self.codebook[self.numbers]

    @property
    def code_logits(self) -> Array:
        """The logits, by the name that terms ask for."""
        return self.logits

    @property
    def numbers(self) -> Array:
        """Theirs in the codebook, int32 `[*positions]`."""
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)


@kl_divergence.register
def _(posterior: CategoricalCodes, prior: Distribution) -> Array | None:
    return (
        losses.kl_categorical_uniform(posterior.logits) if isinstance(prior, UniformCodes) else None
    )


@BOTTLENECKS.register
def gumbel_softmax(
    latent_dim: int | tuple[int, ...],
    num_codes: int = 512,
    temperature: float = 1.0,
    final_temperature: float = 0.0625,
    anneal_steps: int = 10_000,
    straight_through: bool = False,
) -> Bottleneck:
    """The discrete VAE's bottleneck: q(j | x) = softmax(logits), z a code of a learned codebook.

    The encoder emits num_codes logits a position. In training z is relaxed, softmax((logits + g) /
    τ) C with Gumbel noise g, and τ falls along half a cosine from `temperature` to
    `final_temperature` over `anneal_steps` optimizer steps. In evaluation z is a code drawn from q,
    without a key the most probable one. The prior is uniform over codes and KL(q ‖ p) in closed
    form, so that the bounds of evaluation are exact; those of several relaxed samples in training
    (IWAE) take the nearest code's probability.

    Args:
      latent_dim: shape `(*positions, d)` of z, codes of size d, or d alone for one position;
        the encoder must emit `(*positions, num_codes)`.
      num_codes: number of codes in the codebook.
      temperature: temperature τ at the start, above 0.
      final_temperature: temperature τ from `anneal_steps` on, above 0.
      anneal_steps: number of optimizer steps over which τ falls.
      straight_through: whether z in training is a drawn code, with the gradient of the relaxed one
        (Jang, Gu & Poole 2017).

    Returns:
      A Bottleneck.

    Raises:
      ConfigError: a temperature that is not positive, or a number that is not.

    References:
      Jang, Gu & Poole, "Categorical reparameterization with Gumbel-softmax", 2017; Maddison, Mnih &
      Teh, "The concrete distribution", 2017; Ramesh et al., "Zero-shot text-to-image generation",
      2021, §2.1.

    Example:
      >>> import ae_jax as ae
      >>> bottleneck = ae.bottlenecks.gumbel_softmax((4, 4, 8), num_codes=64)
      >>> bottleneck.feature_shape, bottleneck.latent_shape
      ((4, 4, 64), (4, 4, 8))
    """
    shape = latent_shape(latent_dim)
    require_positive_ints(num_codes=num_codes, anneal_steps=anneal_steps)
    require_positive(temperature=temperature, final_temperature=final_temperature)
    if num_codes == 1:
        raise ConfigError("num_codes must be at least 2: one code says nothing, got 1")

    def posterior(params, state, features):
        risen = jnp.minimum(state["steps"].astype(jnp.float32) / anneal_steps, 1.0)
        fall = 0.5 * (1 + jnp.cos(jnp.pi * risen))
        tau = final_temperature + (temperature - final_temperature) * fall
        return CategoricalCodes(features.astype(jnp.float32), params["codebook"], tau)

    def latent(params, state, posterior, key, train=False):
        if key is None:
            return posterior.mode
        return posterior.relaxed(key, straight_through) if train else posterior.sample(key)

    def update(state, sums, key):
        del sums, key
        return {"steps": jnp.minimum(state["steps"] + 1, 2**30)}

    def init(key):
        codebook = jax.random.normal(key, (num_codes, shape[-1]))
        return {"codebook": codebook}, {"steps": jnp.zeros((), jnp.int32)}

    return Bottleneck(
        latent_shape=shape,
        feature_shape=(*shape[:-1], num_codes),
        init=init,
        posterior=posterior,
        latent=latent,
        prior=lambda params, state: UniformCodes(params["codebook"], shape[:-1]),
        stats=no_stats,
        update=update,
        codes=Codes(
            shape[:-1], num_codes, lambda params, state, numbers: params["codebook"][numbers]
        ),
    )
