"""`ae-jax evaluate` from a checkout; --help tells of its flags."""

from ae_jax.cli import evaluate

if __name__ == "__main__":
    evaluate.start()
