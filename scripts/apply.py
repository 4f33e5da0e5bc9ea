"""`ae-jax apply` from a checkout; --help tells of its flags."""

from ae_jax.cli import apply

if __name__ == "__main__":
    apply.start()
