"""What every built-in network must do, and conditioned or token coders made fit for the suite."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import testing
from tests import fast

check_coder = functools.partial(
    testing.check_coder, batch_size=4, devices=(1,), compiler_options=fast.options()
)


def emitted(network, input_shape, output_shape, dtype=jnp.float32, **offered):
    """The shape and dtype that a network bound to an output shape emits, without compiling."""
    coder = network.bind(output_shape)

    def run(x):
        return coder.apply(*coder.init(jax.random.key(0), x, **offered), x, **offered)[0]

    return jax.eval_shape(run, jax.ShapeDtypeStruct(input_shape, dtype))


def wrapped(coder, change):
    """The coder behind `change(x) -> (x, further keyword arguments)`."""

    def init(key, x):
        x, offered = change(x)
        return coder.init(key, x, **offered)

    def apply(params, state, x, **options):
        x, offered = change(x)
        return coder.apply(params, state, x, **(options | offered))

    return coder._replace(init=init, apply=apply)


def initialised(network, x, output_shape, seed=0, **offered):
    """`(coder, params, state)`, every parameter drawn at random, so that no zero hides an error."""
    coder = network.bind(output_shape)
    key, init = jax.random.key(seed), functools.partial(coder.init, **offered)
    params, state = jax.eval_shape(init, key, x)
    if jax.tree.leaves(state):
        state = fast.jit(init)(key, x)[1]
    return coder, drawn(params, seed), state


def drawn(params, seed=0):
    """Random arrays of these forms, kernels so that variances stay."""
    rng = np.random.default_rng(seed)

    def draw(leaf):
        scale = 0.5 if leaf.ndim < 2 else 1 / np.sqrt(np.prod(leaf.shape[:-1]))
        return jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype)

    return jax.tree.map(draw, params)
