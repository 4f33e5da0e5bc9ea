"""Decoders that read their own past, or the target's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.networks import _sequence
from tests import fast
from tests.networks import checks
from tests.networks.test_sequence import (
    CHANNELS,
    KINDS,
    LENGTH,
    SMALL,
    VOCABULARY,
    decoder,
    sequence,
)


def autoregressive(name, kind, **options):
    """`(apply(z, target=None, train=False, key=None), z)` of a decoder that reads its past."""
    size, per_entry = (VOCABULARY, 1) if kind == "tokens" else (2 * CHANNELS, 2)
    options = {"autoregressive": True, "per_entry": per_entry, "feedback": "tanh"} | options
    z = jnp.asarray(np.random.default_rng(7).normal(size=3), jnp.float32)
    network = decoder(name, kind, **options)
    coder, params, state = checks.initialised(network, z, (LENGTH, size), seed=1)
    return lambda z, target=None, **rest: coder.apply(params, state, z, target=target, **rest)[0], z


def compiled(apply):
    return jax.jit(apply, static_argnames="train", compiler_options=fast.options())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SMALL)
def test_an_autoregressive_decoder_sees_the_past_alone(name, kind):
    apply, z = autoregressive(name, kind)
    run = compiled(apply)
    target, other = sequence(kind), sequence(kind, 3)
    y = run(z, target)
    for place in range(LENGTH):
        changed = target.copy()
        changed[place] = other[place] if kind == "series" else (target[place] + 1) % VOCABULARY
        moved = np.abs(run(z, changed) - y).max(-1) > 1e-6
        assert not moved[: place + 1].any()
        assert moved[place + 1 : place + 2].all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SMALL)
def test_told_its_own_guesses_a_decoder_repeats_itself(name, kind):
    apply, z = autoregressive(name, kind)
    run = compiled(apply)
    y, rows = fast.jit(lambda z: (apply(z), jax.vmap(apply)(jnp.stack([z, -z]))))(z)
    guesses = np.argmax(y, -1) if kind == "tokens" else np.tanh(y[:, :CHANNELS])
    np.testing.assert_allclose(run(z, guesses), y, atol=2e-5)
    assert np.abs(run(z, sequence(kind, 5)) - y).max() > 1e-3
    np.testing.assert_allclose(rows[0], y, atol=2e-5)


@pytest.mark.parametrize("name", SMALL)
def test_word_dropout_hides_the_target_in_training(name):
    apply, z = autoregressive(name, "tokens", word_dropout=0.9999)
    run = compiled(apply)
    target, key = sequence("tokens"), jax.random.key(0)
    other = (target + 1) % VOCABULARY
    hidden = run(z, target, train=True, key=key)
    np.testing.assert_array_equal(run(z, other, train=True, key=key), hidden)
    unknown = np.full_like(target, VOCABULARY)
    np.testing.assert_allclose(hidden, run(z, unknown), atol=1e-6)
    assert np.abs(run(z, other) - run(z, target)).max() > 1e-3


def test_word_dropout_hides_whole_positions_at_its_rate():
    observed = jnp.ones((4000, 3), bool).at[:, 1].set(False)
    kept = np.asarray(_sequence.dropped(jax.random.key(0), observed, 0.3))
    assert not kept[:, 1].any()
    assert (kept[:, 0] == kept[:, 2]).all()
    assert abs(kept[:, 0].mean() - 0.7) < 5 * np.sqrt(0.3 * 0.7 / 4000)
