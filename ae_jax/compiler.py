"""What XLA is told, so that programs compute what they say.

On a CPU XLA hands reductions to YNNPACK, which gets some of them wrong without a word: with jax
0.10.2 one row of `vmap(lambda row: sum((matrix @ row) ** 2))` over `[32769, 3]` (jax #39103), and
up to 0.12 nearly all of a dilated window (openxla #48714). Others end the process (jax #39257).
Products and convolutions, which it is handed too, are right and stay with it.
"""

import functools
import importlib.util
import mmap
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from jax._src import xla_bridge  # nothing public tells without asking for the devices

FUSIONS = "xla_cpu_experimental_ynn_fusion_type"
"""XLA's name for what is handed to YNNPACK."""
OTHERS = ("LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT", "LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION")
EXACT = {"xla_allow_excess_precision": False}


def make_safe() -> None:
    """Has no reduction handed to YNNPACK in this process and those that it starts.

    `import ae_jax` does so, by `XLA_FLAGS`, which XLA reads when a device is first asked for. They
    are left alone where they name `FUSIONS` already, where `JAX_PLATFORMS` leaves the CPU out, and
    where a compiler that reads them does not know it and would end the process.

    Warns:
      RuntimeWarning: devices were in use before; ae_jax's programs are safe all the same.
    """
    if "cpu" not in (jax.config.jax_platforms or "cpu") or not _open():  # pyright: ignore
        return
    flags = os.environ.get("XLA_FLAGS", "").strip()
    if xla_bridge.backends_are_initialized():
        options(jax.default_backend())
    elif all(map(_knows, _compilers())) and flags[:1] in ("", "-"):  # else the name of a file
        os.environ["XLA_FLAGS"] = f"{flags} --{FUSIONS}=-reduce".strip()


def options(platform: str) -> dict[str, Any]:
    """What every program for a platform must be compiled with, beyond `XLA_FLAGS`.

    Args:
      platform: platform of its devices, e.g. "cpu".

    Returns:
      `compiler_options` of `jax.jit`: on a CPU those that hand YNNPACK no reductions where
      `make_safe` came too late for the flags, or they were replaced since.

    Warns:
      RuntimeWarning: in that case, once: other programs of the process are not safe.
    """
    if platform != "cpu" or not _open():
        return {}
    _warn()
    return {FUSIONS: ",".join(OTHERS)}


def jit(function: Callable[..., Any]) -> Any:
    """`jax.jit` with `options`, of what is called outside any other program."""
    return jax.jit(function, compiler_options=options(jax.default_backend()))


def rounding(text: str) -> dict[str, Any]:
    """What a program that holds numbers of half precision must be compiled with.

    XLA keeps more digits than the program says wherever two operations become one, and which do
    depends on the shapes, so that an example's numbers would change with the number of devices.

    Args:
      text: text of the lowered program.

    Returns:
      `compiler_options` of `jax.jit`; none where all numbers are float32 or wider.

    Example:
      >>> rounding("tensor<8x16xbf16>"), rounding("tensor<8x16xf32>")
      ({'xla_allow_excess_precision': False}, {})
    """
    return not_asked(EXACT) if "f16>" in text else {}


def not_asked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that `XLA_FLAGS` leave open."""
    flags = _flags()
    return {name: value for name, value in options.items() if name not in flags}


def _open() -> bool:
    """Whether XLA's default is in force, by which YNNPACK is handed what it can take."""
    return FUSIONS not in _flags() and any(map(_knows, _compilers("jaxlib")))


def _flags() -> str:
    """`XLA_FLAGS`, or what stands in the file that they name."""
    flags = os.environ.get("XLA_FLAGS", "").strip()
    named = flags[:1] not in ("", "-") and pathlib.Path(flags).is_file()
    return pathlib.Path(flags).read_text(errors="replace") if named else flags


@functools.cache
def _warn() -> None:
    warnings.warn(
        "this CPU may give programs of your own wrong numbers (jax #39103, openxla #48714): "
        f"import ae_jax before any device is used, or start with XLA_FLAGS=--{FUSIONS}=-reduce",
        RuntimeWarning,
        stacklevel=4,
    )


def _compilers(*packages: str) -> Iterator[pathlib.Path]:
    """The libraries that read `XLA_FLAGS`: jaxlib's and those of plugins for other devices."""
    for package in packages or ("jaxlib", "jax_plugins", "libtpu"):
        spec = importlib.util.find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            for pattern in ("*jax_common*", "*/*plugin*.so", "libtpu.so"):
                yield from sorted(pathlib.Path(folder).glob(pattern))


@functools.cache
def _knows(library: pathlib.Path, flag: str = FUSIONS) -> bool:
    """Whether a compiler has a flag: an unknown name in `XLA_FLAGS` would end the process."""
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return text.find(flag.encode()) >= 0
