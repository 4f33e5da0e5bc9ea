"""Every registered term keeps the public contract, grouped by the model that it is made for."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import terms
from ae_jax._registry import TERMS
from ae_jax.testing import check_term
from tests import fast

NETWORK = ae.networks.mlp((8,), "sigmoid")
EVERY_LAYER = ("code", "hidden_0", "decoder/hidden_0")


class Group(NamedTuple):
    """Terms that share a model and so one compilation.

    Attributes:
      objective: their sum.
      bottleneck: None for the suite's own variational model.
      event_shape: of one example.
      devices: the counts compared.
      corruption: None for none.
      critics: by name.
    """

    objective: ae.Objective
    bottleneck: object = None
    event_shape: tuple[int, ...] = (6,)
    devices: Sequence[int] = (8,)
    corruption: object = None
    critics: object = None


def resting(bottleneck):
    """With every other unit dead from the start."""
    unused = {"unused_for": jnp.arange(bottleneck.latent_shape[0]) % 2 * 100}
    return bottleneck._replace(init=lambda key: ({}, unused))


GROUPS = {
    "reconstructions": Group(
        terms.reconstruction()
        + terms.squared_error()
        + terms.absolute_error()
        + terms.huber(delta=0.5)
        + terms.cosine()
        + terms.detached(terms.squared_error(name="watched"))
        + terms.where(terms.squared_error(name="restricted"), "label", equals=1),
    ),
    "masked": Group(
        terms.masked_reconstruction() + terms.reconstruction(),
        ae.bottlenecks.gaussian(3),
        corruption=ae.corruptions.patch_masking(2, 0.5),
    ),
    "bounds": Group(
        terms.kl()
        + terms.monte_carlo_kl(samples=2)
        + terms.iwae(samples=4)
        + terms.iwae(samples=3, doubly_reparameterized=True, name="doubly_reparameterized")
        + terms.miwae(samples=4, groups=2)
        + terms.ciwae(samples=4)
    ),
    "dynamics": Group(terms.hamiltonian(leapfrog=2, samples=2), ae.bottlenecks.hamiltonian(3)),
    "maps": Group(
        terms.contractive()
        + terms.decoder_gradient()
        + terms.latent_l2()
        + terms.weight_l2()
        + terms.weight_l1()
        + terms.orthogonality()
    ),
    "batch-coupled": Group(
        terms.free_bits(threshold=0.1)
        + terms.capacity(target=5.0, steps=100)
        + terms.mmd()
        + terms.mutual_information()
        + terms.total_correlation()
        + terms.dimension_wise_kl()
        + terms.dip_i()
        + terms.dip_ii(),
        devices=(1, 2, 4, 8),
    ),
    "hierarchy": Group(
        terms.kl()
        + terms.free_bits(threshold=0.1)
        + terms.iwae(samples=2)
        + terms.iwae(samples=3, doubly_reparameterized=True, name="doubly_reparameterized"),
        ae.bottlenecks.ladder((3, 2), width=4, depth=1),
    ),
    "sparse": Group(
        terms.sparsity(rho=0.05, layers=EVERY_LAYER)
        + terms.sparsity(rho=0.05, running=True, name="running")
        + terms.population_sparsity(rho=0.05, layers=EVERY_LAYER)
        + terms.l1(layers=EVERY_LAYER)
        + terms.l0(),
        ae.bottlenecks.sparse(3),
        devices=(1, 2, 4, 8),
    ),
    "few units": Group(
        terms.dead_units(k=2) + terms.reconstruction(),
        resting(ae.bottlenecks.topk(6, 2, dead_after=100)),
    ),
    "quantized": Group(
        terms.commitment() + terms.kl(), ae.bottlenecks.vector_quantized((2, 3), num_codes=8)
    ),
    "bits": Group(
        terms.code_entropy() + terms.code_usage(group=2) + terms.commitment(),
        ae.bottlenecks.bsq((2, 4)),
    ),
    "learned codebook": Group(
        terms.codebook() + terms.commitment(),
        ae.bottlenecks.vector_quantized((2, 3), num_codes=8, decay=None),
    ),
    "games": Group(
        terms.discriminator()
        + terms.generator(loss="relativistic")
        + terms.critic_accuracy()
        + terms.lecam()
        + terms.gradient_penalty()
        + terms.r1()
        + terms.r2()
        + terms.feature_matching(layer="hidden_0")
        + terms.learned_similarity(layer="hidden_0")
        + terms.perceptual(features=jnp.tanh)
        + terms.density_ratio(critic="codes")
        + terms.density_ratio_discriminator(critic="codes"),
        ae.bottlenecks.gaussian(3),
        critics={
            "critic": ae.critic(NETWORK),
            "codes": ae.critic(NETWORK, on="code", outputs=2),
        },
    ),
    "features of hidden patches": Group(
        terms.feature_prediction(),
        ae.bottlenecks.identity((3, 2)),
        corruption=ae.corruptions.patch_block_masking(2, 0.5),
        critics={
            "predictor": ae.critic(NETWORK, on="code", outputs=(3, 2)),
            "teacher": ae.teacher(0.9),
        },
    ),
    "balances": Group(
        terms.spread()
        + terms.balanced(
            terms.generator(fake="reconstruction", name="at the output"), terms.reconstruction()
        )
        + terms.balanced(
            terms.generator(fake="reconstruction", name="at the last layer"),
            to=terms.reconstruction(),
            layer="output",
        ),
        ae.bottlenecks.gaussian(3),
        critics={"critic": ae.critic(NETWORK)},
    ),
    "images": Group(
        terms.ssim() + terms.ms_ssim(weights=(1.0,)),
        ae.bottlenecks.identity(3),
        (11, 12, 1),
    ),
}


def test_every_registered_term_is_in_the_table():
    ours = {name for name, f in TERMS.factories.items() if f.__module__.startswith("ae_jax.")}
    names = {term.name for group in GROUPS.values() for term in group.objective.terms}
    assert ours <= names
    assert ours | {"balanced", "detached", "where"} == set(ae.terms.__all__)
    assert all(getattr(ae.terms, name) is TERMS.factories[name] for name in ours)


def check(name, devices):
    group = GROUPS[name]
    model = None
    if group.bottleneck is not None:
        likelihood, shape = ae.likelihoods.bernoulli(), group.event_shape
        parts = NETWORK, NETWORK, group.bottleneck, likelihood
        named = {"critics": group.critics, "event_shape": shape}
        model = ae.autoencoder(*parts, group.corruption, **named)
    report = check_term(
        group.objective,
        model=model,
        event_shape=group.event_shape,
        extras={"label": np.arange(16) % 2},
        devices=devices,
        compiler_options=fast.options(),
    )
    assert report.devices == tuple(devices)
    assert "unobserved entries" in report.errors


QUICK = ("reconstructions", "quantized")
"""Groups whose check is not marked slow: an independent term and one with a bottleneck's state."""


@pytest.mark.devices(8)
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in GROUPS],
)
def test_the_contract(name):
    check(name, GROUPS[name].devices)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in GROUPS if len(GROUPS[name].devices) == 1])
def test_the_contract_on_the_other_numbers_of_devices(name):
    check(name, (1, 2, 4))
