"""`ae-jax pods` from a checkout; --help tells of its flags."""

from ae_jax.cli import pods

if __name__ == "__main__":
    pods.start()
