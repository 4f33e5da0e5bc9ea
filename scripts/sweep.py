"""`ae-jax sweep` from a checkout; --help tells of its flags."""

from ae_jax.cli import sweep

if __name__ == "__main__":
    sweep.start()
