"""How much memory a run takes beside its data."""

import subprocess
import sys

import pytest

MIB = 2**20
SIZE = 400 * MIB
PROGRAM = 80 * MIB
"""What compiling for another size leaves behind, whatever the size."""
SCRIPT = """
import resource, sys
import numpy as np
import ae_jax as ae

dtype, columns, far, size = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def fit(x):
    network = ae.networks.mlp((8,))
    recipe = ae.recipes.autoencoder(2, encoder=network, decoder=network)
    ae.fit(recipe, x, steps=2, batch_size=32, log_every=2, eval_every=2, progress=False)

def table(rows):
    x, rng = np.empty((rows, columns), dtype), np.random.default_rng(0)
    for start in range(0, rows, 1024):
        x[start : start + 1024] = far + rng.standard_normal(x[start : start + 1024].shape)
    return x

fit(table(600))
before = peak()
x = table(size // (columns * np.dtype(dtype).itemsize))
fit(x)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "columns", "far"),
    [("f4", 20, 0), ("f4", 2000, 0), ("f8", 20, 0), ("f8", 20, 1.7e9)],
)
def test_a_float_table_takes_at_most_twice_its_size(dtype, columns, far):
    arguments = [sys.executable, "-c", SCRIPT, dtype, str(columns), str(far), str(SIZE)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=300)
    assert int(done.stdout) < 2 * SIZE + PROGRAM
