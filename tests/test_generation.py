"""Ancestral sampling: exact against enumeration, whatever network and likelihood; ends of lines."""

import itertools
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from scipy import stats

import ae_jax as ae
from ae_jax import generation
from ae_jax.runs import gallery
from ae_jax.types import ENTRIES, Told
from tests import fast

DRAWS, LENGTH = 20_000, 3
SMALL = {
    "gru": lambda **options: ae.networks.gru_decoder(width=6, **options),
    "transformer": lambda **options: ae.networks.transformer_decoder(
        width=6, depth=1, heads=1, **options
    ),
}
LIKELIHOODS = {
    "gaussian": ("gru", ae.likelihoods.gaussian(variance="predicted"), 2),
    "poisson": ("transformer", ae.likelihoods.poisson(view="identity"), 1),
}


def model_of(decoder, likelihood, shape):
    parts = ae.bottlenecks.gaussian(2), likelihood
    return ae.autoencoder(ae.networks.linear(), decoder, *parts, event_shape=shape)


def strong(model, example):
    """Variables by which positions hang on each other."""
    variables = fast.jit(model.init)(jax.random.key(0), example)
    rng = np.random.default_rng(0)
    louder = lambda leaf: np.float32(np.asarray(leaf) + 0.7 * rng.normal(size=leaf.shape))
    return variables._replace(params=jax.tree.map(louder, variables.params))


class Pixels(nn.Module):
    """A user's decoder of 2 x 2 pixels that reads those before, in raster order or its reverse."""

    backwards: bool = False

    @nn.compact
    def __call__(self, z, target=None):
        own = nn.Dense(4)(z.ravel())
        weights = self.param("weights", nn.initializers.normal(2.0), (4, 4))
        seen = jnp.zeros(4) if target is None else target.ravel()
        causal = jnp.triu(weights, 1) if self.backwards else jnp.tril(weights, -1)
        return (own + causal @ (2 * seen - 1)).reshape(2, 2)


def tokens_of(name):
    likelihood = ae.likelihoods.categorical(num_classes=2)
    return model_of(SMALL[name](vocabulary=2, autoregressive=True), likelihood, (LENGTH,))


def pixels(backwards):
    decoder = ae.from_linen(Pixels(backwards))
    return model_of(decoder, ae.likelihoods.bernoulli(), (2, 2))


EXACT = {
    "gru": (tokens_of, "gru", (LENGTH,)),
    "transformer": (tokens_of, "transformer", (LENGTH,)),
    "a user's, rastered": (pixels, False, (2, 2)),
    "a user's, backwards": (pixels, True, (2, 2)),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "transformer")) for n in EXACT]
)
def test_every_sequence_is_drawn_as_often_as_it_is_probable(name):
    """All sequences enumerated: p(x | z) from the teacher-forced pass against 20,000 draws."""
    build, argument, shape = EXACT[name]
    model, z = build(argument), jnp.array([0.5, -1.0])
    all_x = np.array(list(itertools.product([0.0, 1.0], repeat=int(np.prod(shape)))), np.float32)
    all_x = all_x.reshape(-1, *shape)
    variables = strong(model, all_x[0])

    @jax.jit
    def both(keys, all_x):
        def log_prob(x):
            y, _, _ = model.decode_one(variables, z, Told(target=x))
            return model.likelihood.log_prob({}, y, x, None)

        draw = lambda key: generation.observation(model, variables, z, key, shape)
        return jax.vmap(draw)(keys), jax.vmap(log_prob)(all_x)

    drawn, log_p = both(jax.random.split(jax.random.key(1), DRAWS), all_x)
    p = np.exp(np.asarray(log_p, np.float64))
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-5)
    assert drawn.dtype == jnp.float32
    same = (np.asarray(drawn)[:, None] == all_x).reshape(DRAWS, len(all_x), -1).all(-1)
    assert (same.sum(1) == 1).all()
    assert stats.chisquare(same.sum(0), p / p.sum() * DRAWS).pvalue > 1e-4
    alone = same.mean(0) @ all_x.reshape(len(all_x), -1)  # position by position, on their own
    independent = np.prod(np.where(all_x.reshape(len(all_x), -1) == 1, alone, 1 - alone), axis=1)
    assert np.abs(independent - p).sum() > 0.05


@pytest.mark.parametrize("name", ["gaussian", pytest.param("poisson", marks=pytest.mark.slow)])
def test_each_entry_is_drawn_given_those_that_were_drawn(name):
    """Told the whole draw, the decoder gives the parameters that the same noise makes it of."""
    network, likelihood, per_entry = LIKELIHOODS[name]
    shape = (LENGTH, 2)
    decoder = SMALL[network](autoregressive=True, per_entry=per_entry, feedback="tanh")
    model, z, key = model_of(decoder, likelihood, shape), jnp.array([0.5, -1.0]), jax.random.key(3)
    variables = strong(model, np.zeros(shape, np.float32))
    params = variables.params.get("likelihood", {})

    @fast.jit
    def both(z):
        x = generation.observation(model, variables, z, key, shape)
        y = model.decode_one(variables, z, Told(target=x))[0]
        again = [
            likelihood.sample(params, y[t : t + 1], jax.random.fold_in(key, t))[0]
            for t in range(LENGTH)
        ]
        return x, jnp.stack(again), model.decode(variables, z[None])[0]

    x, again, greedy = both(z)
    np.testing.assert_allclose(x, again, rtol=1e-4, atol=1e-5)
    assert np.abs(x - greedy).max() > 1e-2


def test_a_decoder_that_reads_nothing_draws_all_positions_at_once():
    likelihood = ae.likelihoods.categorical(num_classes=2)
    model = model_of(SMALL["gru"](vocabulary=2), likelihood, (LENGTH,))
    variables, key = strong(model, np.zeros(LENGTH, np.float32)), jax.random.key(2)
    assert not generation.is_autoregressive(model, variables, (LENGTH,), {})

    @fast.jit
    def both(z):
        y = model.decode_parameters(variables, z[None])[0]
        drawn = generation.observation(model, variables, z, key, (LENGTH,))
        return drawn, likelihood.sample({}, y, key)

    np.testing.assert_array_equal(*both(jnp.ones(2)))


def test_counts_are_drawn_through_what_the_network_sees_of_them():
    """Of counts a decoder reads logarithms; drawn raw, they would be fed back as they are."""
    likelihood, shape = ae.likelihoods.poisson(), (LENGTH, 1)
    model, z = model_of(SMALL["gru"](autoregressive=True), likelihood, shape), jnp.ones(2)
    variables, key = strong(model, np.zeros(shape, np.float32)), jax.random.key(3)

    @fast.jit
    def both(z):
        x = generation.observation(model, variables, z, key, shape)
        y = model.decode_one(variables, z, Told(target=x))[0]
        return x, likelihood.sample({}, y, key)

    np.testing.assert_array_equal(*both(z))


def test_a_decoder_in_half_precision_draws_its_own_past_too():
    model = tokens_of("gru")
    spec = ae.Spec((LENGTH,), "tokens", 2)
    variables = strong(model, np.zeros(LENGTH, np.float32))
    half = ae.precision.with_compute_dtype(model, "bfloat16", spec)
    assert generation.is_autoregressive(half, variables, (LENGTH,), {})
    draw = lambda y, position: jnp.int32(position) % 2
    told = fast.jit(lambda z: half.decode_one(variables, z, draw=draw)[1])(jnp.ones(2))
    np.testing.assert_array_equal(told[ENTRIES], [0, 1, 0])


def test_a_likelihood_that_cannot_draw_one_position_is_refused():
    whole = lambda params, y, key: jnp.zeros((LENGTH, 2))
    likelihood = ae.likelihoods.gaussian()._replace(sample=whole)
    model = model_of(SMALL["gru"](autoregressive=True), likelihood, (LENGTH, 2))
    variables = strong(model, np.zeros((LENGTH, 2), np.float32))
    drawn = lambda z: generation.observation(model, variables, z, jax.random.key(0), (LENGTH, 2))
    with pytest.raises(ae.errors.ShapeError, match=r"must give \(1, 2\) .* got \(3, 2\)"):
        jax.eval_shape(drawn, jnp.ones(2))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A VAE of lines of text that draws a's and ends of lines, not trained."""
    path = tmp_path_factory.mktemp("lines") / "a.txt"
    path.write_text("ab\nlong line\n" * 40)
    lines = ae.data.text(path, length=6, lines=True)
    encoder = ae.networks.gru(vocabulary=256, width=4)
    decoder = ae.networks.gru_decoder(vocabulary=256, width=4, autoregressive=True)
    spec = ae.spec_of(lines)
    model, objective = ae.recipes.vae(2, encoder=encoder, decoder=decoder).build(spec)
    variables = jax.tree.map(np.asarray, fast.jit(model.init)(jax.random.key(0), np.zeros(6)))
    bias = np.full(256, -9.0, np.float32)
    bias[[ord("a"), ord("\n")]] = 2.0
    variables.params["decoder"]["step"]["output"]["bias"] = bias
    parts = ae.config.complete({"objective": None}), ae.data.preprocessing.none(), spec, (6,)
    return ae.Run(model, objective, variables, *parts, len(lines.train), (0.0, 255.0))


def test_samples_of_lines_end_and_padding_stands_behind(run):
    assert run.spec.terminator == ord("\n")
    drawn = run.sample(64, observations=True)
    lengths = set()
    for row in drawn:
        ends = np.flatnonzero(row == ord("\n"))
        end = ends[0] if len(ends) else len(row)
        assert (row[:end] > 0).all()
        assert (row[end + 1 :] == 0).all()
        assert len(gallery.readable(row, run.spec.terminator)) == end
        lengths.add(int(end))
    assert lengths >= {0, 1, 2}
    again = run.reconstruct(drawn[:4])
    assert ((again == ord("\n")).sum(1) <= 1).all()


@pytest.mark.parametrize("devices", [8])
def test_draws_are_the_same_on_any_number_of_devices(run, devices):
    one, config = run.sample(21, seed=3, observations=True), run.config
    other = ae.Run(
        run.model, None, run.variables,
        ae.config.replaced(config, {"parallel.devices": devices}),
        run.preprocessing, run.spec, run.data_shape, run.num_train, run.display_range,
    )  # fmt: skip
    np.testing.assert_array_equal(other.sample(40, seed=3, observations=True)[:21], one)


def test_figures_say_what_an_autoregressive_decoder_read(run, tmp_path, monkeypatch):
    titles = {}
    keep = lambda path, lines, title: titles.update({path.name: title})
    monkeypatch.setattr("ae_jax.figures.text_figure", keep)
    source = ae.data.from_arrays(np.full((4, 6), 97, np.uint8), test_fraction=0).train
    gallery.draw(run, epath.Path(tmp_path), source, 4, [])
    assert titles == {
        "reconstructions.png": f"reconstructions, {gallery.GREEDY}",
        "samples.png": f"samples, {gallery.DRAWN}",
    }
    assert "\n\n" in (tmp_path / "samples.txt").read_text()


def test_lines_of_figures_end(tmp_path):
    spec = ae.Spec((6,), "tokens", 256, terminator=10)
    shown = types.SimpleNamespace(spec=spec, display_range=(0, 255))
    rows = np.array([[97, 98, 10, 0, 0, 0], [97] * 6], np.float32)
    gallery.show(shown, epath.Path(tmp_path), "samples", {"sample": rows})
    assert (tmp_path / "samples.txt").read_text() == "sample  ab\n\nsample  aaaaaa\n"


def test_a_spec_written_before_there_were_terminators_has_none():
    stored = ae.types.spec_to_dict(ae.Spec((3,), "tokens", 4))
    del stored["terminator"]
    assert ae.types.spec_from_dict(stored) == ae.Spec((3,), "tokens", 4)


PAIRS = np.repeat(np.random.default_rng(0).integers(0, 16, (2000, 6)), 2, axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["gru", "transformer"])
def test_pairs_that_are_alike_in_all_data_are_alike_in_samples(network):
    """NeuralDialog-CVAE #9: drawn one by one they were alike in 13%, and of log p -64."""
    data = ae.data.from_arrays(PAIRS)._replace(kind="tokens", num_classes=16)
    options = {"vocabulary": 16, "width": 32, "autoregressive": True}
    decoder = getattr(ae.networks, f"{network}_decoder")(**options)
    recipe = ae.recipes.vae(2, encoder=ae.networks.gru(vocabulary=16, width=32), decoder=decoder)
    adam = {"name": "adam", "learning_rate": 5e-3}
    run = ae.fit(recipe, data, steps=800, batch_size=64, progress=False, optimizer=adam)
    drawn = run.sample(500, observations=True)
    assert (drawn[:, ::2] == drawn[:, 1::2]).mean() >= 0.98
    log_p = [run.log_likelihood(x, samples=16).mean() for x in (PAIRS[:300], drawn[:300])]
    assert abs(log_p[0] - log_p[1]) < 0.5
