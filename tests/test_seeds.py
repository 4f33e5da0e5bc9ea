"""Seeds: whole numbers below 2**32, the same everywhere, and nothing that JAX would fold."""

import jax
import numpy as np
import pytest

import ae_jax as ae
from ae_jax import keys
from ae_jax.errors import ConfigError
from ae_jax.evaluation import corrupted
from ae_jax.training.state import init_state
from tests import small, untrained

BAD = (2**32, -1, True, 1.0, "0", None, np.float32(2))


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1, np.int64(7), np.uint32(2**32 - 1)])
def test_a_seed_below_two_to_the_32_gives_the_key_that_it_always_gave(seed):
    found = jax.random.key_data(keys.root(seed)).tolist()
    assert found == [0, int(seed)] == jax.random.key_data(jax.random.key(int(seed))).tolist()


@pytest.mark.parametrize("seed", BAD)
def test_another_seed_has_no_key(seed):
    with pytest.raises(ConfigError, match="seed must be a whole number from 0 to"):
        keys.root(seed)


@pytest.fixture(scope="module")
def run():
    return untrained.run_of(small.vae(), small.arrays())


USES = {
    "sample": lambda run, seed: run.sample(2, seed=seed),
    "log_likelihood": lambda run, seed: run.log_likelihood(small.arrays()[:2], 1, seed=seed),
    "corrupt": lambda run, seed: corrupted.corrupt(run, ae.data.Records(small.arrays()), seed=seed),
    "init_state": lambda run, seed: init_state(run.model, (), np.zeros(small.WIDTH), seed),
    "waves": lambda run, seed: ae.data.waves(seed=seed),
    "synthetic": lambda run, seed: ae.data.synthetic("4", seed=seed),
    "fit": lambda run, seed: ae.fit(small.vae(), small.arrays(), seed=seed, progress=False),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("seed", [2**32, -1, True, 0.5], ids=str)
def test_wherever_a_seed_is_taken_another_is_refused(use, seed, run):
    with pytest.raises(ConfigError, match="seed must"):
        USES[use](run, seed)
