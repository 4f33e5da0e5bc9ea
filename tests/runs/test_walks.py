"""Walks through the latents start from what is observed of examples."""

import numpy as np

import ae_jax as ae
from ae_jax.runs import walks as latents
from tests import untrained


def test_masked_entries_of_the_ends_are_missing_not_zero():
    x = np.random.default_rng(0).normal(50, 1, (100, 3)).astype(np.float32)
    run = untrained.run_of(ae.recipes.autoencoder(2), x)
    absent = np.zeros((4, 3), bool)
    absent[:, 1] = True
    gaps = np.ma.array(np.where(absent, 0, x[:4]), mask=absent)
    found = latents.interpolations(run, gaps[:2], gaps[2:], steps=2)
    codes = run.encode(x[:4], observed=~absent)
    np.testing.assert_array_equal(found, run.decode(codes[[0, 2, 1, 3]]))
    one = latents.traversals(run, gaps[0], extent=0.0, steps=1)
    want = np.array([[0, codes[0, 1]], [codes[0, 0], 0]])
    np.testing.assert_array_equal(one, run.decode(want))
