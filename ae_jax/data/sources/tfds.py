"""TFDS data sets that are prepared as ArrayRecord, read without TensorFlow."""

import difflib
import functools
import itertools
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ae_jax._registry import SOURCES
from ae_jax.data.dataset import TEST_FRACTION, Dataset, split
from ae_jax.data.source import Source, nbytes
from ae_jax.data.sources.cache import cached, folders
from ae_jax.data.sources.images import ON_BAD, height_width
from ae_jax.data.sources.tfds_examples import Examples, library, rebuilding
from ae_jax.errors import ConfigError, DataError, MissingFileError, UnknownNameError

CACHES = "decoded"  # the folder of decode-once caches, within that of the data set


@SOURCES.register
def tfds(
    name: str,
    *,
    train: str = "train",
    test: str | None = None,
    field: str | None = None,
    size: int | Sequence[int] | None = None,
    data_dir: str | os.PathLike | None = None,
    cache: bool | str | os.PathLike = "auto",
    on_bad: str = "error",
    test_fraction: float | None = None,
) -> Dataset:
    """A TFDS data set that `ae-jax prepare` has prepared: images in uint8 `[h, w, c]`.

    Numbers of one value an example, labels among them, become extras of the same name, at most 32
    bits wide. TensorFlow is not imported. Data set: https://www.tensorflow.org/datasets.

    Args:
      name: as TFDS spells it, "fashion_mnist", "name/config", "name:1.0.0", "name/config:1.*.*".
      train: what is learned from, in TFDS's split syntax: "train", "train[:90%]", "train+extra".
      test: what is evaluated on, in the same syntax; None: "test" where there is one, else a
        held-out part.
      field: the feature that is x, an image or an array of numbers; None: the image.
      size: `s` or `(h, w)`: the largest centred part of that shape is cut out and resized to it;
        needed where images are of several sizes.
      data_dir: folder where TFDS keeps its data; None: `$TFDS_DATA_DIR`, or else
        ~/tensorflow_datasets.
      cache: decode once and memory-map from then on. "auto": in `decoded/` of the data set, or in
        the user's cache where that cannot be written, if both splits take at most 4 GiB; True: of
        any size; a folder: there; False: decode at each reading.
      on_bad: what a record that cannot be read does: "error", or "skip", whereby it becomes zeros
        with `valid` False, which no mean counts.
      test_fraction: the share of `train` held out by `ae.data.split_mask` for evaluation, instead
        of a test split; None: 0.1 where there is no test split.

    Returns:
      A Dataset.

    Raises:
      MissingFileError: it is not prepared (the command that prepares it is named), a file is
        missing, or tensorflow-datasets is not installed.
      UnknownNameError: no such data set, split or feature; the nearest is named.
      ConfigError: another on_bad, cache or size, a malformed split, splits that overlap.
      DataError: a file is not ArrayRecord or is damaged, or (from `read`) a record is.
      CacheError: the cache cannot be written.
    """
    if on_bad not in ON_BAD:
        raise ConfigError(f"on_bad must be 'error' or 'skip', got {on_bad!r}")
    if test is not None and test_fraction is not None:
        raise ConfigError(f"give test={test!r} or test_fraction={test_fraction!r}, not both")
    folder = prepared(name, data_dir)
    shape = None if size is None else height_width(size)
    part = functools.partial(Examples, str(folder), field=field, size=shape, on_bad=on_bad)
    first = part(train).checked()
    if test is None and test_fraction is None and "test" in first.builder.info.splits:
        test = "test"
    parts = [first] if test is None else [first, part(test).checked()]
    _check_disjoint(*parts)
    total = sum(map(nbytes, parts))
    read = [_through_cache(part, folders(cache, folder / CACHES, total)) for part in parts]
    if test is None:
        fraction = TEST_FRACTION if test_fraction is None else test_fraction
        read = split(read[0], fraction=fraction)
    value_range = (0.0, 255.0) if first.spec.x.dtype == np.uint8 else None
    return Dataset(*read, source=f"tfds:{name}", value_range=value_range)


def _through_cache(part: Examples, places: list[pathlib.Path]) -> Source:
    if not places:
        return part
    files = [pathlib.Path(shard.filename).stat() for shard in part.shards]
    key = {
        "kind": "tfds",
        "name": part.name,
        "field": part.field,
        "size": part.size,
        "on_bad": part.on_bad,
        "files": [(file.st_size, file.st_mtime_ns) for file in files],
    }
    return cached(part, places, key, part.name.replace("/", "-").replace(" ", "-"))


def prepared(name: str, data_dir: str | os.PathLike | None = None) -> pathlib.Path:
    """The folder of the wanted version and config of a TFDS data set.

    Raises:
      MissingFileError: it is not there, or tensorflow-datasets is not installed.
      UnknownNameError: nor does TFDS know one of this name.
      ConfigError: it is no name of a data set.
      DataError: it is there, but damaged or not as ArrayRecord.
    """
    builder = find(name, data_dir)
    if "array_record" not in {form.value for form in builder.info.available_file_formats()}:
        raise DataError(
            f"'{builder.data_path}' holds {builder.info.file_format.value} files; expected "
            f"array_record. To replace them: {rebuilding(builder)}"
        )
    return pathlib.Path(builder.data_path)


def find(name: str, data_dir: str | os.PathLike | None = None) -> Any:
    """TFDS's builder of what is prepared, in whatever format; raises like `prepared`."""
    core = library().core
    try:
        core.naming.parse_builder_name_kwargs(name)
    except ValueError as error:
        raise ConfigError(f"'{name}' is no name of a TFDS data set: {error}") from error
    place = core.constants.DATA_DIR if data_dir is None else os.path.expanduser(data_dir)
    try:
        return core.read_only_builder.builder_from_files(name, data_dir=place)
    except core.registered.DatasetNotFoundError as error:
        raise _not_prepared(name, place) from error
    except Exception as error:  # whatever TFDS makes of a damaged features.json
        raise DataError(f"what '{place}' holds of '{name}' cannot be read: {error}") from error


def _not_prepared(name: str, place: str) -> Exception:
    base = re.split("[/:]", name)[0]
    known = library().list_builders(with_community_datasets=False)
    versions = sorted(
        path.parent for path in pathlib.Path(place, base).glob("**/dataset_info.json")
    )
    if base not in known and not versions:
        close = difflib.get_close_matches(base, known, n=1, cutoff=0.5)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        return UnknownNameError(f"TFDS has no data set '{base}', and '{place}' none prepared{hint}")
    beside = f"; there are {', '.join(map(str, versions))}" if versions else ""
    return MissingFileError(
        f"the TFDS data set '{name}' is not prepared in '{place}'{beside}. To prepare it: "
        f"ae-jax prepare --dataset={name} --data_dir={place}"
    )


def _check_disjoint(train: Examples, test: Examples | None = None) -> None:
    for a, b in itertools.product(train.shards, test.shards if test else ()):
        if a.filename == b.filename and max(a.skip, b.skip) < min(a.skip + a.take, b.skip + b.take):
            raise ConfigError(
                f"train='{train.split}' and test='{test.split if test else ''}' share examples of "
                f"'{a.filename}'"
            )
