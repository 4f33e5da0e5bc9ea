"""What holds of every sampler: normalised, consistent, pure, by label where asked."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import ae_jax as ae
from ae_jax.samplers.sampler import drawn, scored
from tests.samplers import toys

ALL = [*toys.EXACT, *(pytest.param(name, marks=pytest.mark.slow) for name in toys.SLOW)]
ALL_SLOW = ["flow", *toys.SLOW]
NOT_MIXTURES = ["kernel_density", *ALL_SLOW]
SPREAD = {"second_stage_vae": 2.0}  # 600 steps leave its one variance too wide for one cluster
NUM = 2000
X, Y = np.linspace(-4, 8, 97), np.linspace(-3.5, 4.5, 81)


def density_on_grid(sampler, state, label):
    """p(x, y), `[97, 81]`, and the area of a cell."""
    points = np.stack(np.meshgrid(X, Y, indexing="ij"), axis=-1).reshape(-1, 2)
    points = points.astype(np.float32)
    logs = scored(sampler, state, points, np.full(len(points), label))
    cell = (X[1] - X[0]) * (Y[1] - Y[0])
    return np.exp(np.asarray(logs, np.float64)).reshape(97, 81), cell


@pytest.mark.parametrize(
    ("name", "by_label"),
    [
        ("gaussian_mixture", False),
        ("kernel_density", True),
        ("flow", True),
        pytest.param("gaussian_mixture", True, marks=pytest.mark.slow),
        pytest.param("kernel_density", False, marks=pytest.mark.slow),
        pytest.param("flow", False, marks=pytest.mark.slow),
        pytest.param("flow_matching", True, marks=pytest.mark.slow),
    ],
)
def test_densities_integrate_to_one_and_samples_follow_them(name, by_label):
    sampler, state = (toys.SAMPLERS | toys.SLOW)[name], toys.fitted(name, by_label)
    label = int(by_label)
    density, cell = density_on_grid(sampler, state, label)
    assert density.sum() * cell == pytest.approx(1, abs=0.01)
    codes = np.asarray(
        drawn(sampler, state, jax.random.key(3), np.arange(NUM), np.full(NUM, label))
    )
    for axis, grid in enumerate((X, Y)):
        marginal = density.sum(axis=1 - axis)
        steps = np.cumsum(marginal) - marginal / 2
        cdf = functools.partial(np.interp, xp=grid, fp=steps / marginal.sum())
        assert scipy.stats.kstest(codes[:, axis], cdf).pvalue > 1e-3
    corner = codes < codes.mean(axis=0)
    want = density[np.ix_(*(grid < m for grid, m in zip((X, Y), codes.mean(axis=0), strict=True)))]
    assert corner.all(axis=1).mean() == pytest.approx(want.sum() * cell, abs=0.05)


@pytest.mark.parametrize("name", ALL)
def test_a_label_chooses_its_cluster(name):
    sampler = (toys.SAMPLERS | toys.SLOW)[name]
    state, (codes, labels) = toys.fitted(name, True), toys.clusters()
    new = np.asarray(drawn(sampler, state, jax.random.key(0), np.arange(NUM), np.arange(NUM) % 2))
    for label in (0, 1):
        own, seen = new[label::2], codes[labels == label]
        np.testing.assert_allclose(own.mean(axis=0), seen.mean(axis=0), atol=0.15)
        np.testing.assert_allclose(own.std(axis=0), seen.std(axis=0), rtol=SPREAD.get(name, 0.3))
    right, wrong = (scored(sampler, state, codes, given) for given in (labels, 1 - labels))
    assert np.mean(np.asarray(right) > np.asarray(wrong)) > 0.97


@pytest.mark.parametrize(
    "name",
    ["gaussian_mixture", *(pytest.param(n, marks=pytest.mark.slow) for n in NOT_MIXTURES)],
)
def test_few_samples_are_the_first_of_many_and_jit_and_vmap_change_nothing(name):
    sampler, state = (toys.SAMPLERS | toys.SLOW)[name], toys.fitted(name, True)
    key, labels = jax.random.key(5), np.arange(5) % 2
    many = np.asarray(drawn(sampler, state, key, np.arange(5), labels))
    few = sampler.sample(state, key, 3, labels[:3])
    np.testing.assert_allclose(few, many[:3], rtol=1e-4, atol=1e-5)
    assert few.shape == (3, 2)
    assert len(np.unique(many, axis=0)) == 5
    found = scored(sampler, state, many, labels)
    each = sampler.log_prob(state, many, labels)
    np.testing.assert_allclose(each, found, rtol=1e-4, atol=1e-4)
    assert found.dtype == jnp.float32
    assert found.shape == (5,)


@pytest.mark.parametrize("name", toys.EXACT)
def test_the_score_is_that_of_finite_differences(name):
    sampler, state = toys.SAMPLERS[name], toys.fitted(name, True)
    code, step = jnp.array([-0.8, 0.3]), 1e-2
    state = jax.tree.map(jnp.asarray, state)
    density = jax.jit(lambda code: sampler.log_density(state, code, 0))
    ahead = [(density(code + d) - density(code - d)) / (2 * step) for d in step * jnp.eye(2)]
    np.testing.assert_allclose(jax.jit(jax.grad(density))(code), ahead, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    "name", [*toys.EXACT[:2], *(pytest.param(n, marks=pytest.mark.slow) for n in ALL_SLOW)]
)
def test_a_unit_that_never_varies_stays_where_it_is(name):
    codes = np.concatenate([toys.clusters()[0], np.full((400, 1), 7.0)], axis=1)
    sampler = (toys.SAMPLERS | toys.SLOW)[name]
    state = sampler.fit(codes, jax.random.key(0))
    new = np.asarray(drawn(sampler, state, jax.random.key(1), np.arange(50), np.zeros(50, int)))
    np.testing.assert_allclose(new[:, 2], 7, atol=5e-3)
    assert np.isfinite(scored(sampler, state, codes[:9], np.zeros(9, int))).all()


@pytest.mark.slow
def test_the_bound_of_a_second_stage_integrates_to_one_but_for_its_samples():
    sampler = toys.SLOW["second_stage_vae"]
    density, cell = density_on_grid(sampler, toys.fitted("second_stage_vae", False), 0)
    assert density.sum() * cell == pytest.approx(1, abs=0.1)


def test_codes_that_no_sampler_can_be_fitted_on_are_refused_in_one_line():
    key, mixture = jax.random.key(0), ae.samplers.gaussian_mixture(5)
    codes = toys.clusters(40)[0]
    bad = codes.copy()
    bad[3, 1] = np.nan
    refused = {
        "needs at least 5 codes, got 4": lambda: mixture.fit(codes[:4], key),
        "needs at least 5 codes of class 1, got 3": lambda: mixture.fit(
            codes, key, np.repeat([0, 1], [37, 3])
        ),
        "in 2 dimension(s) needs at least 3 codes, got 2": lambda: ae.samplers.kernel_density().fit(
            codes[:2], key
        ),
        "a flow needs at least 20 codes, got 19": lambda: ae.samplers.flow().fit(codes[:19], key),
        "[n, d], got shape (40,)": lambda: mixture.fit(codes[:, 0], key),
        "hold nan at 3, 1": lambda: mixture.fit(bad, key),
        "0 … classes - 1": lambda: mixture.fit(codes, key, np.repeat([0, 2], 20)),
        "[40], one a code": lambda: mixture.fit(codes, key, np.zeros(3)),
    }
    for message, call in refused.items():
        with pytest.raises(ae.errors.DataError) as caught:
            call()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_arguments_out_of_range_are_refused():
    refused = {
        "components must be a positive whole number, got 0": lambda: ae.samplers.gaussian_mixture(
            0
        ),
        "did you mean 'scott'?": lambda: ae.samplers.kernel_density("scot"),
        "above 0 or a rule's name, got 0": lambda: ae.samplers.kernel_density(0.0),
        "learning_rate must be a positive number, got 0": lambda: ae.samplers.flow(learning_rate=0),
        "solver cannot be 'huen'; did you mean 'heun'?": lambda: ae.samplers.flow_matching(
            solver="huen"
        ),
        "guidance must not be negative, got -1": lambda: ae.samplers.flow_matching(guidance=-1),
        "width must be a multiple of heads=4, got 6": lambda: ae.samplers.code_transformer(6),
        "smoothing must be a positive number, got 0": lambda: ae.samplers.unigram(0),
        "no flow is called 'masked'": lambda: ae.samplers.flow("masked"),
        "steps must be a positive whole number, got 0.5": lambda: ae.samplers.second_stage_vae(
            steps=0.5
        ),
        "no argument 'component'; did you mean 'components'?": lambda: ae.samplers.gaussian_mixture(
            component=3
        ),
    }
    for message, call in refused.items():
        with pytest.raises(ae.errors.ConfigError) as caught:
            call()
        assert message in str(caught.value)
