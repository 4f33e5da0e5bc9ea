"""Penalties on maps: Jacobians against closed forms and probes, weights against NumPy."""

import jax
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import terms
from tests.terms.setting import double, evaluate, setting

LINEAR = ae.networks.linear()


def matrices(made, part):
    return [
        np.asarray(leaf, np.float64)
        for leaf in jax.tree.leaves(made.context.variables.params[part])
        if leaf.ndim == 2
    ]


def test_the_contractive_penalty_of_one_sigmoid_layer_has_its_closed_form():
    made = setting("sparse", encoder=LINEAR, decoder=LINEAR)
    got = evaluate(made, exact=terms.contractive(), probed=terms.contractive(probes=2000))
    (weights,) = matrices(made, "encoder")
    codes = made.outputs.z[:, 0]
    wanted = [ae.losses.contractive_sigmoid(weights, code) for code in np.asarray(codes)]
    np.testing.assert_allclose(got["exact"], wanted, rtol=1e-5)
    np.testing.assert_allclose(got["probed"], wanted, rtol=0.1)
    assert np.abs(got["probed"] / got["exact"] - 1).max() > 1e-4


def test_the_contractive_penalty_is_taken_where_the_encoder_looked():
    """At the corrupted x, of a network with a hidden layer, against finite differences."""
    made = setting("gaussian")
    outputs, step = made.outputs, 1e-2
    shifted = outputs._replace(corrupted=outputs.corrupted + 0.5)
    got = evaluate(made._replace(outputs=shifted), exact=terms.contractive())["exact"]
    shifts = np.concatenate([np.eye(6), -np.eye(6)]).astype(np.float32) * step
    x = np.asarray(shifted.corrupted)[:, None] + shifts
    encode = jax.jit(made.model.encode)
    codes = double(encode(made.context.variables, x.reshape(-1, 6))).reshape(len(x), 2, 6, -1)
    jacobian = (codes[:, 0] - codes[:, 1]) / (2 * step)
    np.testing.assert_allclose(got, (jacobian**2).sum((1, 2)), rtol=1e-3)


def test_the_gradient_of_a_linear_decoder_is_its_matrix():
    made = setting("gaussian", decoder=LINEAR)
    model = made.model._replace(likelihood=ae.likelihoods.gaussian())
    made = made._replace(model=model, context=made.context._replace(model=model))
    got = evaluate(
        made, exact=terms.decoder_gradient(probes=None), probed=terms.decoder_gradient(probes=2000)
    )
    (weights,) = matrices(made, "decoder")
    np.testing.assert_allclose(got["exact"], np.sum(weights**2), rtol=1e-5)
    np.testing.assert_allclose(got["probed"], np.sum(weights**2), rtol=0.1)
    assert np.ptp(got["probed"]) > 0  # every example has probes of its own


def test_weights_and_codes_against_numpy():
    made = setting("gaussian")
    got = evaluate(
        made,
        decoder=terms.weight_l2(),
        kernels=terms.weight_l2(kernels_only=True),
        encoder=terms.weight_l2(of="encoder"),
        absolute=terms.weight_l1(),
        absolute_kernels=terms.weight_l1(kernels_only=True),
        orthogonality=terms.orthogonality(),
        latent=terms.latent_l2(),
    )
    params, z = double(made.context.variables.params), double(made.outputs.z)
    squares = lambda part: sum(np.sum(leaf**2) for leaf in jax.tree.leaves(params[part]))
    gram = [w.T @ w - np.eye(w.shape[1]) for w in matrices(made, "encoder")]
    wanted = {
        "decoder": squares("decoder"),
        "kernels": sum(np.sum(w**2) for w in matrices(made, "decoder")),
        "encoder": squares("encoder"),
        "absolute": sum(np.abs(leaf).sum() for leaf in jax.tree.leaves(params["decoder"])),
        "absolute_kernels": sum(np.abs(w).sum() for w in matrices(made, "decoder")),
        "orthogonality": sum(np.sum(g**2) for g in gram),
        "latent": 0.5 * (z**2).sum(-1).mean(1),
    }
    for name, value in got.items():
        np.testing.assert_allclose(value, wanted[name], rtol=2e-6, err_msg=name)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (terms.weight_l2(of="decodr"), "no part 'decodr'; did you mean 'decoder'"),
        (terms.weight_l1(of="decodr"), "'weight_l1': the model has no part 'decodr'"),
        (terms.orthogonality(of="bottleneck"), "no part 'bottleneck'"),
    ],
)
def test_bad_arguments_are_refused_before_compilation(objective, message):
    with pytest.raises((ValueError, TypeError), match=message):
        evaluate(setting("gaussian"), bad=objective)
