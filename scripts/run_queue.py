"""`ae-jax queue` from a checkout; --help tells of its flags."""

from ae_jax.cli import queue

if __name__ == "__main__":
    queue.start()
