"""`ae-jax sample` from a checkout; --help tells of its flags."""

from ae_jax.cli import sample

if __name__ == "__main__":
    sample.start()
