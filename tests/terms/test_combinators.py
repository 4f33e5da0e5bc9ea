"""Objectives made of objectives: watched without gradient, or restricted to some examples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import terms
from tests.terms.setting import VALID, evaluate, gradients, setting


@ae.term
def scalar(outputs, context):
    del context
    return jnp.mean(outputs.z)


def test_detached_terms_count_and_do_not_pull():
    made = setting("gaussian")
    both = 3.0 * terms.kl() + terms.free_bits(threshold=0.1)
    watched = terms.detached(both)
    assert [t.scale for t in watched.terms] == [3.0, 1.0]
    plain, detached = (part.terms[0] for part in (both, watched))
    got = evaluate(made, plain=ae.Objective((plain,)), detached=ae.Objective((detached,)))
    np.testing.assert_array_equal(got["detached"], got["plain"])
    found = gradients(made, watched=watched, sum=terms.kl(name="own") + watched, kl=terms.kl())
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(found["watched"]))
    jax.tree.map(
        lambda own, kl: np.testing.assert_allclose(own, kl, rtol=1e-6), found["sum"], found["kl"]
    )


def test_where_restricts_terms_to_a_label_and_averages_over_all():
    made = setting("gaussian")
    objective = 2.0 * terms.where(terms.kl() + terms.reconstruction(), "label", equals=1)
    got = evaluate(made, it=objective, kl=terms.kl())
    chosen = np.asarray(made.context.batch.extras["label"]) == 1
    assert 0 < chosen[VALID].sum() < VALID.sum()
    np.testing.assert_array_equal(got["it"], np.where(chosen, got["kl"], 0))
    loss, metrics = objective(made.outputs, made.context)
    np.testing.assert_allclose(metrics["kl"], got["it"][VALID].mean(), rtol=1e-6)
    np.testing.assert_allclose(loss, 2 * (metrics["kl"] + metrics["reconstruction"]), rtol=1e-6)


def test_examples_without_the_label_have_no_gradient():
    made = setting("gaussian")
    nobody = terms.where(terms.kl(), "label", equals=7)
    one = terms.where(terms.kl(), "label", equals=1)
    rest = terms.where(terms.kl(), "label", equals=0) + terms.where(
        terms.kl(name="other"), "label", equals=2
    )
    found = gradients(made, nobody=nobody, one=one, rest=rest, kl=terms.kl())
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(found["nobody"]))
    jax.tree.map(
        lambda one, rest, kl: np.testing.assert_allclose(one + rest, kl, rtol=1e-5, atol=1e-7),
        found["one"],
        found["rest"],
        found["kl"],
    )


@pytest.mark.parametrize(
    ("label", "objective", "message"),
    [
        ("lable", terms.kl(), "the batch has no 'lable'; did you mean 'label'"),
        ("wide", terms.kl(), r"one 'wide' and one loss an example, got shapes \(8, 2\) and \(8,\)"),
        ("label", scalar(), r"got shapes \(8,\) and \(\)"),
    ],
)
def test_labels_and_losses_that_do_not_meet_are_refused(label, objective, message):
    made = setting("gaussian")
    extras = {"label": made.context.batch.extras["label"], "wide": jnp.zeros((8, 2), int)}
    context = made.context._replace(batch=made.context.batch._replace(extras=extras))
    with pytest.raises(ae.errors.PartError, match=message):
        evaluate(made._replace(context=context), bad=terms.where(objective, label, equals=1))


def test_a_batch_coupled_term_cannot_be_restricted():
    with pytest.raises(ae.errors.PartError, match="'free_bits' belongs to the whole batch"):
        terms.where(terms.kl() + terms.free_bits(threshold=1.0), "label", equals=1)


def test_neither_has_a_config_form():
    assert terms.detached(terms.kl()).to_config() is None
    assert terms.where(terms.kl(), "label", equals=1).to_config() is None


@pytest.mark.parametrize("name", ["loss", "grad_norm", "skipped"])
def test_no_term_takes_the_name_of_a_metric_of_the_step(name):
    with pytest.raises(ae.errors.ConfigError, match=f"no term can be called '{name}'"):
        terms.kl(name=name)
