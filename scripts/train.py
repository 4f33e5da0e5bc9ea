"""`ae-jax train` from a checkout; --help tells of its flags."""

from ae_jax.cli import train

if __name__ == "__main__":
    train.start()
