"""Runs whose posterior or prior is another than the Gaussian: all that a Run does, it does."""

import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 5)).astype(np.float32)
LABEL = RNG.integers(0, 3, 64)
NETWORK = ae.networks.mlp((8,), "tanh")
PARTS = {"encoder": NETWORK, "decoder": NETWORK}
BY_LABEL = ae.priors.conditional(3, ae.priors.mixture(components=2))


def by_label(latent_dim, **parts):
    bottleneck = ae.bottlenecks.gaussian(latent_dim, prior=BY_LABEL)
    return ae.recipes.vae(latent_dim, **parts)._replace(bottleneck=bottleneck)


RECIPES = {
    "vamp": (ae.recipes.vamp_vae, {"pseudo_inputs": 10}),
    "sphere": (ae.recipes.hyperspherical_vae, {}),
    "by label": (by_label, {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_run_encodes_samples_bounds_evaluates_and_is_loaded(name, tmp_path):
    recipe, options = RECIPES[name]
    extras = {"label": LABEL} if name == "by label" else {}
    data = ae.data.from_arrays(X, extras=extras)
    run = ae.fit(recipe(3, **options, **PARTS), data, steps=5, batch_size=16, workdir=tmp_path)
    few = {key: value[:8] for key, value in extras.items()}
    assert run.encode(X[:8]).shape == (8, 3)
    bound = run.log_likelihood(X[:8], 20, extras=few)
    assert np.isfinite(bound).all()
    samples = run.sample(8, seed=0, extras=few)
    assert samples.shape == (8, 5)
    assert np.isfinite(run.evaluate(data.train)["neg_elbo"])
    again = ae.load(tmp_path)
    np.testing.assert_array_equal(again.sample(8, seed=0, extras=few), samples)
    if name == "sphere":
        np.testing.assert_allclose(np.linalg.norm(run.encode(X), axis=-1), 1, atol=1e-5)
        with pytest.raises(ae.errors.PartError, match="the posterior is PowerSpherical"):
            run.latent_usage(X)
    if name == "by label":
        with pytest.raises(ae.errors.ConfigError, match="label"):
            run.sample(8, seed=0)
        with pytest.raises(ae.errors.ConfigError, match="the bottleneck is conditioned on"):
            ae.fit(by_label(3, **PARTS), X, steps=1, batch_size=16)


def test_the_kl_of_the_sphere_is_in_closed_form_and_that_of_the_ball_is_not():
    for bottleneck, closed in (
        (ae.bottlenecks.hyperspherical(3), True),
        (ae.bottlenecks.laplace(3, prior="standard_normal"), True),
        (ae.bottlenecks.poincare(3), False),
        (ae.bottlenecks.student_t(3), False),
    ):
        q = bottleneck.posterior({}, {}, jnp.ones(bottleneck.feature_shape))
        kl = ae.distributions.kl_divergence(q, bottleneck.prior({}, {}))
        assert (kl is not None) == closed
