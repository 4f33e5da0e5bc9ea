"""Which operations may become kernels of a GPU's own library, decided while a program is traced.

cuDNN's attention (`ae_jax.networks._attention`) is fast, but its gradient cannot be differentiated
again, no other platform has it, and no FLOPs are seen in it.
"""

import contextlib
import contextvars
import functools
import re
from collections.abc import Iterator

import jax

_allowed = contextvars.ContextVar("kernels_allowed", default=True)


@contextlib.contextmanager
def without_kernels() -> Iterator[None]:
    """What is traced within it is XLA's own: for second derivatives, other devices, and counting.

    >>> import ae_jax as ae
    >>> with ae.ops.kernels.without_kernels():
    ...     hessian = jax.hessian(lambda x: x**3)(2.0)
    >>> float(hessian)
    12.0
    """
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)


def attention_allowed() -> bool:
    """Whether attention may be cuDNN's: where a GPU has it, unless told not to use it."""
    device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    elsewhere = device is not None and "gpu" not in str(getattr(device, "platform", device))
    return _allowed.get() and not elsewhere and has_attention()


@functools.cache
def has_attention() -> bool:
    """Whether this machine's GPU, if it has one, has cuDNN's kernels for attention."""
    version = str(getattr(jax.devices()[0], "compute_capability", ""))
    return bool(re.fullmatch(r"\d+\.\d+", version)) and float(version) >= 8
