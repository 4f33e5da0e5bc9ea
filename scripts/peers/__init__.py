"""ae_jax against other programs on the same work: PyTorch, pythae and a plain JAX loop.

`scripts/benchmark_peers.py` is the command. Every measurement is a process of its own
(`peers.worker`), so that nothing here needs PyTorch but the peers that are it.
"""
