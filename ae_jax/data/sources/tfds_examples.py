"""One split of a TFDS data set that is prepared as ArrayRecord, read without TensorFlow."""

import dataclasses
import functools
import itertools
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ae_jax.data.source import Records
from ae_jax.data.sources.files import require
from ae_jax.data.sources.pixels import MODES
from ae_jax.errors import ConfigError, DataError, MissingFileError, UnknownNameError, nearest

NARROW = {np.dtype(np.int64): np.dtype(np.int32), np.dtype(np.float64): np.dtype(np.float32)}


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """A source of one split of a prepared TFDS data set. It pickles as what it is made of.

    Attributes:
      folder: folder of one version of one config, which holds dataset_info.json.
      split: split in TFDS's syntax.
      field: the feature that is x; None: the image.
      size: `(h, w)` images are brought to; None: they have one size.
      on_bad: "error" or "skip".
    """

    folder: str
    split: str
    field: str | None = None
    size: tuple[int, int] | None = None
    on_bad: str = "error"

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @functools.cached_property
    def builder(self) -> Any:
        """TFDS's own, made from the files alone."""
        return library().builder_from_directory(self.folder)

    @functools.cached_property
    def name(self) -> str:
        """The data set's full name, with config and version, and the split."""
        return f"{self.builder.info.full_name} {self.split}"

    @functools.cached_property
    def features(self) -> dict[str, Any]:
        """Of an example, by name: x first, then the scalars."""
        known = self.builder.info.features
        x = self.field or _image(known, self.builder.info.full_name)
        if x not in known:
            raise UnknownNameError(
                f"{self.builder.info.full_name} has no feature '{x}'{nearest(x, known)}"
            )
        scalars = {k: f for k, f in known.items() if k != x and f.shape == () and _numeric(f)}
        return {x: known[x], **scalars}

    @property
    def spec(self) -> Records:
        """See `Source`."""
        return self._spec

    @functools.cached_property
    def _spec(self) -> Records:
        (x, feature), *scalars = self.features.items()
        shape, dtype = feature.shape, _dtype(feature)
        if self.size is not None:
            if len(shape) != 3 or dtype != np.uint8 or shape[-1] not in (None, *MODES):
                raise ConfigError(
                    f"size is for uint8 images of 1, 3 or 4 channels; '{x}' of {self.name} is "
                    f"{feature}"
                )
            shape = (*self.size, shape[-1] or 3)
        if not _numeric(feature) or not shape or None in shape:
            hint = "; give a size, e.g. size=64" if len(shape) == 3 and dtype == np.uint8 else ""
            raise ConfigError(
                f"'{x}' of {self.name} must be an array of numbers of one shape, got "
                f"{feature}{hint}"
            )
        struct = jax.ShapeDtypeStruct
        extras = {k: struct((), _dtype(f)) for k, f in scalars}
        valid = struct((), np.bool_) if self.on_bad == "skip" else None
        return Records(struct(shape, dtype), extras, valid=valid)

    @functools.cached_property
    def shards(self) -> list[Any]:
        """What is read of which file: TFDS's file instructions."""
        splits = self.builder.info.splits
        try:
            info = splits[self.split]
        except (ValueError, KeyError) as error:
            for base in re.sub(r"\[[^]]*\]", "", self.split).split("+"):
                if base not in splits:
                    whole = self.builder.info.full_name
                    hint = nearest(base, splits)
                    raise UnknownNameError(f"{whole} has no split '{base}'{hint}") from error
            raise ConfigError(f"the split '{self.split}' cannot be read: {error}") from error
        if info.num_examples < 1:
            raise ConfigError(f"the split '{self.split}' of {self.name} holds no examples")
        return info.file_instructions

    def checked(self) -> "Examples":
        """Returns itself if spec, split and every file are in order; else raises."""
        _ = self.spec
        for shard in self.shards:
            if not os.path.exists(shard.filename):
                raise MissingFileError(f"'{shard.filename}' of {self.name} is missing")
            count, why = _count(os.fspath(shard.filename))
            if count != shard.examples_in_shard:
                raise DataError(
                    f"'{shard.filename}' is truncated or damaged: expected "
                    f"{shard.examples_in_shard} records, found {count}{why}. To build it anew: "
                    f"{rebuilding(self.builder)}"
                )
        return self

    @functools.cached_property
    def records(self) -> Any:
        """The serialised examples, as `array_record`'s data source."""
        from tensorflow_datasets.core.decode import DeserializeMethod

        raw = DeserializeMethod.RAW_BYTES
        return self.builder.as_data_source(self.split, deserialize_method=raw).data_source

    @functools.cached_property
    def parser(self) -> Any:
        """From the bytes of a record to a dict of the features that are wanted."""
        return library().features.FeaturesDict(self.features).deserialize_example_np

    def __len__(self) -> int:
        """How many examples there are."""
        return sum(shard.take for shard in self.shards)

    def read(self, index: np.ndarray) -> Records:
        """See `Source`."""
        spec = self.spec
        empty = lambda field: np.zeros((len(index), *field.shape), field.dtype)
        x, extras = empty(spec.x), {key: empty(field) for key, field in spec.extras.items()}
        valid = np.zeros(len(index), bool)
        for row, (i, record) in enumerate(self._raw([int(i) for i in index])):
            try:
                if isinstance(record, Exception):
                    raise record
                example = self.parser(record)
                x[row] = self._fitted(example[next(iter(self.features))])
                for key, values in extras.items():
                    values[row] = example[key]
                valid[row] = True
            except Exception as error:  # decoders raise whatever they like
                if self.on_bad == "error":
                    raise self._bad(i, error) from error
                for values in (x, *extras.values()):
                    values[row] = 0
        return Records(x, extras, valid=valid if self.on_bad == "skip" else None)

    def _raw(self, index: list[int]) -> Iterator[tuple[int, Any]]:
        try:
            return zip(index, self.records.__getitems__(index) if index else [], strict=True)
        except Exception:  # at least one is damaged: which?
            return ((i, self._alone(i)) for i in index)

    def _alone(self, i: int) -> Any:
        try:
            return self.records[i]
        except Exception as error:
            return error

    def _fitted(self, x: np.ndarray) -> np.ndarray:
        shape = self.spec.x.shape
        if self.size is not None:
            from PIL import Image, ImageOps

            image = Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x).convert(MODES[shape[2]])
            if image.size != (shape[1], shape[0]):
                image = ImageOps.fit(image, (shape[1], shape[0]), Image.Resampling.BICUBIC)
            return np.asarray(image).reshape(shape)
        if x.shape != shape:
            raise ValueError(f"expected shape {shape}, found {x.shape}")
        return x

    def _bad(self, i: int, error: Exception) -> DataError:
        ends = list(itertools.accumulate(shard.take for shard in self.shards))
        which = next(k for k, end in enumerate(ends) if i < end)
        shard = self.shards[which]
        place = i - (ends[which] - shard.take) + shard.skip
        return DataError(
            f"record {i} of {self.name} cannot be read: {error}; it is record {place} of "
            f"'{shard.filename}'. on_bad='skip' passes over such records"
        )


def _count(path: str) -> tuple[int, str]:
    """How many records an ArrayRecord file holds, and what is said of one that cannot be read."""
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    try:
        return len(ArrayRecordDataSource([path])), ""
    except RuntimeError as error:
        return 0, f" ({error})"


def library() -> Any:
    """The module tensorflow_datasets; raises MissingFileError without it."""
    return require("tensorflow_datasets", "reading a TFDS data set", "tensorflow-datasets")


def rebuilding(builder: Any) -> str:
    """The command that prepares the data set of a builder anew."""
    place = pathlib.Path(builder.data_path).parents[builder.info.full_name.count("/")]
    name = re.sub("/([^/]*)$", r":\1", builder.info.full_name)
    return f"ae-jax prepare --dataset={name} --data_dir={place} --overwrite"


def _image(features: Any, name: str) -> str:
    images = [k for k, f in features.items() if type(f) is library().features.Image]
    if len(images) > 1 and "image" in images:
        return "image"
    if len(images) != 1:
        which = f"several images, {', '.join(images)}" if images else "no image"
        raise ConfigError(
            f"{name} has {which}: name the feature that is x, field=…{nearest('', features)}"
        )
    return images[0]


def _dtype(feature: Any) -> np.dtype:
    """Of a feature's numbers, at most 32 bits wide; object for text and nested features."""
    nested = isinstance(feature.np_dtype, dict)
    dtype = np.dtype(object if nested else feature.np_dtype)
    return NARROW.get(dtype, dtype)


def _numeric(feature: Any) -> bool:
    return _dtype(feature).kind in "biuf"
