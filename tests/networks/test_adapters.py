"""Linen and NNX modules as coders: the same function, dropout by key, named activations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

import ae_jax as ae
from tests import fast

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 2)).astype(np.float32)
KEY = jax.random.key(0)


class LinenNet(nn.Module):
    """Two dropouts, two sown layers, one of them inside a submodule."""

    rate: float = 0.0

    @nn.compact
    def __call__(self, x, deterministic: bool):
        h = nn.tanh(LinenInner()(x.ravel()))
        self.sow("intermediates", "hidden", h)
        first = nn.Dropout(self.rate, deterministic=deterministic)(jnp.ones(64))
        second = nn.Dropout(self.rate, deterministic=deterministic)(jnp.ones(64))
        return nn.Dense(4)(h), first, second


class LinenInner(nn.Module):
    @nn.compact
    def __call__(self, x):
        self.sow("intermediates", "input", x)
        return nn.Dense(5)(x)


class NnxInner(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(6, 5, rngs=rngs)

    def __call__(self, x):
        self.sow(nnx.Intermediate, "input", x)
        return self.dense(x)


class NnxNet(nnx.Module):
    """The same in NNX."""

    def __init__(self, rngs, rate=0.0):
        self.inner = NnxInner(rngs)
        self.out = nnx.Linear(5, 4, rngs=rngs)
        self.first = nnx.Dropout(rate, rngs=rngs)
        self.second = nnx.Dropout(rate, rngs=rngs)

    def __call__(self, x):
        h = nnx.tanh(self.inner(x.ravel()))
        self.sow(nnx.Intermediate, "hidden", h)
        return self.out(h), self.first(jnp.ones(64)), self.second(jnp.ones(64))


CODERS = {
    "linen": lambda rate=0.0: ae.from_linen(LinenNet(rate)),
    "nnx": lambda rate=0.0: ae.from_nnx(lambda rngs: NnxNet(rngs, rate)),
}
BOTH = pytest.mark.parametrize("flavour", sorted(CODERS))


@pytest.fixture(scope="module")
def dropouts():
    """By flavour: `(key, train) -> (output, mask of the first dropout, of the second)`."""

    def of(coder):
        params, state = fast.jit(coder.init)(KEY, X)
        run = lambda key, train: coder.apply(params, state, X, key=key, train=train)[0]
        return jax.jit(run, static_argnames="train")

    return {flavour: of(make(0.5)) for flavour, make in CODERS.items()}


def test_a_linen_coder_is_the_module():
    module, coder = LinenNet(), ae.from_linen(LinenNet())
    params, state = fast.jit(coder.init)(KEY, X)
    assert jax.tree.leaves(state) == []
    expected = module.apply({"params": params}, X, deterministic=True)
    y, _, after = coder.apply(params, state, X)
    for one, other in zip(y, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert jax.tree.leaves(after) == []
    different, _ = fast.jit(coder.init)(jax.random.key(1), X)
    kernel = lambda tree: tree["Dense_0"]["kernel"]
    assert not np.allclose(kernel(params), kernel(different))


def test_an_nnx_coder_is_the_module():
    coder = ae.from_nnx(NnxNet)
    params, state = fast.jit(coder.init)(KEY, X)
    assert jax.tree.leaves(state) == []
    assert set(params) == {
        "inner/dense/kernel",
        "inner/dense/bias",
        "out/kernel",
        "out/bias",
    }
    module = NnxNet(nnx.Rngs(1))
    module.inner.dense.kernel[...] = params["inner/dense/kernel"]
    module.out.kernel[...] = params["out/kernel"]
    (expected, _, _), _ = nnx.capture(module, nnx.Intermediate)(X)
    np.testing.assert_allclose(coder.apply(params, state, X)[0][0], expected, rtol=1e-6)
    different, _ = fast.jit(coder.init)(jax.random.key(1), X)
    assert not np.allclose(params["out/kernel"], different["out/kernel"])


@BOTH
def test_sown_values_are_named_by_their_path(flavour):
    coder = CODERS[flavour]()
    params, state = fast.jit(coder.init)(KEY, X)
    _, activations, _ = coder.apply(params, state, X)
    inner = {"linen": "LinenInner_0", "nnx": "inner"}[flavour]
    assert set(activations) == {"hidden", f"{inner}/input"}
    np.testing.assert_array_equal(activations[f"{inner}/input"], X.ravel())
    assert activations["hidden"].shape == (5,)


@BOTH
def test_dropout_follows_its_key(dropouts, flavour):
    run = dropouts[flavour]
    _, first, second = run(jax.random.key(1), train=True)
    again, other = run(jax.random.key(1), train=True), run(jax.random.key(2), train=True)
    np.testing.assert_array_equal(first, again[1])
    np.testing.assert_array_equal(second, again[2])
    for mask, before in ((other[1], first), (other[2], second), (second, first)):
        assert 12 < np.sum(mask != before) < 52  # 32 of 64 are expected, with a spread of 4
    assert set(np.unique(first)) == {0.0, 2.0}


@BOTH
def test_dropout_is_off_outside_training(dropouts, flavour):
    for key in (None, jax.random.key(1)):
        _, first, second = dropouts[flavour](key, train=False)
        np.testing.assert_array_equal(first, 1)
        np.testing.assert_array_equal(second, 1)


@BOTH
def test_each_example_of_a_batch_has_a_mask_of_its_own(dropouts, flavour):
    keys = jax.random.split(KEY, 5)
    masks = jax.vmap(lambda key: dropouts[flavour](key, train=True)[1])(keys)
    assert len(np.unique(masks, axis=0)) == 5


SEEN = {}


class LinenTakes(nn.Module):
    """Records which of the offered arguments it was given."""

    @nn.compact
    def __call__(self, x, train, observed, extras=None):
        SEEN["linen"] = {"train": train, "observed": observed, "extras": extras}
        return nn.Dense(1)(x)


class LinenTakesAll(nn.Module):
    @nn.compact
    def __call__(self, x, **kwargs):
        SEEN["linen"] = kwargs
        return nn.Dense(1)(x)


class NnxTakes(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(2, 1, rngs=rngs)

    def __call__(self, x, train, observed, extras=None):
        SEEN["nnx"] = {"train": train, "observed": observed, "extras": extras}
        return self.dense(x)


class NnxTakesAll(NnxTakes):
    def __call__(self, x, **kwargs):
        SEEN["nnx"] = kwargs
        return self.dense(x)


@pytest.mark.parametrize(
    ("flavour", "coder"),
    [("linen", ae.from_linen(LinenTakes())), ("nnx", ae.from_nnx(NnxTakes))],
)
def test_a_module_gets_the_arguments_it_names_and_no_other(flavour, coder):
    observed, extras = X > 0, {"label": 3}
    params, state = fast.jit(coder.init)(KEY, X)
    options = {"observed": observed, "extras": extras, "info": {"mask": observed}}
    coder.apply(params, state, X, train=True, **options)
    assert SEEN[flavour] == {"train": True, "observed": observed, "extras": extras}
    coder.apply(params, state, X)
    assert SEEN[flavour] == {"train": False, "observed": None, "extras": None}


@pytest.mark.parametrize(
    ("flavour", "coder"),
    [("linen", ae.from_linen(LinenTakesAll())), ("nnx", ae.from_nnx(NnxTakesAll))],
)
def test_a_module_with_open_keywords_gets_all(flavour, coder):
    params, state = fast.jit(coder.init)(KEY, X)
    coder.apply(params, state, X, train=True, info={"mask": 1}, target=2, active=3, draw=4)
    assert SEEN[flavour] == {
        "train": True,
        "deterministic": False,
        "observed": None,
        "extras": None,
        "info": {"mask": 1},
        "target": 2,
        "active": 3,
        "draw": 4,
    }


def test_what_is_not_a_module_is_refused_with_the_fix():
    match = r"takes a class or a function of rngs, so that .*; got NnxInner"
    with pytest.raises(ae.errors.PartError, match=match):
        ae.from_nnx(NnxInner(nnx.Rngs(0)))
    with pytest.raises(ae.errors.PartError, match=r"must return an nnx\.Module, got 3"):
        ae.from_nnx(lambda rngs: 3)
    with pytest.raises(ae.errors.PartError, match=r"got <class .*LinenNet.*; call"):
        ae.from_linen(LinenNet)
    with pytest.raises(ae.errors.PartError, match=r"takes a flax\.linen\.Module instance, got 3"):
        ae.from_linen(3)


def test_an_nnx_module_may_draw_from_the_default_stream():
    class Drawn(nnx.Module):
        def __init__(self, rngs):
            self.shift = nnx.Param(jax.random.normal(rngs(), (2,)))
            self.other = nnx.Param(jax.random.normal(rngs.params(), (2,)))

        def __call__(self, x):
            return x + self.shift

    params, _ = ae.from_nnx(Drawn).init(KEY, X)
    assert not np.allclose(params["shift"], params["other"])
