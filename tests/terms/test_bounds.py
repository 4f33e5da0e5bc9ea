"""Bounds as terms: of exactly the samples asked for, with the gradients they promise."""

import jax
import numpy as np
import pytest

from ae_jax import terms
from tests.reference import bounds
from tests.terms.setting import SAMPLES, double, evaluate, gradients, setting


def log_weights(made):
    outputs = double(made.outputs._replace(posterior=None))
    return outputs.log_px + outputs.log_pz - outputs.log_qz


def test_values_are_those_of_the_reference():
    made = setting("gaussian")
    got = evaluate(
        made,
        iwae=terms.iwae(samples=SAMPLES),
        dreg=terms.iwae(samples=SAMPLES, doubly_reparameterized=True),
        ciwae=terms.ciwae(samples=SAMPLES, beta=0.3),
        miwae=terms.miwae(samples=SAMPLES, groups=2),
        iwae_of_two=terms.iwae(samples=2),
        dreg_of_two=terms.iwae(samples=2, doubly_reparameterized=True),
        ciwae_of_two=terms.ciwae(samples=2, beta=0.3),
        miwae_of_two=terms.miwae(samples=2, groups=2),
    )
    weights = log_weights(made)
    iwae = [-bounds.importance_weighted_bound(row)[0] for row in weights]
    of_two = [-bounds.importance_weighted_bound(row[:2])[0] for row in weights]
    wanted = {
        "iwae": iwae,
        "dreg": iwae,
        "ciwae": [-bounds.ciwae(row, 0.3)[0] for row in weights],
        "miwae": [-bounds.miwae(row.reshape(2, 2))[0] for row in weights],
        "iwae_of_two": of_two,
        "dreg_of_two": of_two,
        "ciwae_of_two": [-bounds.ciwae(row[:2], 0.3)[0] for row in weights],
        "miwae_of_two": [-row[:2].mean() for row in weights],
    }
    for name, value in got.items():
        np.testing.assert_allclose(value, wanted[name], rtol=2e-6, err_msg=name)
    assert np.all(got["iwae"] < got["miwae"])


def test_the_doubly_reparameterised_gradient_differs_in_the_encoder_alone():
    found = gradients(
        setting("gaussian"),
        plain=terms.iwae(samples=SAMPLES),
        dreg=terms.iwae(samples=SAMPLES, doubly_reparameterized=True),
    )
    flat = lambda name, part: np.concatenate(
        [np.ravel(leaf) for leaf in jax.tree.leaves(found[name][part])]
    )
    difference = lambda part: np.linalg.norm(flat("dreg", part) - flat("plain", part))
    assert difference("decoder") <= 1e-5 * np.linalg.norm(flat("plain", "decoder"))
    assert difference("encoder") >= 1e-2 * np.linalg.norm(flat("plain", "encoder"))


@pytest.mark.parametrize(
    ("kind", "objective", "message"),
    [
        ("identity", terms.iwae(samples=2), "'iwae' needs a bottleneck with a posterior density"),
        ("prior", terms.ciwae(samples=2), "'ciwae' needs a bottleneck with a posterior density"),
    ],
)
def test_bad_arguments_are_refused_before_compilation(kind, objective, message):
    with pytest.raises((ValueError, TypeError), match=message):
        evaluate(setting(kind), bad=objective)
