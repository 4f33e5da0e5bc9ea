"""Games: GANs, and autoencoders whose examples or codes a critic judges.

Adam with b1 = 0.5 and a learning rate near 2e-4 is what most of them are published with:
`fit(…, optimizer={"learning_rate": 2e-4, "arguments": {"b1": 0.5}})`.
"""

from typing import Any

from ae_jax import bottlenecks, likelihoods, networks, schedules, terms
from ae_jax.critics import critic as a_critic
from ae_jax.objective import Objective
from ae_jax.recipes._row import Latent
from ae_jax.recipes.players import MAIN
from ae_jax.recipes.quantized import vq_vae
from ae_jax.recipes.recipe import Recipe
from ae_jax.types import Bottleneck, Player

CRITIC = "critic"
PAIR, MADE_PAIR = ("x", "code"), ("sample", "prior")


def _game(
    bottleneck: Bottleneck,
    objective: Objective,
    rival: Objective,
    parts: dict[str, Any],
    *,
    on: Any = "x",
    outputs: int | None = None,
    players: tuple[Player, ...] = (),
    **turn: Any,
) -> Recipe:
    """A recipe with one critic and the player that moves it, beside others."""
    network = parts.pop(CRITIC, None)
    rivals = (Player((CRITIC,), rival, None, name=CRITIC, **turn), *players)
    game = {"critics": {CRITIC: a_critic(network, on, outputs)}, "players": rivals}
    return Recipe.from_nodes(bottleneck=bottleneck, objective=objective, **game | parts)


def _with_prior(latent_dim: Latent) -> Bottleneck:
    return bottlenecks.identity(latent_dim, prior="standard_normal")


def gan(
    latent_dim: Latent = 64, *, loss: str = "non_saturating", r1: float = 0.0, **parts: Any
) -> Recipe:
    """The generative adversarial network (Goodfellow et al. 2014).

    Args:
      latent_dim: the size or shape of z.
      loss: "non_saturating", "hinge", "least_squares", "wasserstein" or "relativistic".
      r1: γ of the penalty γ/2 ‖∇D(x)‖² (Mescheder et al. 2018); 0 leaves it out.
      **parts: parts of the model, see `ae_jax.recipes`; `critic` is the network that judges.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae, numpy as np
      >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
      >>> run = ae.fit(ae.recipes.gan(2), x, steps=2, batch_size=32, progress=False)
      >>> run.sample(5).shape
      (5, 2)
    """
    parts = {"encoder": networks.none(), "likelihood": likelihoods.implicit()} | parts
    rival = terms.discriminator(loss=loss) + 0.0 * terms.critic_accuracy()
    rival = rival + r1 * terms.r1() if r1 else rival
    objective = terms.generator(loss=loss) + 0.0 * terms.spread()
    return _game(_with_prior(latent_dim), objective, rival, parts)


def dcgan(
    latent_dim: Latent = 100,
    *,
    features: tuple[int, ...] = (128, 64),
    loss: str = "non_saturating",
    r1: float = 0.0,
    **parts: Any,
) -> Recipe:
    """The convolutional GAN (Radford, Metz & Chintala 2016), for images in [0, 1].

    Args:
      latent_dim: the size or shape of z.
      features: the generator's channels; the critic has them in reverse.
      loss: as in `gan`.
      r1: as in `gan`.
      **parts: as in `gan`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.dcgan(100).decoder.node.name
      'deconv'
    """
    critic = networks.conv(features[::-1], activation="leaky_relu")
    generator = networks.deconv(features, normalisation="batch")
    likelihood = likelihoods.implicit("sigmoid")
    parts = {"decoder": generator, "likelihood": likelihood, CRITIC: critic} | parts
    return gan(latent_dim, loss=loss, r1=r1, **parts)


def wgan_gp(
    latent_dim: Latent = 64, *, weight: float = 10.0, every: int = 5, **parts: Any
) -> Recipe:
    """The Wasserstein GAN with gradient penalty (Gulrajani et al. 2017).

    Args:
      latent_dim: the size or shape of z.
      weight: λ of the penalty (‖∇D‖ - 1)².
      every: how many steps the critic takes to one of the generator.
      **parts: as in `gan`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> [(player.name, player.every) for player in ae.recipes.wgan_gp(64).players]
      [('critic', 1), ('model', 5)]
    """
    parts = {"encoder": networks.none(), "likelihood": likelihoods.implicit()} | parts
    rival = terms.discriminator(loss="wasserstein") + weight * terms.gradient_penalty()
    slower = (Player((), None, None, every, MAIN),)
    generator = terms.generator(loss="wasserstein") + 0.0 * terms.spread()
    return _game(_with_prior(latent_dim), generator, rival, parts, players=slower)


def adversarial_autoencoder(latent_dim: Latent = 8, *, weight: float = 1.0, **parts: Any) -> Recipe:
    """The adversarial autoencoder (Makhzani et al. 2016): codes that pass for the prior's.

    Args:
      latent_dim: the size or shape of the code.
      weight: weight of the codes' side of the game.
      **parts: parts of the model; `critic` is the network that judges codes.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.adversarial_autoencoder(8).critics["critic"].on
      ('code',)
    """
    codes = {"real": "prior", "fake": "code"}
    objective = terms.reconstruction() + weight * terms.generator(**codes)
    rival = terms.discriminator(**codes) + 0.0 * terms.critic_accuracy(**codes)
    return _game(_with_prior(latent_dim), objective, rival, parts, on="code")


def wae_gan(latent_dim: Latent = 8, *, weight: float = 10.0, **parts: Any) -> Recipe:
    """The Wasserstein autoencoder with a critic (Tolstikhin et al. 2018), at squared error.

    Args:
      latent_dim: the size or shape of the code.
      weight: λ, of the divergence of the codes from the prior.
      **parts: as in `adversarial_autoencoder`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.wae_gan(8).objective
      Objective(1.0 · reconstruction + 10.0 · generator)
    """
    parts = {"likelihood": likelihoods.gaussian()} | parts
    return adversarial_autoencoder(latent_dim, weight=weight, **parts)


def factor_vae(latent_dim: Latent = 10, *, gamma: float = 10.0, **parts: Any) -> Recipe:
    """The FactorVAE (Kim & Mnih 2018): γ times the total correlation, by a critic's density ratio.

    Args:
      latent_dim: the size or shape of z.
      gamma: γ, weight of the total correlation.
      **parts: parts of the model; `critic` is the network that judges codes, with two outputs.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.factor_vae(10).objective
      Objective(1.0 · reconstruction + 1.0 · kl + 10.0 · density_ratio)
    """
    objective = terms.reconstruction() + terms.kl() + gamma * terms.density_ratio()
    rival = terms.density_ratio_discriminator()
    return _game(bottlenecks.gaussian(latent_dim), objective, rival, parts, on="code", outputs=2)


def vae_gan(
    latent_dim: Latent = 32, *, layer: str = "hidden_0", gamma: float = 1.0, **parts: Any
) -> Recipe:
    """The VAE-GAN (Larsen et al. 2016): likeness in a hidden layer of a critic of samples.

    Args:
      latent_dim: the size or shape of z.
      layer: the critic's, by name.
      gamma: γ, weight of that likeness in what the decoder minimises, beside looking real.
      **parts: as in `gan`.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> [player.name for player in ae.recipes.vae_gan(32).players]
      ['critic', 'decoder']
    """
    parts = {"likelihood": likelihoods.gaussian()} | parts
    alike = terms.learned_similarity(layer=layer)
    again: dict[str, Any] = {"fake": "reconstruction", "name": "reconstructions"}
    maker = gamma * alike + terms.generator() + terms.generator(**again)
    rival = terms.discriminator() + terms.discriminator(**again) + 0.0 * terms.critic_accuracy()
    decoder = (Player(("decoder",), maker, None, name="decoder"),)
    bottleneck = bottlenecks.gaussian(latent_dim)
    objective = terms.kl() + alike + 0.0 * terms.spread()
    return _game(bottleneck, objective, rival, parts, players=decoder)


def bigan(latent_dim: Latent = 64, **parts: Any) -> Recipe:
    """The bidirectional GAN (Donahue et al. 2017; Dumoulin et al. 2017): a critic of pairs (x, z).

    Args:
      latent_dim: the size or shape of z.
      **parts: as in `gan`; the encoder is chosen from the data.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.bigan(64).critics["critic"].on
      ('x', 'code')
    """
    parts = {"likelihood": likelihoods.implicit()} | parts
    swapped = terms.discriminator(real=MADE_PAIR, fake=PAIR, name="generator")
    rival = terms.discriminator(real=PAIR, fake=MADE_PAIR)
    rival = rival + 0.0 * terms.critic_accuracy(real=PAIR, fake=MADE_PAIR)
    return _game(_with_prior(latent_dim), swapped, rival, parts, on=PAIR)


def vq_gan(
    latent_dim: Latent = (8, 8),
    *,
    num_codes: int = 512,
    beta: float = 0.25,
    weight: float = 0.8,
    start: int = 1_000,
    **parts: Any,
) -> Recipe:
    """The VQGAN (Esser, Rombach & Ommer 2021): a VQ-VAE whose reconstructions a critic judges.

    A perceptual distance joins it as `ae.terms.perceptual`, in features of your own.

    Args:
      latent_dim: shape `(*positions, d)`, with codes of size d.
      num_codes: number of codes in the codebook.
      beta: β, weight of the commitment.
      weight: weight of looking real, once its gradient is as long as the reconstruction's.
      start: step from which the critic plays.
      **parts: as in `gan`; the encoder is chosen from the data.

    Returns:
      A Recipe.

    Example:
      >>> import ae_jax as ae
      >>> ae.recipes.vq_gan((4, 8), num_codes=64).objective
      Objective(1.0 · reconstruction + 0.25 · commitment + 0.8 · generator · schedule)
    """
    plain = vq_vae(latent_dim, num_codes=num_codes, beta=beta)
    game: dict[str, Any] = {"fake": "reconstruction", "loss": "hinge"}
    realism = terms.generator(**game, schedule=schedules.linear(0.0, 1.0, 1, start))
    objective = plain.objective + weight * terms.balanced(realism, to=terms.reconstruction())
    rival = terms.discriminator(**game) + 0.0 * terms.critic_accuracy(fake="reconstruction")
    parts = {"likelihood": plain.likelihood} | parts
    return _game(plain.bottleneck, objective, rival, parts, start=start)
