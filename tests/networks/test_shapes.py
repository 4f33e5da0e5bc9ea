"""Any event shape that a network claims trains a step and comes back; all others are refused."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ae_jax as ae
from ae_jax._registry import NETWORKS
from ae_jax.training import init_state, make_step, single_player
from tests import fast

BATCH, VOCABULARY = 3, 5
ATTENTION = {"width": 8, "depth": 1, "heads": 2}
TOKENS = {"vocabulary": VOCABULARY}
COLUMNS = (0, 3, 0)


class Pair(NamedTuple):
    """An encoder, a decoder, and the events that both claim.

    Attributes:
      encoder: its config node.
      decoder: likewise.
      ranks: of the events.
      tokens: whether these are class indices.
      shape: the only event that there is for it; None: any of those ranks.
    """

    encoder: dict[str, Any]
    decoder: dict[str, Any]
    ranks: tuple[int, ...] = (1, 2, 3, 4)
    tokens: bool = False
    shape: tuple[int, ...] | None = None

    def recipe(self, corruption=None):
        """A deterministic autoencoder of a code of 2 numbers."""
        likelihood = ae.likelihoods.gaussian()
        if self.tokens:
            likelihood = ae.likelihoods.categorical(num_classes=VOCABULARY)
        parts = {"encoder": self.encoder, "decoder": self.decoder, "likelihood": likelihood}
        return ae.recipes.autoencoder(2, corruption=corruption, **parts)


PAIRS = {
    "mlp": Pair({"name": "mlp", "hidden": (4,)}, {"name": "mlp", "hidden": (4,)}),
    "linear": Pair({"name": "linear"}, {"name": "linear"}),
    "vit": Pair(
        {"name": "vit", "patch": 2, "pool": "mean", **ATTENTION},
        {"name": "vit_decoder", "patch": 2, **ATTENTION},
    ),
    "conv": Pair(
        {"name": "conv", "features": (2, 3)}, {"name": "deconv", "features": (3, 2)}, ranks=(2, 3)
    ),
    "resnet": Pair(
        {"name": "resnet", "features": (4,), "depth": 1},
        {"name": "resnet_decoder", "features": (4,), "depth": 1},
        ranks=(2, 3),
    ),
    "tapped_mlp": Pair(
        {"name": "tapped_mlp", "taps": (1, 1), "width": 4, "depth": 1},
        {"name": "mlp", "hidden": (4,)},
    ),
    "tapped_conv": Pair(
        {"name": "tapped_conv", "taps": ((2, 1, 1),), "width": 4},
        {"name": "mlp", "hidden": (4,)},
        ranks=(2, 3),
        shape=(4, 2, 3),
    ),
    "gru": Pair({"name": "gru", "width": 4}, {"name": "gru_decoder", "width": 4}, ranks=(2,)),
    "transformer": Pair(
        {"name": "transformer", **ATTENTION},
        {"name": "transformer_decoder", **ATTENTION},
        ranks=(2,),
    ),
    "gru of tokens": Pair(
        {"name": "gru", "width": 4, **TOKENS},
        {"name": "gru_decoder", "width": 4, "autoregressive": True, **TOKENS},
        ranks=(1,),
        tokens=True,
    ),
    "transformer of tokens": Pair(
        {"name": "transformer", **ATTENTION, **TOKENS},
        {"name": "transformer_decoder", **ATTENTION, **TOKENS},
        ranks=(1,),
        tokens=True,
    ),
    "tabular": Pair(
        {"name": "tabular", "columns": COLUMNS, "hidden": (4,)},
        {"name": "mlp", "hidden": (4,)},
        ranks=(1,),
        shape=(len(COLUMNS),),
    ),
}
NAMED = {  # by the issue: the smallest, odd images, a series
    "mlp": [(1,), (37, 53, 3)],
    "vit": [(1,), (37, 53, 3)],
    "conv": [(1, 1), (37, 53, 3)],
    "resnet": [(37, 53, 3)],
    "gru": [(1, 1), (11, 3)],
    "transformer": [(11, 3)],
    "gru of tokens": [(1,), (13,)],
    "transformer of tokens": [(13,)],
    "tabular": [(3,)],
    "tapped_mlp": [(37, 53, 3)],
    "tapped_conv": [(4, 2, 3)],
}


def drawn(name, seed, longest=19):
    """A random shape among those that a pair claims."""
    pair, rng = PAIRS[name], np.random.default_rng(seed)
    if pair.shape is not None:
        return pair.shape
    rank = int(rng.choice(pair.ranks))
    return tuple(int(n) for n in rng.integers(1, longest if rank < 4 else 6, rank))


def batch_of(pair, shape):
    """Random examples; tokens are ragged, and nothing of their padding is observed."""
    rng = np.random.default_rng(math.prod(shape))
    if not pair.tokens:
        return ae.Batch(jnp.asarray(rng.normal(size=(BATCH, *shape)), jnp.float32))
    x = jnp.asarray(rng.integers(0, VOCABULARY, (BATCH, *shape)), jnp.float32)
    length = jnp.asarray(rng.integers(1, shape[0] + 1, BATCH), jnp.int32)
    return ae.Batch(x, jnp.arange(shape[0]) < length[:, None], extras={"length": length})


def trained(pair, shape, batch):
    """A function of a batch: the state after one step, its metrics, and what comes back."""
    kind = "tokens" if pair.tokens else "real"
    spec = ae.Spec(shape, kind, VOCABULARY if pair.tokens else None)
    model, objective = pair.recipe().build(spec)
    extras = jax.tree.map(lambda leaf: leaf[0], dict(batch.extras))
    variables = jax.eval_shape(model.init, jax.random.key(0), batch.x[0], extras)
    players = single_player(objective, optax.sgd(1e-2), variables)
    step = make_step(model, players, num_train=10)

    def run(batch):
        state = init_state(model, players, batch.x[0], seed=0, extras=extras)
        after, metrics = step(state, batch)
        z = model.encode(after.variables, batch.x, observed=batch.observed, extras=batch.extras)
        return state, after, metrics, model.decode(after.variables, z, batch.extras)

    return run


def check_form(name, shape):
    """One step and the way there and back, without compiling."""
    batch = batch_of(PAIRS[name], shape)
    before, after, _, again = jax.eval_shape(trained(PAIRS[name], shape, batch), batch)
    assert again.shape == batch.x.shape
    assert jax.tree.map(jnp.shape, before) == jax.tree.map(jnp.shape, after)


def test_every_network_is_in_the_table():
    nodes = [node for pair in PAIRS.values() for node in (pair.encoder, pair.decoder)]
    ours = {name for name, f in NETWORKS.factories.items() if f.__module__.startswith("ae_jax.")}
    assert ours - {"none", "spectral"} == {node["name"] for node in nodes}  # which is no network


QUICK = ("mlp", "conv", "gru of tokens")


@pytest.mark.parametrize("name", QUICK)
def test_a_random_shape_trains_and_comes_back(name):
    check_form(name, drawn(name, seed=len(name)))


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_any_shape_trains_and_comes_back(name):
    @given(st.integers(0, 2**20))
    @settings(max_examples=20, deadline=None, derandomize=True, database=None)
    def check(seed):
        check_form(name, drawn(name, seed, longest=70))

    check()


def run_step(name, shape):
    """One compiled step: parameters move, all is finite, and the input's shape comes back."""
    batch = batch_of(PAIRS[name], shape)
    before, after, metrics, again = fast.jit(trained(PAIRS[name], shape, batch))(batch)
    assert again.shape == batch.x.shape
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((metrics, again)))
    assert metrics["skipped"] == 0
    moved = optax.tree.sub(after.variables.params, before.variables.params)
    assert 0 < optax.tree.norm(moved) < np.inf


def test_one_number_trains_a_step():
    run_step("mlp", (1,))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape"), [(name, shape) for name, shapes in NAMED.items() for shape in shapes]
)
def test_the_named_shapes_train_a_step(name, shape):
    run_step(name, shape)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gru of tokens", "transformer of tokens"])
def test_the_padding_of_ragged_tokens_does_not_matter(name):
    pair, shape = PAIRS[name], (9,)
    batch = batch_of(pair, shape)
    assert not batch.observed.all()
    run = fast.jit(trained(pair, shape, batch))
    padded = batch._replace(x=jnp.where(batch.observed, batch.x, VOCABULARY - 1 - batch.x))
    (_, one, metrics, _), (_, other, same, _) = run(batch), run(padded)
    assert metrics["loss"] == same["loss"]
    params, others = one.variables.params, other.variables.params
    jax.tree.map(np.testing.assert_array_equal, params, others)
    changed = batch._replace(x=jnp.where(batch.observed, VOCABULARY - 1 - batch.x, batch.x))
    assert run(changed)[2]["loss"] != metrics["loss"]


def initialised(pair, shape):
    """The forms of the variables of a pair for an event."""
    model, _ = pair.recipe().build(ae.Spec(shape, "real"))
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(shape))


@pytest.mark.parametrize("name", PAIRS)
def test_other_shapes_are_refused(name):
    pair = PAIRS[name]
    for shape in ((4,), (4, 6), (5, 6, 2), (2, 3, 4, 2)):
        if len(shape) in pair.ranks and pair.shape in (None, shape):
            continue
        with pytest.raises(ae.errors.ShapeError, match=r"shape .*\d"):
            initialised(pair, shape)
