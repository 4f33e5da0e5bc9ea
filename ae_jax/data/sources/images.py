"""A folder of image files, decoded as they are read."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from ae_jax._registry import SOURCES
from ae_jax.data.dataset import TEST_FRACTION, Dataset, split_mask
from ae_jax.data.source import Records, Source, Subset
from ae_jax.data.sources import pixels
from ae_jax.data.sources.files import existing_folder
from ae_jax.data.sources.image_files import by_split, classes_of, listed
from ae_jax.data.sources.pixels import MODES, UINT16, Form
from ae_jax.errors import ConfigError, DataError

ON_BAD = ("error", "skip")
FRAMES = (None, "first", "all")


@SOURCES.register
def images(
    folder: str | os.PathLike,
    size: int | Sequence[int] | None = None,
    channels: int | None = None,
    test_fraction: float = TEST_FRACTION,
    on_bad: str = "error",
    frames: str | None = None,
    bits: int | None = None,
    splits: bool | None = None,
) -> Dataset:
    """The images under a folder, in the order of their relative paths: `[h, w, c]`.

    uint8, or uint16 where all are grey levels of 16 bits, scaled by 65,535, or float32 where all
    are TIFF of 32 bits, integers or floats, standardised. Folders of several depths are refused.

    If there are subfolders, the extra "label" is the place of an image's own among their sorted
    names (`.classes` of the source); images that lie in no subfolder have the name "". If they are
    called train and test or val (training, testing, valid, validation), they are the splits and
    those within them classes, the same ones in each; val is validation if there is a test, else
    the test split. Links are followed; hidden files and folders are left out.

    Images are turned upright as their EXIF data say; CMYK becomes RGB without its colour profile.

    Args:
      folder: searched with all its subfolders for PNG, JPEG, BMP, GIF, WebP, TIFF, PBM, PGM, PPM.
      size: `s` or `(h, w)`: the largest centred part of that shape is cut out and resized to it;
        None: all images must already be of one size, which is checked now.
      channels: 1 (grey), 3 (RGB) or 4 (with alpha), to which all are converted, whatever they lose;
        None: 1 if the first image is grey, else 3, and an image with transparent pixels, or with
        colours where there is room for none, is bad.
      test_fraction: the share held out by `ae.data.split_mask`, where the folder has no test split.
      on_bad: what a file that cannot be read does: "error", or "skip", whereby it becomes zeros
        with `valid` False, which no mean counts. Other formats of images and films, such as HEIC
        and SVG, and links to nothing are an error too, or a warning that counts them.
      frames: "first" takes the first of an animation or of a TIFF's pages, "all" makes each an
        example, those of one file in one split; None: an image of several is bad.
      bits: 8 takes the upper 8 of 16 bits; None: all are kept, and colours of 16 bits are bad, for
        they cannot be read whole.
      splits: False: subfolders called train and test are classes; True: they must be there.

    Returns:
      A Dataset.

    Raises:
      MissingFileError: the folder does not exist.
      ConfigError: another size, channels, on_bad, frames or bits.
      DataError: no images, two sizes or depths, splits of several classes, or (also from `read`) a
        file that cannot be read.
    """
    for name, value, allowed in (("on_bad", on_bad, ON_BAD), ("frames", frames, FRAMES)):
        if value not in allowed:
            choices = " or ".join(repr(choice) for choice in allowed if choice)
            raise ConfigError(f"{name} must be {choices}, got {value!r}")
    if channels is not None and channels not in MODES:
        raise ConfigError(f"channels must be 1, 3 or 4, got {channels!r}")
    if bits not in (None, 8):
        raise ConfigError(f"bits must be 8, or None to keep what there is, got {bits!r}")
    place = existing_folder(folder)
    files = by_split(listed(place, on_bad), splits, place)
    tops = classes_of(files, place)
    names = tuple(name for _, within in files.values() for name in within)
    classes, label = np.unique([c for split in tops.values() for c in split], return_inverse=True)
    known = () if list(classes) == [""] else tuple(classes.tolist())
    form = Form((0, 0, 0), frames=frames, bits=bits, lossy=channels is not None)
    whole = Images(str(place), names, form, label.astype(np.int32), known, on_bad)
    form, counts = _scan(whole, size, channels)
    several = bool((counts > 1).any())
    rows = _rows(counts) if several else None
    source = dataclasses.replace(whole, form=form, rows=rows)
    file = np.arange(len(names)) if rows is None else rows[:, 0]
    sizes = {split: len(within) for split, (_, within) in files.items()}
    parts = _parts(source, file, sizes, test_fraction)
    return Dataset(
        parts["train"],
        parts["test"],
        parts.get("validation"),
        source=f"images:{folder}",
        value_range=(0.0, 65535.0) if form.dtype == UINT16 else None,
        overlapping=several,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """A source of image files.

    Attributes:
      folder: the names are relative to it.
      names: names of the files.
      form: form of every example.
      label: int32, of each file its place in `classes`.
      classes: the names of the subfolders; empty: there are none, and no extra "label".
      on_bad: "error" or "skip".
      rows: int32 `[n, 2]`, file and frame of each example; None: each file is one.
    """

    folder: str
    names: tuple[str, ...]
    form: Form
    label: np.ndarray
    classes: tuple[str, ...]
    on_bad: str
    rows: np.ndarray | None = None

    @property
    def spec(self) -> Records:
        """See `Source`."""
        scalar = lambda dtype: jax.ShapeDtypeStruct((), dtype)
        return Records(
            jax.ShapeDtypeStruct(self.form.shape, self.form.dtype),
            {"label": scalar(np.int32)} if self.classes else {},
            valid=scalar(np.bool_) if self.on_bad == "skip" else None,
        )

    def __len__(self) -> int:
        """How many examples there are."""
        return len(self.names if self.rows is None else self.rows)

    def read(self, index: np.ndarray) -> Records:
        """See `Source`."""
        x = np.zeros((len(index), *self.form.shape), self.form.dtype)
        valid = np.ones(len(index), bool)
        places = [self._place(int(i)) for i in index]
        for row, (file, frame) in enumerate(places):
            try:
                with self.opened(file, frame) as image:
                    x[row] = pixels.decoded(image, self.form, frame)
            except DataError:
                if self.on_bad == "error":
                    raise
                valid[row] = False
        files = np.array([file for file, _ in places], int)
        extras = {"label": self.label[files]} if self.classes else {}
        return Records(x, extras, valid=valid if self.on_bad == "skip" else None)

    def _place(self, i: int) -> tuple[int, int]:
        """File and frame of an example."""
        return (i, 0) if self.rows is None else (int(self.rows[i, 0]), int(self.rows[i, 1]))

    def path(self, file: int) -> pathlib.Path:
        """Where a file lies."""
        return pathlib.Path(self.folder, self.names[file])

    def bad(self, file: int, why: object, frame: int = 0) -> DataError:
        """What is raised for a file."""
        which = f"image {file}, frame {frame}" if frame else f"image {file}"
        return DataError(f"'{self.path(file)}' ({which}) {why}")

    @contextlib.contextmanager
    def opened(self, file: int, frame: int = 0) -> Iterator[Any]:
        """An image with its header read; whatever a decoder raises becomes a DataError."""
        import PIL.Image

        try:
            # Not by its path: Pillow 13 maps such a TIFF into memory and turns it wrongly.
            with open(self.path(file), "rb") as stream, PIL.Image.open(stream) as image:
                yield image
        except Exception as error:  # decoders raise half a dozen kinds
            why = str(error) if isinstance(error, DataError) else f"cannot be decoded: {error}"
            hint = "; on_bad='skip' passes over such files" if self.on_bad == "error" else ""
            raise self.bad(file, f"{why}{hint}", frame) from error


def _scan(
    whole: Images, size: int | Sequence[int] | None, channels: int | None
) -> tuple[Form, np.ndarray]:
    """The form of every example, and how many examples each file holds.

    Raises:
      DataError: for the first image of another depth or, without a size, of another size.
    """
    first, counts = None, np.ones(len(whole), int)
    form = whole.form
    for i in range(len(whole)):
        try:
            with whole.opened(i) as image:
                header = pixels.header(image, form.frames, form.bits)
        except DataError:
            if whole.on_bad == "error":
                raise
            continue
        counts[i] = header.frames if form.frames == "all" else 1
        if first is None:
            first = header
            shape = first.size if size is None else height_width(size)
            form = form._replace(
                shape=(*shape, channels or first.channels),
                dtype=first.dtype,
                example=whole.names[i],
                resize=size is not None,
            )
            if size is not None and form.frames != "all":
                break
        elif header.dtype != first.dtype:
            raise whole.bad(i, pixels.other_depth(header.dtype, form))
        elif size is None and header.size != first.size:
            least = min(*header.size, *first.size)
            (h, w), (height, width) = header.size, first.size
            raise whole.bad(
                i,
                f"is {h}x{w}, those before it are {height}x{width}: give a size, e.g. "
                f"size={least}, to crop and resize all",
            )
    if first is None:
        raise DataError(f"none of the {len(whole)} images under '{whole.folder}' can be decoded")
    return form, counts


def _rows(counts: np.ndarray) -> np.ndarray:
    """File and frame of each example, int32 `[n, 2]`, where files hold so many."""
    file = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    return np.stack([file, np.arange(len(file)) - first[file]], axis=1).astype(np.int32)


def _parts(
    source: Images, file: np.ndarray, sizes: dict[str, int], test_fraction: float
) -> dict[str, Source]:
    """The splits of a source whose files lie split after split; a test split is held out by files.

    Args:
      source: source of all splits.
      file: `[n]`, of each example.
      sizes: how many files each split has.
      test_fraction: held out of training where there is no test split.
    """
    ends = np.cumsum(list(sizes.values()))
    parts = dict(zip(sizes, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
    if "test" not in parts:
        held_out = split_mask(len(parts["train"]), test_fraction)
        parts["train"], parts["test"] = parts["train"][~held_out], parts["train"][held_out]
    return {
        split: Subset(source, np.flatnonzero(np.isin(file, files)))
        for split, files in parts.items()
    }


def height_width(size: Any) -> tuple[int, int]:
    """`(h, w)` of a size given as `s` or `(h, w)`; raises ConfigError for anything else."""
    pair = tuple(size) if isinstance(size, list | tuple) else (size, size)
    whole = lambda n: isinstance(n, int) and not isinstance(n, bool) and n > 0
    if len(pair) != 2 or not all(map(whole, pair)):
        raise ConfigError(f"size must be a positive whole number or a pair (h, w), got {size!r}")
    return pair[0], pair[1]
