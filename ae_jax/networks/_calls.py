"""How a module of any kind is called: the arguments it takes, the axes of batch statistics."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import jax

from ae_jax.errors import PartError
from ae_jax.types import BATCH_AXIS, DEVICE_AXIS


def normalisation_axes() -> tuple[str, ...]:
    """The axis names over which batch statistics are taken: the batch, and the devices if bound."""
    try:
        jax.lax.axis_size(DEVICE_AXIS)
    except NameError:
        return (BATCH_AXIS,)
    return (BATCH_AXIS, DEVICE_AXIS)


def check_normalisation(axis_name: Any, what: str) -> None:
    """Refuses a batch normalisation that would see one example at a time.

    Raises:
      PartError: its axis name is not "batch"; the fix is in the message.
    """
    if axis_name != BATCH_AXIS:
        raise PartError(
            f"{what} has axis_name={axis_name!r}: parts are written for one example, so it would "
            f"normalise each example by itself to zero. Give it axis_name='{BATCH_AXIS}'."
        )


class OneExampleError(PartError):
    """A batch normalisation would take its statistics over one example."""


def require_several(what: str) -> None:
    """Refuses batch statistics of one example, which leave nothing of it.

    Every value would be normalised to zero, or every channel of an image by itself, while
    evaluation uses the running statistics of something else.

    Raises:
      OneExampleError: batch and devices together hold one example.
    """
    if math.prod(map(jax.lax.axis_size, normalisation_axes())) == 1:
        raise OneExampleError(
            f"{what} would take its statistics over a batch of 1 example, where at least 2 are "
            "needed: train on larger batches, or normalise by layer or group"
        )


def accepted(call: Callable[..., Any], offered: dict[str, Any]) -> dict[str, Any]:
    """Those of the offered keyword arguments that a call takes by name."""
    parameters = inspect.signature(call).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return offered
    return {key: value for key, value in offered.items() if key in parameters}
