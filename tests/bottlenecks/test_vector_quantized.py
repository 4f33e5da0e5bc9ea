"""Vector quantisation: nearest codes, moving averages over all devices, codes that come back."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

import ae_jax as ae
from ae_jax import keys as keys_lib
from tests import fast
from tests.bottlenecks.updates import AS_IT_IS, states
from tests.reference import quantization as reference

POSITIONS, D, CODES, DECAY = (2, 2), 3, 6, 0.8
RNG = np.random.default_rng(0)
STEPS, BATCH = 5, 16
DATA = RNG.normal(size=(STEPS, BATCH, *POSITIONS, D)).astype(np.float32)
MASK = RNG.random((STEPS, BATCH)) < 0.6
SHAPE = (*POSITIONS, D)


def made(**options):
    options = {"num_codes": CODES, "decay": DECAY, "dead_below": 0.0} | options
    return ae.bottlenecks.vector_quantized(SHAPE, **options)


def state_of(bottleneck):
    return bottleneck.init(jax.random.key(0))[1]


@pytest.mark.parametrize("decay", [DECAY, None])
@pytest.mark.parametrize("latent_dim", [3, (5, 3), SHAPE])
def test_every_position_takes_its_nearest_code_with_the_gradient_of_the_features(latent_dim, decay):
    bottleneck = ae.bottlenecks.vector_quantized(latent_dim, CODES, decay)
    params, state = bottleneck.init(jax.random.key(0))
    shape = bottleneck.latent_shape
    assert bottleneck.feature_shape == shape
    features, weights = np.float32(RNG.normal(size=(2, *shape)))
    codebook = (params if decay is None else state)["codebook"]
    codebook = np.asarray(codebook, np.float64)

    def weighted(features):
        posterior = bottleneck.posterior(params, state, features)
        z = bottleneck.latent(params, state, posterior, jax.random.key(0))
        return jnp.sum(weights * z), posterior

    gradient, posterior = fast.jit(jax.grad(weighted, has_aux=True))(features)
    numbers = reference.nearest(features, codebook)
    np.testing.assert_array_equal(posterior.numbers, numbers)
    for value in (posterior.mean, posterior.mode, posterior.sample(jax.random.key(0))):
        np.testing.assert_array_equal(value, codebook[numbers].astype(np.float32))
    np.testing.assert_array_equal(gradient, weights)


def averages(found):
    return [tuple(state[name] for name in ("codebook", "counts", "sums")) for state in found]


@functools.cache
def averaging(devices):
    return averages(states(made(), DATA, MASK, devices))


@pytest.mark.parametrize("devices", [1, 4])
def test_the_codebook_is_the_moving_average_of_the_papers_appendix(devices):
    found = averaging(devices)
    wanted = tuple(np.asarray(leaf, np.float64) for leaf in found[0])
    for got, x, valid in zip(found[1:], DATA, MASK, strict=True):
        wanted = reference.moving_average(wanted, x[valid], DECAY)
        for leaf, expected in zip(got, wanted, strict=True):
            np.testing.assert_allclose(leaf, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(found[-1][0] - found[0][0]).max() > 0.1


def test_the_step_quantises_with_the_old_codes_and_updates_after():
    """One training step: its loss is that of the old codebook, its state the new one's."""
    network = ae.networks.linear()
    recipe = ae.recipes.vq_vae(SHAPE, num_codes=CODES, encoder=network, decoder=network)
    recipe = recipe._replace(bottleneck=made())
    model, objective = recipe.build(ae.Spec((6,), "real"))
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(6))
    players = ae.training.single_player(objective, optax.sgd(0.1), variables)
    step = ae.training.make_step(model, players, num_train=100)
    x = jnp.asarray(DATA[0].reshape(BATCH, -1)[:, :6])

    def run():
        state = ae.training.init_state(model, players, x[0], seed=0)
        return state, step(state, ae.Batch(x))

    before, (after, metrics) = jax.device_get(fast.jit(run)())
    layer = before.variables.params["encoder"]["output"]
    features = np.float64(x) @ layer["kernel"] + layer["bias"]
    features = features.reshape(BATCH, *SHAPE)
    old, new = averages(s.variables.state["bottleneck"] for s in (before, after))
    codes = np.float64(old[0])[reference.nearest(features, np.float64(old[0]))]
    commitment = np.sum((features - codes) ** 2) / BATCH
    np.testing.assert_allclose(metrics["commitment"], commitment, rtol=1e-5)
    updated = np.float64(new[0])[reference.nearest(features, np.float64(new[0]))]
    assert abs(np.sum((features - updated) ** 2) / BATCH - commitment) > 0.01 * commitment
    wanted = reference.moving_average(tuple(map(np.float64, old)), features, DECAY)
    for got, expected in zip(new, wanted, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


FAR = {"counts": jnp.ones(CODES), "codebook": jnp.full((CODES, D), 30.0).at[0].set(0.0)}
FAR["sums"] = FAR["codebook"]  # all vectors are the first code's, the others fall out of use


@functools.cache
def replacing(devices):
    """The states of a codebook of which all codes but one are replaced."""
    steps, masks = np.tile(DATA, (3, 1, 1, 1, 1)), np.tile(MASK, (3, 1))
    return states(made(dead_below=0.05), steps, masks, devices, FAR)


@pytest.mark.parametrize("devices", [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 8))])
def test_dead_codes_are_replaced_by_the_same_on_every_number_of_devices(devices):
    for one, many in zip(replacing(1), replacing(devices), strict=True):
        for name in ("codebook", "counts", "sums"):
            np.testing.assert_allclose(many[name], one[name], rtol=1e-5, atol=1e-5)


def test_a_replaced_code_starts_anew_where_the_vectors_are():
    found = replacing(1)
    first = next(i for i, state in enumerate(found) if np.ptp(state["codebook"][1]) > 1e-3)
    before, after = found[first - 1], found[first]
    x, valid = DATA[(first - 1) % STEPS], MASK[(first - 1) % STEPS]
    counts, _, errors = reference.sums(x[valid], before["codebook"])
    assert counts[0] == counts.sum()  # all of them the first code's
    aged = DECAY * before["counts"] + (1 - DECAY) * counts
    assert np.all(aged[1:] < 0.05 * aged.mean())
    np.testing.assert_allclose(after["counts"][1:], aged.mean(), rtol=1e-5)
    fresh = after["counts"][1:, None] * after["codebook"][1:]
    np.testing.assert_allclose(after["sums"][1:], fresh, rtol=1e-5)
    deviation = np.sqrt(errors[0] / (counts[0] * D))
    draws = (after["codebook"][1:] - after["codebook"][0]) / deviation
    assert np.abs(draws).max() < 4
    assert 0.4 < draws.std() < 1.6
    assert len(np.unique(draws)) == draws.size
    used = reference.sums(x[valid], found[-1]["codebook"])[0]
    assert np.all(used[1:] > 0)  # and they are of use


def test_replacements_are_drawn_around_the_codes_in_use_by_their_share():
    """2000 dead codes: means, deviations and shares of the two clusters they are drawn around."""
    size, centres = 2002, np.array([[-5.0], [7.0]])
    codebook = np.full((size, 1), 1e3)
    codebook[:2] = centres
    counts = np.zeros(size)
    counts[:2] = 1000.0
    state = {"codebook": codebook, "counts": counts, "sums": codebook * counts[:, None]}
    given, errors = np.zeros(size), np.zeros(size)
    given[:2], errors[:2] = (300, 100), (300 * 0.25, 100 * 4.0)
    sums = {"counts": given, "sums": given[:, None] * codebook, "errors": errors}
    state, sums = jax.tree.map(jnp.float32, (state, sums))
    bottleneck = ae.bottlenecks.vector_quantized(1, size, decay=0.99, dead_below=0.5)
    new = fast.jit(bottleneck.update)(state, sums, jax.random.key(0))
    drawn = np.asarray(new["codebook"])[2:, 0]
    assert stats.binomtest(int((drawn > 0).sum()), 2000, 0.25).pvalue > 1e-3
    for sign, centre, deviation in ((-1, -5, 0.5), (1, 7, 2)):
        own = drawn[np.sign(drawn) == sign]
        assert stats.kstest(own, stats.norm(centre, deviation).cdf).pvalue > 1e-3
    other = fast.jit(bottleneck.update)(state, sums, jax.random.key(1))["codebook"]
    assert not np.array_equal(other, new["codebook"])


def test_without_replacement_an_unused_code_stays_where_it_is_for_ever():
    bottleneck = made(decay=0.5)
    state = FAR
    sums = {"counts": jnp.zeros(CODES), "sums": jnp.zeros((CODES, D)), "errors": jnp.zeros(CODES)}
    update = fast.jit(bottleneck.update)
    for _ in range(300):  # 0.5 ** 300 is no float32
        state = update(state, sums, jax.random.key(0))
    assert not state["counts"].any()
    np.testing.assert_allclose(state["codebook"], FAR["codebook"], rtol=1e-5)


def test_a_step_of_padding_alone_replaces_nothing():
    bottleneck = made(dead_below=0.9)
    counts = jnp.array([100.0, 1, 1, 1, 1, 1])
    state = {**FAR, "counts": counts, "sums": counts[:, None] * FAR["codebook"]}
    nothing = np.zeros((1, BATCH), bool)
    _, after = states(bottleneck, DATA[:1], nothing, state=state)
    np.testing.assert_allclose(after["codebook"], FAR["codebook"], rtol=1e-6)
    np.testing.assert_allclose(after["counts"], DECAY * counts, rtol=1e-6)


def test_a_codebook_of_clusters_is_found():
    """Eight tight clusters and a codebook far from all: replacement and averages find each."""
    centres = 5 * RNG.normal(size=(8, 1, D))
    x = centres[RNG.integers(8, size=(60, 32))] + 0.05 * RNG.normal(size=(60, 32, 1, D))
    bottleneck = ae.bottlenecks.vector_quantized((1, D), 32, decay=0.8, dead_below=0.1)
    found = states(bottleneck, x, np.ones((60, 32), bool))
    gap = lambda state: [np.abs(state["codebook"] - c).max(1).min() for c in centres]
    assert max(gap(found[0])) > 1
    assert max(gap(found[-1])) < 0.2


def test_a_learned_codebook_is_a_parameter_moved_by_its_own_loss_alone():
    bottleneck = made(decay=None)
    params, state = bottleneck.init(jax.random.key(0))
    assert state == {}
    model = ae.autoencoder(AS_IT_IS, AS_IT_IS, bottleneck, ae.likelihoods.gaussian())
    keys = keys_lib.for_examples(jax.random.key(0), 0, jnp.arange(BATCH))
    batch = ae.Batch(jnp.asarray(DATA[0]), valid=jnp.asarray(MASK[0]))
    terms = {
        "codebook": ae.terms.codebook(),
        "commitment": ae.terms.commitment(),
        "reconstruction": ae.terms.reconstruction(),
    }

    def losses(params):
        variables = ae.Variables({"bottleneck": params}, {})
        outputs, collected = model.forward(variables, batch, keys)
        assert not collected["bottleneck"]
        context = ae.Context(model, variables, batch, keys, jnp.int32(0), 100)
        return {name: objective(outputs, context)[0] for name, objective in terms.items()}

    slopes = fast.jit(jax.jacrev(losses))(params)
    codebook = np.asarray(params["codebook"], np.float64)
    counts, totals, _ = reference.sums(DATA[0][MASK[0]], codebook)
    wanted = 2 * (counts[:, None] * codebook - totals) / MASK[0].sum()
    np.testing.assert_allclose(slopes["codebook"]["codebook"], wanted, rtol=1e-4, atol=1e-5)
    assert not slopes["commitment"]["codebook"].any()
    assert not slopes["reconstruction"]["codebook"].any()


@pytest.mark.parametrize("decay", [DECAY, None])
def test_the_prior_is_uniform_over_codes_and_the_posterior_is_one(decay):
    bottleneck = made(decay=decay)
    params, state = bottleneck.init(jax.random.key(0))
    prior = bottleneck.prior(params, state)
    codebook = np.asarray(prior.codebook)
    posterior = bottleneck.posterior(params, state, jnp.asarray(DATA[0, 0]))
    assert posterior.log_prob(posterior.mean) == 0
    nats = 4 * math.log(CODES)
    np.testing.assert_allclose(prior.log_prob(posterior.mean), -nats, rtol=1e-6)
    draws = np.asarray(fast.jit(jax.vmap(prior.sample))(jax.random.split(jax.random.key(0), 3000)))
    numbers = reference.nearest(draws, codebook)
    np.testing.assert_array_equal(codebook[numbers], draws)
    for position in np.ndindex(POSITIONS):
        counts = np.bincount(numbers[(slice(None), *position)], minlength=CODES)
        assert stats.chisquare(counts).pvalue > 1e-3
    np.testing.assert_allclose(prior.mean, np.broadcast_to(codebook.mean(0), SHAPE), rtol=1e-5)
    np.testing.assert_array_equal(prior.mode, np.broadcast_to(codebook[0], SHAPE))


def test_smoothed_counts_are_laplaces():
    found = states(made(smoothing=0.1), DATA[:1], MASK[:1])
    codebook, counts, totals = averages(found)[0]
    codebook = np.float64(codebook)
    _, counts, totals = reference.moving_average(
        (codebook, counts, totals), DATA[0][MASK[0]], DECAY
    )
    total = counts.sum()
    smoothed = (counts + 0.1) / (total + CODES * 0.1) * total
    np.testing.assert_allclose(found[1]["codebook"], totals / smoothed[:, None], rtol=1e-4)


def test_codes_of_unit_length_are_nearest_by_cosine_and_follow_means_of_directions():
    bottleneck = made(cosine=True)
    found = states(bottleneck, 5 * DATA[:1], MASK[:1])
    codebook = np.float64(found[0]["codebook"])
    np.testing.assert_allclose(np.linalg.norm(codebook, axis=1), 1, rtol=1e-5)
    directions = DATA[0] / np.linalg.norm(DATA[0], axis=-1, keepdims=True)
    x = jnp.asarray(5 * DATA[0, 0])
    q = bottleneck.posterior({}, jax.tree.map(jnp.asarray, found[0]), x)
    np.testing.assert_array_equal(q.numbers, np.argmax(directions[0] @ codebook.T, axis=-1))
    old = codebook, np.ones(CODES), codebook
    means, counts, _ = reference.moving_average(old, directions[MASK[0]], DECAY)
    wanted = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(found[1]["codebook"], wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1]["counts"], counts, rtol=1e-5)


def test_factorised_codes_are_looked_up_in_fewer_dimensions():
    """z = up(e), e nearest to down(z_e); gradients through both matrices and past the code."""
    bottleneck = ae.bottlenecks.vector_quantized((2, 5), CODES, code_dim=2)
    params, state = bottleneck.init(jax.random.key(0))
    features, weights = RNG.normal(size=(2, 2, 5)).astype(np.float32)

    def weighted(params, features):
        q = bottleneck.posterior(params, state, features)
        return jnp.sum(weights * q.value), q

    run = fast.jit(jax.grad(weighted, argnums=(0, 1), has_aux=True))
    (to_params, to_features), q = run(params, features)
    down, up, codebook = map(np.float64, (params["down"], params["up"], state["codebook"]))
    numbers = reference.nearest(features @ down, codebook)
    np.testing.assert_array_equal(q.numbers, numbers)
    np.testing.assert_allclose(q.value, codebook[numbers] @ up, rtol=1e-5)
    back = weights @ up.T
    np.testing.assert_allclose(to_features, back @ down.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(to_params["down"], features.T @ back, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(to_params["up"], codebook[numbers].T @ weights, rtol=1e-4, atol=1e-5)


def test_the_rotation_trick_has_the_same_forward_pass_and_another_gradient():
    plain, turned = (made(rotation=rotation) for rotation in (False, True))
    state, x = state_of(plain), jnp.asarray(DATA[0])
    values = [b.posterior({}, state, x).value for b in (plain, turned)]
    np.testing.assert_allclose(values[1], values[0], rtol=0, atol=1e-6)
    pull = lambda b: jax.grad(lambda x: jnp.sum(jnp.sin(b.posterior({}, state, x).value)))(x)
    assert np.abs(pull(turned) - pull(plain)).max() > 0.1


def test_k_means_starts_the_codebook_in_the_clusters_of_the_first_batch():
    centres = 5 * RNG.normal(size=(CODES, D))
    x = centres[RNG.integers(CODES, size=(40, 2))] + 0.01 * RNG.normal(size=(40, 2, D))
    x = x.astype(np.float32)
    found = []
    for decay in (DECAY, None):
        bottleneck = ae.bottlenecks.vector_quantized((2, D), CODES, decay, kmeans=True)
        params, state = bottleneck.init(jax.random.key(0))
        start = fast.jit(bottleneck.start)
        params, state = start(params, state, x, jax.random.key(5))
        found.append((params if decay is None else state)["codebook"])
        if decay is not None:
            np.testing.assert_allclose(state["counts"].sum(), 80)
            sums = state["counts"][:, None] * state["codebook"]
            np.testing.assert_allclose(state["sums"], sums, rtol=1e-6)
    np.testing.assert_array_equal(*found)
    # Each vector is near a code, and Lloyd's steps have converged: codes are their vectors' means.
    rows = np.float64(x.reshape(-1, D))
    numbers = reference.nearest(rows, np.float64(found[0]))
    for j in np.unique(numbers):
        np.testing.assert_allclose(found[0][j], rows[numbers == j].mean(0), rtol=1e-4, atol=1e-4)
    assert made().start is None


K_MEANS = {"num_codes": 50, "kmeans": True}
FIFTY = {
    "vector_quantized": ae.bottlenecks.vector_quantized((2, D), **K_MEANS),
    "residual": ae.bottlenecks.residual_quantized((2, D), 3, **K_MEANS),
    "grouped": ae.bottlenecks.grouped((2, D), D, of={"name": "vector_quantized", **K_MEANS}),
}


@pytest.mark.parametrize("bottleneck", FIFTY.values(), ids=FIFTY)
def test_more_codes_than_the_first_batch_holds_are_refused(bottleneck):
    message = (
        r"num_codes=50 codes cannot be drawn from the 48 vectors of the first batch \(24 examples "
        r"of 2\): take num_codes=48 or fewer, a batch of 25 or more, or kmeans=False"
    )
    key = jax.random.key(0)
    params, state = bottleneck.init(key)
    with pytest.raises(ae.errors.ConfigError, match=message):
        bottleneck.start(params, state, jnp.zeros((24, 2, D)), key)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"code_dim": 0}, "code_dim must be a positive whole number, got 0"),
        ({"smoothing": -1e-5}, r"smoothing must lie in \[0, 1\), got -1e-05"),
        ({"latent_dim": 0}, "latent_dim must be a positive whole number"),
        ({"num_codes": 0}, "num_codes must be a positive whole number, got 0"),
        ({"num_codes": 2.5}, "num_codes must be a positive whole number, got 2.5"),
        ({"decay": 1.0}, r"decay must lie in \[0, 1\) or be None, got 1.0"),
        ({"decay": -0.5}, r"decay must lie in \[0, 1\) or be None, got -0.5"),
        ({"dead_below": 1.0}, r"dead_below must lie in \[0, 1\), got 1.0"),
        ({"dead_below": float("nan")}, r"dead_below must lie in \[0, 1\), got nan"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ae.errors.ConfigError, match=message):
        ae.bottlenecks.vector_quantized(**{"latent_dim": 3} | arguments)
