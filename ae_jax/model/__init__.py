"""Models: the row of parts and what goes through it, its critics, and how one is put together."""

from ae_jax.model.autoencoder import Autoencoder
from ae_jax.model.building import autoencoder

__all__ = ["Autoencoder", "autoencoder"]
