"""I-JEPA: its teacher is the moving average that it is said to be, and learns nothing itself."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ae_jax as ae
from ae_jax import keys as keys_lib
from ae_jax.recipes.players import arranged
from ae_jax.runs.pictures import Pictures
from tests import fast

NETWORK = ae.networks.mlp((8,), "tanh")
X: Any = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
DECAY = 0.8
NAMES = {"feature_prediction"}


def recipe(latent=(3, 2), predictor=NETWORK):
    parts = {"encoder": NETWORK, "decoder": NETWORK, "predictor": predictor}
    return ae.recipes.i_jepa(latent, patch=2, rate=0.4, decay=DECAY, **parts)


def test_after_n_steps_the_teacher_is_numpys_moving_average_and_the_decoder_has_moved_too():
    made = recipe()
    model, objective = made.build(ae.spec_of(X))
    variables, sgd = jax.eval_shape(model.init, jax.random.key(0), X[0]), optax.sgd(0.1)
    named: Any = made.players, objective, variables, sgd, None, lambda section: sgd
    players = arranged(*named, critics=tuple(model.critics))
    assert "teacher" not in variables.params
    step = fast.jit(ae.training.make_step(model, players, num_train=len(X)))
    state = ae.training.init_state(model, players, X[0], seed=0)
    first = jax.tree.map(np.asarray, state.variables.params)
    want = jax.tree.map(np.float64, first["encoder"])
    metrics = {}
    for _ in range(4):
        state, metrics = step(state, ae.Batch(X))
        move = lambda old, new: DECAY * old + (1 - DECAY) * np.float64(new)
        want = jax.tree.map(move, want, state.variables.params["encoder"])
    found = state.variables.state["teacher"]["params"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), found, want)
    for part in ("encoder", "predictor", "decoder"):
        pairs = zip(
            jax.tree.leaves(state.variables.params[part]), jax.tree.leaves(first[part]), strict=True
        )
        assert any(not np.array_equal(*pair) for pair in pairs), part
    assert {"model/feature_prediction", "pixels/reconstruction"} < set(metrics)


def test_the_term_is_numpys_and_gives_the_teacher_no_gradient_and_the_decoder_none():
    model, objective = recipe().build(ae.spec_of(X))
    batch, keys = (
        ae.Batch(jnp.asarray(X)),
        keys_lib.for_examples(jax.random.key(1), 0, np.arange(8)),
    )
    variables = model.init(jax.random.key(0), X[0])
    other = jax.tree.map(lambda leaf: leaf + 0.1, variables.state["teacher"])
    variables = variables._replace(state={"teacher": other})

    def everything(params, state):
        inner = ae.Variables(params, state)
        outputs, _ = model.forward(inner, batch, keys, train=True)
        context = ae.Context(model, inner, batch, keys, jnp.int32(0), 100, train=True)
        (term,) = objective.terms
        losses = term.per_example(outputs, context)
        features = context.critic("teacher", batch.x), context.critic("predictor", outputs.z[:, 0])
        return losses.sum(), (losses, outputs.info["patch_mask"], *features)

    run = fast.jit(jax.value_and_grad(everything, argnums=(0, 1), has_aux=True))
    (_, (found, hidden, target, predicted)), grads = run(*variables)
    own = ae.Variables({"encoder": variables.state["teacher"]["params"]}, {})
    np.testing.assert_allclose(target, model.encode(own, batch.x), rtol=1e-5, atol=1e-6)
    target = np.float64(target)
    scaled = (target - target.mean(-1, keepdims=True)) / np.sqrt(
        target.var(-1, keepdims=True) + 1e-6
    )
    want = 0.5 * (np.asarray(hidden)[..., None] * (predicted - scaled) ** 2).sum((1, 2))
    np.testing.assert_allclose(found, want, rtol=1e-4)
    size = lambda tree: sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(tree))
    assert size(grads[1]) == 0
    assert size(grads[0]["decoder"]) == 0
    assert min(size(grads[0]["encoder"]), size(grads[0]["predictor"])) > 0


def test_what_does_not_fit_is_refused_in_one_line():
    no_encoder = {"encoder": ae.networks.none(), "likelihood": ae.likelihoods.implicit()}
    game = ae.recipes.gan(2, decoder=NETWORK, critic=NETWORK, **no_encoder)
    with pytest.raises(ae.errors.PartError, match="'teacher' is to follow the encoder, and this"):
        game._replace(critics={"teacher": ae.teacher()}).build(ae.spec_of(X))
    with pytest.raises(ae.errors.ConfigError, match=r"decay must lie in \[0, 1\), got 1"):
        ae.teacher(1)
    with pytest.raises(ae.errors.ConfigError, match="outputs must be a positive whole number"):
        ae.critic(outputs=(3, 0))


@pytest.mark.slow
def test_a_run_trains_with_its_own_networks_and_goes_on_from_disk_bit_for_bit(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(Pictures, "draw", lambda *_: None)
    x = np.random.default_rng(0).normal(size=(40, 8, 8, 1)).astype(np.float32)
    options: dict[str, Any] = {"width": 8, "depth": 1, "heads": 2}
    made = ae.recipes.i_jepa(
        (16, 8),
        patch=2,
        encoder=ae.networks.vit(2, mask_rate=0.6, pool="none", **options),
        decoder=ae.networks.vit_decoder(2, **options),
        predictor=ae.networks.transformer_decoder(**options),
    )
    how = {"batch_size": 16, "progress": False, "seed": 1}
    whole = ae.fit(made, x, steps=4, **how)
    ae.fit(made, x, steps=2, workdir=tmp_path / "parts", **how)
    again = ae.fit(made, x, steps=4, workdir=tmp_path / "parts", **how)
    pairs = zip(jax.tree.leaves(whole.variables), jax.tree.leaves(again.variables), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)
    loaded = ae.load(tmp_path / "parts")
    assert loaded.encode(x[:3]).shape == (3, 16, 8)
    assert loaded.reconstruct(x[:3]).shape == (3, 8, 8, 1)
