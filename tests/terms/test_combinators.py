"""Objectives made of objectives: watched without gradient, or restricted to some examples."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import terms
from ae_jax.objective import from_config
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


def test_both_survive_the_round_trip_through_json():
    objective = (
        terms.reconstruction()
        + 3.0 * terms.detached(terms.kl())
        + terms.where(terms.squared_error(name="of_ones"), "label", equals=1)
        + 0.5 * terms.where(terms.detached(terms.iwae(samples=4)), "label", equals=2)
    )
    section = objective.to_config()
    assert section == {
        "reconstruction": {"weight": 1.0},
        "kl": {"weight": 3.0, "detached": True},
        "of_ones": {"weight": 1.0, "name": "squared_error", "where": ("label", 1)},
        "iwae": {
            "weight": 0.5,
            "samples": 4,
            "doubly_reparameterized": False,
            "detached": True,
            "where": ("label", 2),
        },
    }
    again = from_config(json.loads(json.dumps(section)))
    assert again.to_config() == section
    assert [(t.name, t.scale, t.fn, t.samples) for t in again.terms] == [
        (t.name, t.scale, t.fn, t.samples) for t in objective.terms
    ]


def test_a_combinator_twice_has_a_config_form_where_it_says_the_same():
    twice = terms.detached(terms.detached(terms.kl()))
    assert twice.to_config() == {"kl": {"weight": 1.0, "detached": True}}
    same = terms.where(terms.where(terms.kl(), "label", equals=1), "label", equals=1)
    assert same.to_config() == {"kl": {"weight": 1.0, "where": ("label", 1)}}
    both = terms.where(terms.where(terms.kl(), "label", equals=1), "kind", equals=1)
    assert both.to_config() is None
    assert terms.where(terms.kl(), "label", equals=jnp.arange(2)).to_config() is None


def test_a_combinator_can_be_switched_off_in_a_config():
    (term,) = from_config({"kl": {"detached": False}}).terms
    assert term.fn == terms.kl().terms[0].fn


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"detached": "yes"}, "detached must be True or False, got 'yes'"),
        ({"where": "label"}, "where must be a label's name and its value, got 'label'"),
        ({"where": ["label"]}, r"where must be a label's name and its value, got \['label'\]"),
        ({"where": [1, "label"]}, "where must be a label's name and its value"),
    ],
)
def test_a_combinator_wrongly_written_in_a_config_is_refused(node, message):
    with pytest.raises(ae.errors.ConfigError, match=message):
        from_config({"kl": node})


@pytest.mark.parametrize("name", ["loss", "grad_norm", "skipped"])
def test_no_term_takes_the_name_of_a_metric_of_the_step(name):
    with pytest.raises(ae.errors.ConfigError, match=f"no term can be called '{name}'"):
        terms.kl(name=name)
