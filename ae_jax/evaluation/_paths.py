"""Ways from one code to another, as functions of t in [0, 1]: of NumPy's arrays and of JAX's.

Codes and t are broadcast against each other; an angle is taken over `axis`, None standing for all.
"""

from collections.abc import Callable
from typing import Any

PARALLEL = 1e-6  # 1 - |cos Ω| below which an angle is taken for none


def linear(start: Any, end: Any, t: Any, axis: int | None = None) -> Any:
    """(1 − t) a + t b."""
    del axis
    return (1 - t) * start + t * end


def spherical(start: Any, end: Any, t: Any, axis: int | None = None) -> Any:
    """sin((1 − t)Ω) / sin Ω · a + sin(tΩ) / sin Ω · b; linear where no plane is to turn in."""
    xp = start.__array_namespace__()
    along = lambda v: xp.sum(v, axis=axis, keepdims=axis is not None)
    lengths = along(start**2) * along(end**2)
    cosine = along(start * end) / xp.sqrt(xp.where(lengths > 0, lengths, 1))
    flat = (xp.abs(cosine) > 1 - PARALLEL) | (lengths == 0)
    angle = xp.arccos(xp.where(flat, 0, cosine))  # so that gradients are finite in both branches
    arc = (xp.sin((1 - t) * angle) * start + xp.sin(t * angle) * end) / xp.sin(angle)
    return xp.where(flat, linear(start, end, t), arc)


PATHS: dict[str, Callable[..., Any]] = {"spherical": spherical, "linear": linear}
