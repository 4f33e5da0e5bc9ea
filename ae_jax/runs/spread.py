"""Functions of a batch made to take any number of examples, on all devices of a run."""

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax

from ae_jax import config as config_lib
from ae_jax.config.sections import Mesh
from ae_jax.data.intake import take_in_records
from ae_jax.data.source import Records
from ae_jax.training.parallel import examples
from ae_jax.training.parallel import strategies as parallel
from ae_jax.training.parallel.strategy import Strategy


def over_examples(
    run: Any, name: Hashable, fn: Callable[..., Any], *, in_units: bool = False
) -> Callable[..., Any]:
    """A function of a batch made to take any number of examples, spread over the devices.

    Args:
      run: an `ae.Run`.
      name: of the function among this run's; the first of a name is compiled, once.
      fn: `(shared, *per_example) -> tree of [b, …]`, pure, e.g. of `Run.functions`.
      in_units: whether fn gives x as `Functions.in_units` does, for the host to do the rest.

    Returns:
      `(shared, *per_example) -> tree of NumPy [n, …]`. Records among the arguments are given in
      the data's units.

    Example:
      >>> import ae_jax as ae, jax.numpy as jnp
      >>> run = ae.fit(ae.recipes.autoencoder(2), "digits", steps=2, progress=False)
      >>> length = run.over_examples("length", lambda _, z: jnp.linalg.norm(z, axis=-1))
      >>> length(run.variables, run.encode(run.dataset().test)).ndim
      1
    """
    if name not in run._programs:
        strategy = strategy_of(run, jax.local_devices())
        size = config_lib.evaluation_batch_size(run.config)
        run._programs[name] = examples.over_examples(fn, strategy, size)
    program, host = run._programs[name], run.preprocessing.host
    taken_in = lambda row: take_in_records(row, host) if isinstance(row, Records) else row

    def call(shared, *rows):
        result = program(shared, *map(taken_in, rows))
        return host.invert(result) if in_units and host is not None else result

    return call


def strategy_of(run: Any, devices: Sequence[Any]) -> Strategy:
    """The strategy of a run on these devices, which may be fewer than trained it."""
    section = run.config.parallel
    wanted = None if section.devices is None else min(section.devices, len(devices))
    section = dataclasses.replace(section, mesh=Mesh(), devices=wanted)
    return parallel.from_config(section, devices)
