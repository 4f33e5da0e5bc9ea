"""Tables of mixed columns: which part sees which columns, and what messages name."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import _registry as registry
from ae_jax import config
from ae_jax.errors import ConfigError, DataError, ShapeError

GAUSSIAN = ae.likelihoods.gaussian("predicted")
GLOBAL = ae.likelihoods.laplace("global", scale=2.0)
TOKENS = ae.likelihoods.categorical(4)
TABLE = ae.likelihoods.mixed([(GAUSSIAN, 2), ("bernoulli", 1), (TOKENS, 2), (GLOBAL, 1)])
X = jnp.array([0.3, -1.0, 1.0, 3.0, 0.0, 2.5])
Y = jnp.linspace(-2.0, 2.0, 14)
PARAMS = {"group_3": {"shift": jnp.float32(0.1)}}


def apart(method, *more):
    """The parts' results on their own columns and outputs, sliced by hand."""
    return (
        getattr(GAUSSIAN, method)({}, Y[:4], *(m[:2] for m in more)),
        getattr(ae.likelihoods.bernoulli(), method)({}, Y[4:5], *(m[2:3] for m in more)),
        getattr(TOKENS, method)({}, Y[5:13].reshape(2, 4), *(m[3:5] for m in more)),
        getattr(GLOBAL, method)(PARAMS["group_3"], Y[13:], *(m[5:] for m in more)),
    )


def test_each_part_sees_its_own_columns_outputs_and_parameters():
    assert TABLE.parameter_shape((6,)) == (14,)
    mask = jnp.array([True, False, True, False, True, True])

    @jax.jit
    def both():
        methods = {"log_prob": (X, mask), "mean": (), "mode": ()}
        ours = {name: getattr(TABLE, name)(PARAMS, Y, *more) for name, more in methods.items()}
        return ours, {name: apart(name, *more) for name, more in methods.items()}

    together, expected = both()
    np.testing.assert_allclose(together["log_prob"], sum(expected["log_prob"]), rtol=1e-6)
    np.testing.assert_allclose(together["mean"], np.concatenate(expected["mean"]), rtol=1e-6)
    np.testing.assert_array_equal(together["mode"], np.concatenate(expected["mode"]))


def test_only_parts_that_learn_have_parameters():
    params = TABLE.init(jax.random.key(0))
    assert jax.tree.map(jnp.shape, params) == {"group_3": {"shift": ()}}


def test_groups_are_sampled_independently():
    twins = ae.likelihoods.mixed([("gaussian", 1), ("gaussian", 1)])
    keys = jax.random.split(jax.random.key(0), 2000)
    draws = np.asarray(jax.jit(jax.vmap(lambda key: twins.sample({}, jnp.zeros(2), key)))(keys))
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.1


def test_it_is_stored_with_its_parts():
    plain = config.to_plain(TABLE.node)
    assert plain["columns"][1:3] == [
        ["bernoulli", 1],
        [{"name": "categorical", "num_classes": 4}, 2],
    ]
    recipe = ae.recipes.vae(2, likelihood=TABLE)
    assert config.for_recipe(recipe)["model"]["likelihood"] == plain
    mine = ae.likelihoods.bernoulli()._replace(node=None)
    assert ae.likelihoods.mixed([(mine, 1)]).node is None
    assert registry.LIKELIHOODS.build(plain).node == TABLE.node


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0, 0, 0.5, 7, 0, 0], r"^column 3: the categorical .* got 7 at \(1, 3\)"),
        ([0, 0, 3.0, 1, 0, 0], r"^column 2: the bernoulli .* \[0, 1\], got 3 at \(1, 2\)"),
        ([0, 0, 0.5, 1, 1.5, 0], r"^column 4: the categorical .* got 1\.5 at \(1, 4\)"),
    ],
)
def test_a_value_outside_is_named_by_its_column(row, message):
    with pytest.raises(DataError, match=message) as error:
        TABLE.validate(np.array([[9, 9, 0, 3, 3, 9], row], np.float32))
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)
    nested = ae.likelihoods.mixed([("gaussian", 1), (TABLE, 6)])
    with pytest.raises(DataError, match=r"^column \d: the (categorical|bernoulli)") as shifted:
        nested.validate(np.array([[0, 9, 9, 0, 3, 3, 9], [0, *row]], np.float32))
    assert shifted.value.place[-1] == error.value.place[-1] + 1


def test_a_users_own_refusal_names_the_columns():
    def refuse(x):
        raise DataError(f"cannot take {x.shape}")

    own = ae.likelihoods.bernoulli()._replace(validate=refuse)
    with pytest.raises(DataError, match=r"^columns 1 to 3: cannot take \(5, 3\)"):
        ae.likelihoods.mixed([("bernoulli", 1), (own, 3)]).validate(np.zeros((5, 4)))


def test_other_event_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"events of shape \(6,\), got \(5,\)"):
        TABLE.parameter_shape((5,))
    with pytest.raises(DataError, match=r"6 columns, got data of shape \(3, 5\)"):
        TABLE.validate(np.zeros((3, 5)))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([], r"columns must be pairs of a likelihood and a number, got \[\]"),
        ("bernoulli", "columns must be pairs .*, got 'bernoulli'"),
        (["bernoulli"], "columns must be pairs .*, got 'bernoulli'"),
        ([("bernoulli", 0)], "columns must be a positive whole number, got 0"),
        ([("bernouli", 2)], "did you mean 'bernoulli'"),
    ],
)
def test_columns_are_checked(columns, message):
    with pytest.raises(ConfigError, match=message):
        ae.likelihoods.mixed(columns)
