"""`ae-jax compare` from a checkout; --help tells of its flags."""

from ae_jax.cli import compare

if __name__ == "__main__":
    compare.start()
