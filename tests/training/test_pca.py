"""A linear autoencoder finds the principal components (Baldi & Hornik 1989)."""

import numpy as np
import pytest

import ae_jax as ae
from tests import small


@pytest.mark.slow
@pytest.mark.parametrize("rank", [8, 16])
def test_a_linear_autoencoder_reaches_the_error_of_pca(rank):
    from sklearn.decomposition import PCA

    network = ae.networks.linear()
    recipe = ae.recipes.autoencoder(rank, encoder=network, decoder=network)
    recipe = recipe._replace(objective=ae.terms.squared_error())
    run = small.train(
        recipe=recipe,
        data={"source": "digits"},
        optimizer={"learning_rate": 3e-3, "schedule": "cosine"},
        steps=10_000,
        batch_size=128,
        log_every=10_000,
        eval_every=10_000,
    )
    x = ae.data.load("digits").train.x
    flat = x.reshape(len(x), -1).astype(np.float64)
    pca = PCA(rank, svd_solver="full").fit(flat)
    least = ((pca.inverse_transform(pca.transform(flat)) - flat) ** 2).sum(1).mean()
    error = ((run.reconstruct(x).reshape(flat.shape) - flat) ** 2).sum(1).mean()
    assert least * 0.9999 < error < least * 1.01
