"""NumPy's own files, memory-mapped."""

import os
import pathlib
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import IO, Literal

import numpy as np

from ae_jax._registry import SOURCES
from ae_jax.data.dataset import TEST_FRACTION, Dataset, split
from ae_jax.data.intake import fits_device
from ae_jax.data.source import Source
from ae_jax.data.sources.files import ArrayFile, existing_file, of_rows
from ae_jax.errors import DataError, UnknownNameError, nearest

HEADERS = {
    b"\1\0": np.lib.format.read_array_header_1_0,
    b"\2\0": np.lib.format.read_array_header_2_0,
}
LOCAL_HEADER = 30  # of a zip member, before its name and extra field


class PickleError(DataError):
    """An array of Python objects, which only unpickling could read."""


@SOURCES.register
def npy(path: str | os.PathLike, test_fraction: float = TEST_FRACTION) -> Dataset:
    """The array `[n, *event]` of a `.npy` file, memory-mapped.

    Args:
      path: path of the file.
      test_fraction: the share held out by `ae.data.split_mask`.

    Returns:
      A Dataset of the array's own dtype.

    Raises:
      MissingFileError: there is no such file.
      DataError: it is no `.npy` file, is truncated, holds a scalar, fields or no numbers.
    """
    array = _numbers(mapped(existing_file(path)), f"'{path}'")
    return Dataset(*split(of_rows(array), fraction=test_fraction), source=f"npy:{path}")


@SOURCES.register
def npz(path: str | os.PathLike, key: str = "x", test_fraction: float = TEST_FRACTION) -> Dataset:
    """An array of a `.npz` file, memory-mapped where `np.savez` wrote it uncompressed.

    Other arrays of numbers as long as it become extras, but for integers beyond 32 bits; one called
    "observed", bool and of its shape, says which entries count. A file of `x_train`, `x_test`,
    `y_train`, … has its own splits, with extras `y`, …

    Args:
      path: path of the file.
      key: the array's name, without `_train` or `_test`.
      test_fraction: the share held out by `ae.data.split_mask`, where the file has no `_test`.

    Returns:
      A Dataset of the array's own dtype.

    Raises:
      MissingFileError: there is no such file.
      UnknownNameError: it has no array of that name; the nearest is named.
      DataError: it is no `.npz` file, an array is truncated, or the one wanted holds no numbers.
    """
    file = existing_file(path)
    source = f"npz:{path}"
    try:
        with zipfile.ZipFile(file) as archive:
            members = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
            if f"{key}_train" not in members or key in members:
                whole = _part(archive, members, key, "")
                return Dataset(*split(whole, fraction=test_fraction), source=source)
            train = _part(archive, members, key, "_train")
            if f"{key}_test" not in members:
                return Dataset(*split(train, fraction=test_fraction), source=source)
            return Dataset(train, _part(archive, members, key, "_test"), source=source)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"'{file}' is not a whole .npz file: {error}") from error


def _part(
    archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], key: str, suffix: str
) -> Source:
    name = f"{key}{suffix}"
    if name not in members:
        raise UnknownNameError(
            f"'{archive.filename}' has no array '{name}'{nearest(name, members)}"
        )
    x = _numbers(_member(archive, members[name]), f"'{archive.filename}', {name}")
    splits = () if suffix else ("_train", "_test")
    others = {}
    for other, info in members.items():
        if other != name and other.endswith(suffix or "") and not other.endswith(splits):
            try:
                array = _member(archive, info)
            except PickleError:
                continue  # like words
            numbers = array.ndim and array.dtype.kind in "biuf"
            if numbers and len(array) == len(x) and fits_device(array[:]):
                others[other.removesuffix(suffix)] = array
    observed = others.get("observed")
    if observed is not None and (observed.dtype != bool or observed.shape != x.shape):
        raise DataError(
            f"'{archive.filename}': observed must be bool of shape {x.shape}, got "
            f"{observed.dtype} of shape {observed.shape}"
        )
    return of_rows(x, {k: v for k, v in others.items() if k != "observed"}, observed)


def _numbers(array: ArrayFile | np.ndarray, name: str) -> ArrayFile | np.ndarray:
    """The array, or DataError where it holds dates, words, fields or complex numbers."""
    dtype = array.dtype
    if dtype.kind in "biuf":
        return array
    fix = ""
    if dtype.names:
        fields = ", ".join(dtype.names)
        fix = f"; np.lib.recfunctions.structured_to_unstructured makes columns of {fields}"
    raise DataError(f"{name} must be real numbers, got dtype {dtype}{fix}")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> ArrayFile | np.ndarray:
    path = pathlib.Path(str(archive.filename))
    if info.compress_type == zipfile.ZIP_STORED:
        with open(path, "rb") as file:
            file.seek(info.header_offset)
            lengths = struct.unpack("<HH", file.read(LOCAL_HEADER)[26:])
        return mapped(path, info.header_offset + LOCAL_HEADER + sum(lengths), info.filename)
    with archive.open(info) as file:
        shape, order, dtype = header_of(file, _name(path, info.filename))
        data = file.read()
    needed = int(np.prod(shape)) * dtype.itemsize
    if len(data) < needed:
        raise DataError(
            f"'{path}', {info.filename}: expected {needed} bytes of data, found {len(data)}"
        )
    array = np.frombuffer(data[:needed], dtype).reshape(shape, order=order)
    return array.astype(dtype.newbyteorder("="), copy=False)


def mapped(path: pathlib.Path, start: int = 0, member: str = "") -> ArrayFile:
    """The array that a `.npy` file holds, or a file that begins within another.

    Args:
      path: path of the file.
      start: the byte where the `.npy` begins.
      member: its name for messages, where it lies within another file.

    Returns:
      An ArrayFile; only the header is read.

    Raises:
      DataError: it is no `.npy` file, is truncated, holds Python objects or a scalar.
    """
    with open(path, "rb") as file:
        file.seek(start)
        shape, order, dtype = header_of(file, _name(path, member))
        return ArrayFile(str(path), shape, dtype, file.tell(), order)


def _name(path: pathlib.Path, member: str) -> str:
    return f"'{path}', {member}" if member else f"'{path}'"


def header_of(file: IO[bytes], name: str) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype]:
    """Shape, order and dtype; the file then stands at the first byte of the data.

    Args:
      file: stands where the `.npy` begins.
      name: what messages call it.

    Raises:
      DataError: it is no `.npy` file, holds Python objects or a scalar.
    """
    magic = file.read(8)
    if magic[:6] != np.lib.format.MAGIC_PREFIX:
        raise DataError(
            f"{name} is not a .npy file: expected it to begin with {np.lib.format.MAGIC_PREFIX}, "
            f"found {magic[:6]}"
        )
    try:
        shape, fortran, dtype = HEADERS[bytes(magic[6:])](file)
    except (KeyError, ValueError) as error:
        raise DataError(f"{name} has a broken .npy header: {error}") from error
    if dtype.hasobject:
        raise PickleError(f"{name} holds Python objects; expected numbers")
    if not shape:
        raise DataError(f"{name} holds a single number; expected an array [n, *event]")
    return shape, "F" if fortran else "C", dtype
