"""One table: every term in float32 through `ae_jax.terms`, against its double-precision reference.

`python -m tests.terms.test_references` prints the worst relative errors. Errors are relative to the
value, or to the sum of the absolute summands where these cancel (*).
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import terms
from ae_jax._registry import COMBINATORS
from tests.recipes import test_predictive
from tests.reference import (
    bounds,
    discrepancy,
    divergences,
    quantization,
    reconstruction,
    sparsity,
    structural,
    structure,
    total_correlation,
)
from tests.terms import (
    test_adversarial,
    test_bounds,
    test_dead_units,
    test_divergence,
    test_hamiltonian,
    test_reconstruction,
)
from tests.terms import test_sparsity as on_layers
from tests.terms import test_structure as on_maps
from tests.terms.setting import NUM_TRAIN, SAMPLES, STEP, VALID, Setting, double, evaluate, setting

TOLERANCE = 1e-5
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
LAYERS = ("code", "hidden_0", "decoder/hidden_0")
LINEAR = ae.networks.linear()


class Row(NamedTuple):
    """A term, what it is evaluated on, and its reference.

    Attributes:
      objective: the term.
      made: the setting.
      reference: `setting -> values`, or `(values, magnitudes)` where the summands cancel.
    """

    objective: ae.Objective
    made: Callable[[], Setting]
    reference: Callable[[Setting], Any]


def pairs(rows):
    """A list of `(value, magnitude)` as two arrays."""
    return tuple(np.array(list(rows)).T)


def distances(oracle, **options):
    return lambda made: test_reconstruction.expected(made, oracle, **options)


def cosine(made):
    """Relative to 1 + |cos|: of one observed entry the distance is 0."""
    values = np.array(test_reconstruction.expected(made, reconstruction.cosine_distance))
    return values, 1 + np.abs(1 - values)


def nll(made):
    logits, batch = double(made.outputs.parameters), made.context.batch
    x, observed = double(batch.x), np.asarray(batch.observed)
    rows = zip(logits, x, observed, strict=True)
    cost = reconstruction.binary_cross_entropy
    return [np.mean([cost(row, x, seen)[0] for row in k]) for k, x, seen in rows]


def hidden_nll(made):
    return test_reconstruction.hidden(made, reconstruction.binary_cross_entropy)


def ratios(made):
    outputs = double(made.outputs._replace(posterior=None))
    return pairs(
        divergences.monte_carlo_kl(q[:2], p[:2])
        for q, p in zip(outputs.log_qz, outputs.log_pz, strict=True)
    )


def bound(oracle, *more, shape=(SAMPLES,)):
    def reference(made):
        return [-oracle(row.reshape(shape), *more)[0] for row in test_bounds.log_weights(made)]

    return reference


def decomposed(part):
    def reference(made):
        z, moments = double(made.outputs.z)[VALID, 0], test_divergence.moments(made)
        found = total_correlation.decomposition(
            z, *moments, num_train=NUM_TRAIN, estimator="weighted"
        )
        values, scales = np.ones(len(VALID)), np.full(len(VALID), np.inf)
        for whole, some in zip((values, scales), found, strict=True):
            whole[VALID] = some[part]
        return values, scales

    return reference


def mmd(made):
    z, draws = double(made.outputs.z)[VALID, 0], test_divergence.prior_draws(made)
    return discrepancy.mmd(z, draws, kernel="imq", bandwidths=SCALES, unbiased=True)


def mean_kl(made):
    return test_divergence.kl_per_dimension(made).mean(0)


def moments(oracle, count, **options):
    return lambda made: oracle(*test_divergence.moments(made)[:count], **options)[0]


def over_layers(made, penalty):
    return sum(penalty(on_layers.rows_of(made, layer)) for layer in LAYERS)


def rates(made):
    cost = lambda rows: sparsity.sparsity_kl(rows[VALID].mean(0), rho=0.2)[0]
    return over_layers(made, cost)


def population_rates(made):
    cost = lambda row: row.size * sparsity.sparsity_kl(row.mean(), rho=0.2)[0]
    return over_layers(made, lambda rows: np.array([cost(row) for row in rows]))


def l0(made):
    return over_layers(made, lambda rows: np.tanh(2 * np.abs(rows)).sum(1))


def dead(made):
    kernel, _ = test_dead_units.matrix(made, "decoder")
    error = test_dead_units.residual(made) - test_dead_units.chosen(made, 2) @ kernel
    return np.sum(np.where(made.context.batch.observed, error, 0) ** 2, axis=1)


def contractive(made):
    (weights,), codes = on_maps.matrices(made, "encoder"), double(made.outputs.z)[:, 0]
    return [structure.contractive_sigmoid(weights, code)[0] for code in codes]


def decoder_matrix(made):
    return np.sum(on_maps.matrices(made, "decoder")[0] ** 2)


def squares(made):
    leaves = jax.tree.leaves(double(made.context.variables.params["decoder"]))
    return structure.sum_of_squares(*leaves)[0]


def absolutes(made):
    leaves = jax.tree.leaves(double(made.context.variables.params["decoder"]))
    return structure.sum_of_absolutes(*leaves)[0]


def grams(made):
    return sum(structure.orthogonality(w)[0] for w in on_maps.matrices(made, "encoder"))


def to_codes(made):
    q = double(made.outputs.posterior)
    return np.sum((q.features - q.codes) ** 2, axis=(1, 2))


@functools.cache
def linear_decoder():
    made = setting("gaussian", decoder=LINEAR)
    model = made.model._replace(likelihood=ae.likelihoods.gaussian())
    return made._replace(model=model, context=made.context._replace(model=model))


@functools.cache
def quantized():
    plain = setting("identity")
    bottleneck = ae.bottlenecks.vector_quantized((2, 3), num_codes=8, decay=None)
    network, likelihood = ae.networks.mlp((8,), "sigmoid"), ae.likelihoods.bernoulli()
    model = ae.autoencoder(network, network, bottleneck, likelihood, event_shape=(6,))
    context = plain.context._replace(model=model, variables=None)

    def forward():
        variables = model.init(jax.random.key(0), context.batch.x[0])
        return variables, model.forward(variables, context.batch, context.keys)[0]

    variables, outputs = jax.jit(forward)()
    return Setting(model, outputs, context._replace(variables=variables))


@functools.cache
def bits():
    made = quantized()
    bottleneck = ae.bottlenecks.bsq((2, 3), 0.5)
    features = jnp.asarray(made.outputs.posterior.features, jnp.float32)
    posterior = jax.vmap(lambda row: bottleneck.posterior({}, {}, row))(features)
    return made._replace(outputs=made.outputs._replace(posterior=posterior))


def soft_codes(made):
    features = np.float64(quantized().outputs.posterior.features)
    features = features / np.linalg.norm(features, axis=-1, keepdims=True)
    return quantization.soft_assignment(features, 3**-0.5, 0.5)[1]


def code_entropy(made):
    return quantization.entropy(soft_codes(made)).sum(1)


def code_usage(made):
    mean = soft_codes(made)[VALID].mean((0, 1))
    return 2 * (math.log(8) - quantization.entropy(mean))


gaussian = functools.partial(setting, "gaussian")
sparse = functools.partial(setting, "sparse")
images = functools.partial(setting, "identity", (22, 23, 2), LINEAR, LINEAR)
one_layer = functools.partial(setting, "sparse", encoder=LINEAR, decoder=LINEAR)
TWO = (0.4, 0.6)
LAMBDAS = {"lambda_od": 3.0, "lambda_d": 5.0}

ROWS = (
    Row(terms.reconstruction(), gaussian, nll),
    Row(terms.masked_reconstruction(), test_reconstruction.masked, hidden_nll),
    Row(terms.squared_error(), gaussian, distances(reconstruction.squared_error)),
    Row(terms.absolute_error(), gaussian, distances(reconstruction.absolute_error)),
    Row(terms.huber(delta=0.25), gaussian, distances(reconstruction.huber, delta=0.25)),
    Row(terms.cosine(), gaussian, cosine),
    Row(terms.ssim(), images, distances(structural.ssim_loss, data_range=1.0)),
    Row(
        terms.ms_ssim(weights=TWO),
        images,
        distances(structural.ms_ssim_loss, data_range=1.0, weights=TWO),
    ),
    Row(
        terms.kl(),
        gaussian,
        lambda made: pairs(map(divergences.kl_standard_normal, *double(made.outputs.posterior))),
    ),
    Row(terms.monte_carlo_kl(samples=2), gaussian, ratios),
    Row(terms.free_bits(0.27), gaussian, lambda m: divergences.free_bits(mean_kl(m), 0.27)[0]),
    Row(
        terms.capacity(5.0, steps=100, gamma=7.0),
        gaussian,
        lambda m: divergences.capacity(mean_kl(m).sum(), 5 * STEP / 100, 7.0),
    ),
    Row(terms.mmd(), gaussian, mmd),
    Row(terms.mutual_information(), gaussian, decomposed(0)),
    Row(terms.total_correlation(), gaussian, decomposed(1)),
    Row(terms.dimension_wise_kl(), gaussian, decomposed(2)),
    Row(terms.dip_i(**LAMBDAS), gaussian, moments(structure.dip_vae_i, 1, **LAMBDAS)),
    Row(terms.dip_ii(**LAMBDAS), gaussian, moments(structure.dip_vae_ii, 2, **LAMBDAS)),
    Row(terms.iwae(SAMPLES), gaussian, bound(bounds.importance_weighted_bound)),
    Row(terms.miwae(SAMPLES, 2), gaussian, bound(bounds.miwae, shape=(2, SAMPLES // 2))),
    Row(terms.ciwae(SAMPLES, 0.3), gaussian, bound(bounds.ciwae, 0.3)),
    Row(terms.sparsity(0.2, LAYERS), sparse, rates),
    Row(terms.population_sparsity(0.2, LAYERS), sparse, population_rates),
    Row(terms.l1(LAYERS), sparse, lambda m: over_layers(m, lambda rows: np.abs(rows).sum(1))),
    Row(terms.l0(2.0, LAYERS), sparse, l0),
    Row(terms.dead_units(k=2), test_dead_units.made, dead),
    Row(terms.commitment(), quantized, to_codes),
    Row(terms.codebook(), quantized, to_codes),
    Row(terms.code_entropy(), bits, code_entropy),
    Row(terms.code_usage(), bits, code_usage),
    Row(terms.contractive(), one_layer, contractive),
    Row(terms.decoder_gradient(probes=None), linear_decoder, decoder_matrix),
    Row(
        terms.latent_l2(),
        gaussian,
        lambda m: [
            np.mean([structure.latent_l2(z)[0] for z in row]) for row in double(m.outputs.z)
        ],
    ),
    Row(terms.weight_l2(), gaussian, squares),
    Row(terms.weight_l1(), gaussian, absolutes),
    Row(terms.orthogonality(), gaussian, grams),
)


@functools.cache
def errors() -> dict[str, tuple[float, bool]]:
    """The worst relative error of every term, and whether it is relative to the summands."""
    groups: dict[Any, list[Row]] = {}
    for row in ROWS:
        groups.setdefault(row.made, []).append(row)
    found = {}
    for made, rows in groups.items():
        named = {row.objective.terms[0].name: row for row in rows}
        values = evaluate(made(), **{name: row.objective for name, row in named.items()})
        for name, row in named.items():
            got, wanted = values[name], row.reference(made())
            cancels = isinstance(wanted, tuple)
            wanted, magnitude = wanted if cancels else (wanted, np.abs(wanted))
            assert np.min(magnitude) > 0, name
            found[name] = float(np.max(np.abs(got - wanted) / magnitude)), cancels
    return found


def test_every_registered_term_has_a_reference():
    names = {row.objective.terms[0].name for row in ROWS}
    elsewhere = test_adversarial.NAMES | test_hamiltonian.NAMES | test_predictive.NAMES
    assert not names & elsewhere
    assert names | elsewhere == set(terms.__all__) - COMBINATORS.factories.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", [row.objective.terms[0].name for row in ROWS])
def test_every_term_in_float32_is_its_reference(name):
    error, _ = errors()[name]
    assert error <= TOLERANCE


if __name__ == "__main__":
    for term, (worst, cancels) in errors().items():
        print(f"{term:22} {worst:.1e}{' *' if cancels else ''}")
