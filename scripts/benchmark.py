"""`ae-jax benchmark` from a checkout; --help tells of its flags."""

from ae_jax.cli import benchmark

if __name__ == "__main__":
    benchmark.start()
