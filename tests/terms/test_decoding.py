"""Terms that decode again: told all that the forward pass tells, by one function."""

import ast
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import keys as keys_lib
from ae_jax import terms
from tests import fast

BATCH, SAMPLES, LENGTH, VOCABULARY = 4, 3, 5, 4
PLAIN = terms.iwae(samples=SAMPLES)
DREG = terms.iwae(samples=SAMPLES, doubly_reparameterized=True)
TOKENS = np.random.default_rng(0).integers(0, VOCABULARY, (BATCH, LENGTH)).astype(np.float32)
IMAGES = np.random.default_rng(1).random((BATCH, 4, 4, 1)).astype(np.float32)


class Normalised(nn.Module):
    """A decoder that knows whether it trains, with statistics of the batch and dropout."""

    @nn.compact
    def __call__(self, z, train=False):
        norm = nn.BatchNorm(use_running_average=not train, axis_name="batch")
        h = norm(nn.Dense(8)(z.ravel()))
        return nn.Dense(16)(nn.Dropout(0.4, deterministic=not train)(nn.tanh(h))).reshape(4, 4, 1)


def reading(**options):
    """A VAE of tokens whose decoder reads the target."""
    return ae.autoencoder(
        ae.networks.mlp((8,)),
        ae.networks.gru_decoder(vocabulary=VOCABULARY, width=8, autoregressive=True, **options),
        ae.bottlenecks.gaussian(2),
        ae.likelihoods.categorical(num_classes=VOCABULARY),
        event_shape=(LENGTH,),
    )


def masked():
    """A VAE whose decoder puts a learned token in the place of hidden patches."""
    return ae.autoencoder(
        ae.networks.vit(2, width=8, depth=1, heads=1, mask_rate=0.5, pool="none"),
        ae.networks.vit_decoder(2, width=8, depth=1, heads=1),
        ae.bottlenecks.gaussian((4, 2)),
        ae.likelihoods.gaussian(),
        ae.corruptions.patch_masking(2, 0.5),
        event_shape=(4, 4, 1),
    )


def normalised():
    """A VAE whose decoder behaves differently in training."""
    parts = ae.bottlenecks.gaussian(2), ae.likelihoods.gaussian()
    decoder = ae.from_linen(Normalised())
    return ae.autoencoder(ae.networks.mlp((8,)), decoder, *parts, event_shape=(4, 4, 1))


MODELS = {
    "target": (reading, TOKENS),
    "target, key and train": (lambda: reading(word_dropout=0.5, dropout=0.3), TOKENS),
    "info": (masked, IMAGES),
    "train and batch": (normalised, IMAGES),
}


def pass_of(model, x, train=True):
    """`(params, keys) -> (Outputs, Context)`, and parameters that are nowhere 0."""
    variables = fast.jit(model.init)(jax.random.key(0), x[0])
    rng = np.random.default_rng(2)
    shift = lambda leaf: np.asarray(leaf) + np.float32(0.3) * rng.normal(size=leaf.shape)
    params = jax.tree.map(lambda leaf: np.float32(shift(leaf)), variables.params)

    def forward(params, keys):
        own = variables._replace(params=params)
        outputs, _ = model.forward(own, ae.Batch(x), keys, samples=SAMPLES, train=train)
        context = ae.Context(model, own, ae.Batch(x), keys, jnp.int32(0), 10, train=train)
        return outputs, context

    return forward, params


def keys_of(seed):
    return keys_lib.for_examples(jax.random.key(seed), 0, jnp.arange(BATCH))


@pytest.mark.parametrize(
    ("name", "train"), [*((name, True) for name in MODELS if name != "target"), ("target", False)]
)
def test_a_bound_that_decodes_again_is_the_bound_of_the_forward_pass(name, train):
    build, x = MODELS[name]
    forward, params = pass_of(build(), x, train)

    @fast.jit
    def both(params):
        made = forward(params, keys_of(1))
        again = made[1].decoding(
            lambda decode, z: jax.vmap(decode)(z, jnp.arange(SAMPLES)), made[0], made[0].z
        )
        values = [objective.terms[0].per_example(*made) for objective in (PLAIN, DREG)]
        return *values, again, made[0].parameters

    plain, dreg, again, parameters = both(params)
    np.testing.assert_allclose(dreg, plain, rtol=2e-6)
    np.testing.assert_allclose(again, parameters, rtol=1e-5, atol=1e-6)
    assert np.ptp(plain) > 1e-3


def test_the_doubly_reparameterised_gradient_is_in_expectation_that_of_the_bound():
    """The decoder's exactly, the encoder's by 2,000 draws within five standard errors."""
    forward, params = pass_of(reading(), TOKENS)
    loss = lambda objective: lambda params, keys: objective(*forward(params, keys))[0]
    by_encoder = lambda grads: jnp.concatenate(
        [jnp.ravel(leaf) for leaf in jax.tree.leaves(grads["encoder"])]
    )

    def gradients(seed):
        found = [jax.grad(loss(objective))(params, keys_of(seed)) for objective in (PLAIN, DREG)]
        gap = by_encoder(found[0]) - by_encoder(found[1])
        decoders = [jax.tree.leaves(grads["decoder"]) for grads in found]
        return gap, by_encoder(found[1]), decoders

    through = fast.jit(lambda seeds: jax.lax.map(gradients, seeds, batch_size=100))
    gap, own, (plain, dreg) = through(jnp.arange(2000))
    for one, other in zip(plain, dreg, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    gap, own = np.asarray(gap, np.float64), np.asarray(own, np.float64)
    error = gap.std(axis=0) / np.sqrt(len(gap))
    moving = error > 1e-7
    assert moving.mean() > 0.5
    assert np.abs(gap.mean(0)[moving] / error[moving]).max() < 5
    assert np.linalg.norm(gap.mean(0)) < 0.1 * np.linalg.norm(own.mean(0))


@pytest.mark.slow
def test_the_jacobian_of_a_decoder_that_reads_the_target():
    """Against finite differences in float64 terms of the teacher-forced logits' mean."""
    model = ae.autoencoder(
        ae.networks.mlp((8,)),
        ae.networks.gru_decoder(width=8, autoregressive=True),
        ae.bottlenecks.identity(2),
        ae.likelihoods.gaussian(),
        event_shape=(LENGTH, 2),
    )
    x = np.random.default_rng(3).normal(size=(BATCH, LENGTH, 2)).astype(np.float32)
    forward, params = pass_of(model, x)

    @fast.jit
    def found(params):
        outputs, context = forward(params, keys_of(1))
        shifted = lambda z: jax.vmap(
            lambda z, x: model.decode_one(context.variables, z, ae.types.Told(target=x))[0]
        )(z, x)
        z, step = outputs.z[:, 0], 1e-2 * jnp.eye(2)
        slopes = [(shifted(z + h) - shifted(z - h)) / 2e-2 for h in step]
        exact = terms.decoder_gradient(probes=None).terms[0].per_example(outputs, context)
        return exact, sum(jnp.sum(slope**2, axis=(1, 2)) for slope in slopes)

    exact, differences = found(params)
    np.testing.assert_allclose(exact, differences, rtol=5e-3)


def calls_of_decoders(file):
    """Lines of a file on which some decoder's `apply` is taken."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute) and node.attr == "apply":
            owner = node.value
            if getattr(owner, "attr", getattr(owner, "id", "")) == "decoder":
                yield node.lineno


def test_nothing_but_the_model_applies_a_decoder():
    package = pathlib.Path(ae.__file__).parent
    found = {
        file.relative_to(package).as_posix(): lines
        for file in package.rglob("*.py")
        if (lines := sorted(set(calls_of_decoders(file))))
    }
    decoding = "model/autoencoder.py"
    assert set(found) == {decoding}
    (function,) = [
        node
        for node in ast.walk(ast.parse((package / decoding).read_text()))
        if isinstance(node, ast.FunctionDef) and node.name == "decode_one"
    ]
    assert all(function.lineno < line <= function.end_lineno for line in found[decoding])
