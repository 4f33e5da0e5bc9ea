"""Bounds as terms: of exactly the samples asked for, with the gradients they promise."""

import jax
import numpy as np
import pytest

import ae_jax as ae
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


@pytest.mark.parametrize("samples", [0, -1, 2.5, True, "5", None])
@pytest.mark.parametrize("factory", [terms.iwae, terms.ciwae, terms.monte_carlo_kl])
def test_fewer_than_one_sample_is_refused_when_the_term_is_made(factory, samples):
    match = f"samples must be a positive whole number, got {samples!r}"
    with pytest.raises(ae.errors.ConfigError, match=match):
        factory(samples=samples)


@pytest.mark.parametrize(
    ("kind", "objective", "message"),
    [
        ("gaussian", terms.miwae(samples=4, groups=3), "groups=3, samples=4"),
        ("gaussian", terms.miwae(samples=4, groups=0), "groups must be a positive"),
        ("gaussian", terms.ciwae(samples=4, beta=1.5), r"beta must lie in \[0, 1\], got 1.5"),
        ("identity", terms.iwae(samples=2), "'iwae' needs a bottleneck with a posterior density"),
        ("prior", terms.ciwae(samples=2), "'ciwae' needs a bottleneck with a posterior density"),
    ],
)
def test_bad_arguments_are_refused_before_compilation(kind, objective, message):
    with pytest.raises((ValueError, TypeError), match=message):
        evaluate(setting(kind), bad=objective)
