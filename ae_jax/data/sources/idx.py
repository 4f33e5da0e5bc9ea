"""The file format of MNIST: http://yann.lecun.com/exdb/mnist, "the IDX file format"."""

import gzip
import math
import os
import pathlib
import zlib

import numpy as np

from ae_jax._registry import SOURCES
from ae_jax.data.dataset import Dataset
from ae_jax.data.source import Source
from ae_jax.data.sources.files import ArrayFile, existing_folder, of_rows
from ae_jax.errors import DataError, MissingFileError

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
SPLITS = ("train", "t10k")


@SOURCES.register
def idx(folder: str | os.PathLike) -> Dataset:
    """MNIST and its kin: `train-images-idx3-ubyte`, `t10k-…`, each with or without `.gz`.

    Images `[n, h, w]` become `[n, h, w, 1]`; files that are not compressed are memory-mapped. The
    `…-labels-idx1-ubyte` beside them, if any, become the extra "label".

    Args:
      folder: that holds the files; `train-images.idx3-ubyte` is understood too.

    Returns:
      A Dataset with the files' own splits.

    Raises:
      MissingFileError: the folder or a file does not exist.
      DataError: a wrong magic number, a truncated or damaged file, labels that are not as many as
        the images.
    """
    place = existing_folder(folder)
    images = [_find(place, split, "images") for split in SPLITS]
    labels = [_find(place, split, "labels") for split in SPLITS]
    for paths, what in ((images, "images-idx3"), (labels, "labels-idx1")):
        lacking = [split for split, path in zip(SPLITS, paths, strict=True) if path is None]
        if lacking and (paths is images or len(lacking) == 1):
            raise MissingFileError(f"'{place}' has no {lacking[0]}-{what}-ubyte, with .gz or not")
    train, test = (_load(i, ls) for i, ls in zip(images, labels, strict=True) if i is not None)
    return Dataset(train, test, source=f"idx:{folder}")


def _find(folder: pathlib.Path, split: str, what: str) -> pathlib.Path | None:
    files = sorted(folder.glob(f"{split}-{what}[-.]idx?-ubyte"))
    files += sorted(folder.glob(f"{split}-{what}[-.]idx?-ubyte.gz"))
    return files[0] if files else None


def _load(images: pathlib.Path, labels: pathlib.Path | None) -> Source:
    x = read(images)
    extras = {} if labels is None else {"label": np.asarray(read(labels)[:]).astype(np.int32)}
    if labels is not None and len(extras["label"]) != len(x):
        raise DataError(
            f"'{labels}' has {len(extras['label'])} labels, '{images.name}' {len(x)} images"
        )
    if x.ndim != 3:
        return of_rows(x, extras)
    shape = (*x.shape, 1)
    if isinstance(x, ArrayFile):
        return of_rows(ArrayFile(x.path, shape, x.stored, x.offset), extras)
    return of_rows(x.reshape(shape), extras)


def read(path: pathlib.Path) -> ArrayFile | np.ndarray:
    """The array of an IDX file: mapped, or in memory if it is compressed.

    The file begins with two zero bytes, one for the dtype and one for the number of axes, then the
    size of each axis as a big-endian uint32.

    Args:
      path: path of the file; `.gz` says that it is compressed.

    Raises:
      DataError: a wrong magic number, or not the number of bytes that the header promises.
    """
    if path.suffix == ".gz":
        return _in_memory(path)
    with open(path, "rb") as file:
        dtype, shape, offset = _header(file.read(4 + 4 * 255), path)
    _check_size(path, offset + math.prod(shape) * dtype.itemsize, os.path.getsize(path), shape)
    return ArrayFile(str(path), shape, dtype, offset)


def _in_memory(path: pathlib.Path) -> np.ndarray:
    try:
        with gzip.open(path, "rb") as file:
            data = file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        size = os.path.getsize(path)
        raise DataError(f"'{path}' ({size} bytes) is not a whole gzip file: {error}") from error
    dtype, shape, offset = _header(data, path)
    _check_size(path, offset + math.prod(shape) * dtype.itemsize, len(data), shape)
    array = np.frombuffer(data, dtype, offset=offset).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _header(data: bytes, path: pathlib.Path) -> tuple[np.dtype, tuple[int, ...], int]:
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in DTYPES or not data[3]:
        kinds = ", ".join(f"{code:02x}" for code in DTYPES)
        raise DataError(
            f"'{path}' is not an IDX file: expected the magic number 00 00, a dtype of {kinds}, "
            f"and the number of axes, found {data[:4].hex(' ') or 'nothing'}"
        )
    offset = 4 + 4 * data[3]
    if len(data) < offset:
        raise DataError(
            f"'{path}' is truncated: expected {offset} bytes of header, found {len(data)}"
        )
    shape = tuple(int(n) for n in np.frombuffer(data[4:offset], ">u4"))
    return np.dtype(DTYPES[data[2]]), shape, offset


def _check_size(path: pathlib.Path, expected: int, actual: int, shape: tuple[int, ...]) -> None:
    if actual != expected:
        raise DataError(
            f"'{path}' is {'truncated' if actual < expected else 'too long'}: shape {shape} needs "
            f"{expected} bytes, found {actual}"
        )
