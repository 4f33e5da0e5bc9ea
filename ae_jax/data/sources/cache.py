"""The decode-once cache: a source's examples as `.npy` files, made once, then memory-mapped."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import sys
import time
import urllib.parse
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ae_jax.data.source import PIECE, Source, nbytes
from ae_jax.data.sources.files import Rows
from ae_jax.data.sources.npy import mapped
from ae_jax.errors import AeJaxError, CacheError, ConfigError

VERSION = 1
LIMIT = 4 * 2**30
"""The decoded size, in bytes, up to which data are cached without being asked to."""
MANIFEST = "manifest.json"
PIECE_BYTES = 64 * 2**20
BLOCK, BLOCKS = 2**20, 64  # a checksum covers so many blocks, spread evenly
ATTEMPTS = 10
STALE = 24 * 3600  # seconds after which what a killed process was writing is cleared away


def folders(
    cache: bool | str | os.PathLike, beside: str | os.PathLike, size: int
) -> list[pathlib.Path]:
    """Where the cache of a data set may lie, best first; empty for no cache.

    Args:
      cache: "auto": beside the data, or else in `user_folder`, if decoded they take at most 4 GiB;
        True: so, of any size; a folder: there alone; False: nowhere.
      beside: a folder of the data set's own.
      size: size of all examples, decoded, in bytes.

    Returns:
      Folders for `cached`.

    Raises:
      ConfigError: another value of `cache`.
    """
    if cache is False or (cache == "auto" and size > LIMIT):
        return []
    if cache is True or cache == "auto":
        return [pathlib.Path(beside), user_folder()]
    if not isinstance(cache, str | os.PathLike) or not os.fspath(cache):
        raise ConfigError(f'cache must be "auto", True, False or a folder, got {cache!r}')
    return [pathlib.Path(cache).expanduser()]


def user_folder() -> pathlib.Path:
    """`$XDG_CACHE_HOME/ae_jax/data`, by default in `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home) / "ae_jax" / "data"


def cached(
    source: Source, places: Sequence[pathlib.Path], key: Mapping[str, Any], name: str
) -> Rows:
    """The source's examples out of a cache, which is made if there is none.

    A cache is a folder of one `.npy` file a field and a manifest with the key, each file's shape,
    dtype and checksum (CRC-32 of the whole file up to 64 MiB, of 64 blocks of 1 MiB beyond). It is
    written under another name and renamed when complete, so a half-written one is never read, and
    of two processes that make it at once the first to end decides. One that is damaged, or of
    another key or version of this library's format, is made again.

    Args:
      source: read in order, once.
      places: folders; the first that holds the cache, or else the first that can be written.
      key: JSON values that say whose examples these are; another key is another cache.
      name: name of the data, for the cache's folder, the progress bar and messages.

    Returns:
      A source that reads the files.

    Raises:
      CacheError: no folder can be written, or the disk is full; nothing is left behind.
      DataError: from the source.
    """
    key = json.loads(json.dumps(key))
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    folder_name = f"{urllib.parse.quote(name, safe='')}-{digest}"
    for place in places:
        if (opened := _opened(place / folder_name, source, key)) is not None:
            return opened
    refused = []
    for place in places:
        building = place / f".{folder_name}.{uuid.uuid4().hex}"
        try:
            building.mkdir(parents=True)
        except OSError as error:
            refused.append(f"'{place}' cannot be written: {error}")
            continue
        _clear_stale(place, folder_name)
        return _made(source, building, place / folder_name, key, name)
    raise CacheError(
        f"no cache of the {name} data can be made: {'; '.join(refused)}. Name a folder that can be "
        'written, cache="FOLDER", or do without, cache=False'
    )


def _made(
    source: Source, building: pathlib.Path, final: pathlib.Path, key: Mapping[str, Any], name: str
) -> Rows:
    try:
        _write(source, building, key, name)
        return _published(source, building, final, key)
    except AeJaxError:
        raise
    except OSError as error:
        free = shutil.disk_usage(final.parent).free
        raise CacheError(
            f"writing the cache of the {name} data to '{final}' failed: {error}; it takes "
            f"{nbytes(source) / 2**20:.0f} MiB, {free / 2**20:.0f} are free. Make room, name "
            'another folder, cache="FOLDER", or do without, cache=False'
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write(source: Source, folder: pathlib.Path, key: Mapping[str, Any], name: str) -> None:
    from tqdm import tqdm

    fields, size = _fields(source), len(source)
    step = max(1, min(PIECE, PIECE_BYTES * size // max(1, nbytes(source))))
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(folder / file, "wb")) for file in fields]
        for file, spec in zip(files, fields.values(), strict=True):
            np.lib.format.write_array_header_2_0(file, _header(size, spec))
        pause = 0.5 if sys.stderr.isatty() else 10.0
        bar = tqdm(total=size, desc=f"caching {name}", unit=" examples", mininterval=pause)
        stack.enter_context(bar)
        for start in range(0, size, step):
            index = np.arange(start, min(start + step, size))
            leaves = jax.tree.leaves(source.read(index))
            for file, leaf, spec in zip(files, leaves, fields.values(), strict=True):
                file.write(np.ascontiguousarray(leaf, spec.dtype).data)
            bar.update(len(index))
        for file in files:
            file.flush()
            os.fsync(file.fileno())
    sums = {file: _checksum(folder / file) for file in fields}
    text = json.dumps({**_manifest(source, key), "crc32": sums}, indent=2)
    (folder / MANIFEST).write_text(text)


def _published(
    source: Source, building: pathlib.Path, final: pathlib.Path, key: Mapping[str, Any]
) -> Rows:
    for _ in range(ATTEMPTS):  # other processes may be replacing a damaged one just now
        with contextlib.suppress(OSError):
            os.rename(building, final)
        if (result := _opened(final, source, key)) is not None:
            return result
        aside = final.with_name(f".{final.name}.{uuid.uuid4().hex}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(final, aside)
            shutil.rmtree(aside, ignore_errors=True)
    raise CacheError(f"the cache '{final}' cannot be read back after it was written")


def _opened(folder: pathlib.Path, source: Source, key: Mapping[str, Any]) -> Rows | None:
    """The cache in a folder, or None if it is not there, not this one's, or not whole."""
    fields = _fields(source)
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if {**manifest, "crc32": None} != {**_manifest(source, key), "crc32": None}:
            return None
        arrays = [mapped(folder / file) for file in fields]
        for file, array, spec in zip(fields, arrays, fields.values(), strict=True):
            if array.shape != (len(source), *spec.shape) or array.dtype != spec.dtype:
                return None
            if manifest["crc32"][file] != _checksum(folder / file):
                return None
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return Rows(*jax.tree.unflatten(jax.tree.structure(source.spec), arrays))


def _fields(source: Source) -> dict[str, jax.ShapeDtypeStruct]:
    """Each field's file name and spec, in the order of `jax.tree.leaves`."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(source.spec)
    simple = lambda path: jax.tree_util.keystr(path, simple=True, separator=".")
    return {f"{urllib.parse.quote(simple(path), safe='')}.npy": spec for path, spec in leaves}


def _header(size: int, spec: jax.ShapeDtypeStruct) -> dict[str, Any]:
    descr = np.lib.format.dtype_to_descr(np.dtype(spec.dtype))
    return {"descr": descr, "fortran_order": False, "shape": (size, *spec.shape)}


def _manifest(source: Source, key: Mapping[str, Any]) -> dict[str, Any]:
    headers = {file: _header(len(source), spec) for file, spec in _fields(source).items()}
    shapes = {file: [header["descr"], *header["shape"]] for file, header in headers.items()}
    return {"version": VERSION, "key": key, "fields": shapes}


def _checksum(path: pathlib.Path) -> int:
    value, size = 0, path.stat().st_size
    with open(path, "rb") as file:
        for start in _block_starts(size):
            file.seek(start)
            value = zlib.crc32(file.read(BLOCK), value)
    return zlib.crc32(str(size).encode(), value)


def _block_starts(size: int) -> Iterator[int]:
    if size <= BLOCK * BLOCKS:
        yield from range(0, size, BLOCK)
    else:
        yield from (i * (size - BLOCK) // (BLOCKS - 1) for i in range(BLOCKS))


def _clear_stale(place: pathlib.Path, folder_name: str) -> None:
    for left in place.glob(f".{folder_name}.*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE:
                shutil.rmtree(left, ignore_errors=True)
