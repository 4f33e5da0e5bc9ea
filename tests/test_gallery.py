"""Which pictures a run leaves behind."""

import jax
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import gallery


@pytest.mark.parametrize(
    "bottleneck", [ae.bottlenecks.sparse(6), ae.bottlenecks.topk(6, 2)], ids=["sparse", "topk"]
)
def test_filters_of_a_sparse_code_are_the_dictionary_of_its_decoder(bottleneck):
    x = np.random.default_rng(1).integers(0, 255, (32, 4, 3)).astype(np.uint8)
    linear = ae.networks.linear()
    parts = linear, linear, bottleneck, ae.likelihoods.gaussian()
    model = ae.autoencoder(*parts, event_shape=(4, 3))
    options = {"steps": 1, "batch_size": 16, "progress": False}
    run = ae.fit((model, ae.terms.reconstruction()), x, **options)
    kernel = next(
        leaf
        for leaf in map(np.asarray, jax.tree.leaves(run.variables.params["decoder"]))
        if leaf.shape == (6, 12)
    )
    found = gallery._dictionary(run, ae.data.from_arrays(x).train)
    np.testing.assert_allclose(found.reshape(6, 12), 255 * kernel, rtol=1e-4, atol=1e-3)
