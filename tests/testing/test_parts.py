"""The contract suite accepts our networks, likelihoods and corruptions, and refuses broken ones."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import ae_jax as ae
from ae_jax import testing
from ae_jax.likelihoods.gaussian import gaussian
from tests import fast
from tests.testing.test_recipes import NETWORK, failures

check_coder = functools.partial(testing.check_coder, compiler_options=fast.options())
check_corruption = functools.partial(testing.check_corruption, compiler_options=fast.options())
check_likelihood = functools.partial(testing.check_likelihood, compiler_options=fast.options())


class Normalised(nn.Module):
    """Batch normalisation over all devices, and dropout."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Dense(8)(x)
        x = nn.BatchNorm(use_running_average=not train, axis_name="batch")(x)
        return nn.Dense(4)(nn.Dropout(0.2, deterministic=not train)(nn.relu(x)))


class Local(nn.Module):
    """Normalises over the examples of its own device, in evaluation too."""

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(4)(x)
        return x if self.is_initializing() else x - jax.lax.pmean(x, "batch")


@pytest.mark.slow
def test_networks():
    report = check_coder(ae.from_linen(Normalised()), devices=(2, 8))
    assert report.devices == (2, 8)
    check_coder(NETWORK, devices=(1,))
    message = failures(check_coder, ae.from_linen(Local()), devices=(2,))
    assert re.search(r"2 devices: the output is off by [\d.]+%", message)
    assert "jit and vmap: the output of example 0 in evaluation is off by" in message
    message = failures(check_coder, ae.from_linen(nn.Dense(4)), output_shape=(5,))
    assert message.endswith("shape: it emits (4,), not (5,)")


LIKELIHOODS = {
    "bernoulli": ({}, {"outside": [1.5]}),
    "gaussian": ({"variance": "predicted"}, {}),
    "laplace": ({"variance": "global"}, {}),
    "categorical": ({"num_classes": 5}, {"outside": [5], "has_mean": False}),
    "poisson": ({}, {"outside": [0.5]}),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods(name):
    arguments, options = LIKELIHOODS[name]
    check_likelihood(getattr(ae.likelihoods, name)(**arguments), **options)


def broken(change):
    part = gaussian(scale=0.5)
    return part._replace(**change(part))


BROKEN = {
    "variance for deviation": (
        lambda part: {"sample": lambda p, y, key: y + 0.25 * jax.random.normal(key, y.shape)},
        r"density of the samples: the mean of p\(x\|y'\) / p\(x\|y\) is 0\.\d+, not 1",
    ),
    "a biased mean": (
        lambda part: {"mean": lambda p, y: y + 0.1},
        r"mean of the samples: the mean of x is [-\d.]+, not",
    ),
    "unobserved entries": (
        lambda part: {"log_prob": lambda p, y, x, observed: part.log_prob(p, y, x, None)},
        "unobserved entries: log_prob or its gradient is off by",
    ),
    "a normalisation that depends on y": (
        lambda part: {
            "log_prob": lambda p, y, x, observed: part.log_prob(p, y, x, observed) + 2 * y[0]
        },
        "density of the samples",
    ),
    "no support": (lambda part: {}, r"support: validate accepts \[nan\]"),
    "half precision": (
        lambda part: {
            "log_prob": lambda p, y, x, observed: part.log_prob(p, y, x, observed).astype(y.dtype)
        },
        "precision: log_prob of .*bfloat16",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_likelihoods(name):
    change, expected = BROKEN[name]
    assert re.search(expected, failures(check_likelihood, broken(change), outside=[np.nan]))


GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("corruption", "expected"),
    [
        (lambda key, x, observed: (x.astype(jnp.bfloat16), {}), "form: .*bfloat16"),
        (lambda key, x, observed: (x + 1, {}), "unobserved entries: some that are not observed"),
        (
            lambda key, x, observed: (jnp.where(observed, 0, x), {"mask": jnp.zeros(6, bool)}),
            r"mask: info\['mask'\] is not",
        ),
        (
            lambda key, x, observed: (jnp.where(observed, GENERATOR.random(), x), {}),
            "jit and vmap: x̃ is off by",
        ),
        (
            lambda key, x, observed: (jnp.where(observed, jnp.sqrt(x - x), x), {}),
            "finite: its gradient has . values",
        ),
    ],
    ids=["dtype", "unobserved", "mask", "impure", "gradient"],
)
def test_broken_corruptions(corruption, expected):
    assert re.search(expected, failures(check_corruption, corruption))


@pytest.mark.parametrize(
    ("corruption", "options"),
    [
        (ae.corruptions.gaussian(0.3), {}),
        (ae.corruptions.salt_and_pepper(0.3), {"event_shape": (4, 4, 1)}),
        (ae.corruptions.token_masking(0.3, 9), {"dtype": jnp.int32}),
    ],
    ids=["gaussian", "salt_and_pepper", "token_masking"],
)
def test_corruptions(corruption, options):
    report = check_corruption(corruption, **options)
    assert ("mask" in report.errors) == (options != {})
