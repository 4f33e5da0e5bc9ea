"""The commands of `ae-jax`; `scripts/` starts the same ones from a checkout."""

__all__: list[str] = []
