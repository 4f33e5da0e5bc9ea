"""A folder of image files, decoded as they are read."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from ae_jax.data.dataset import TEST_FRACTION, Dataset, split
from ae_jax.data.files import existing_folder
from ae_jax.data.source import Records
from ae_jax.errors import ConfigError, DataError
from ae_jax.registry import SOURCES

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"),
    *(".tif", ".tiff", ".pbm", ".pgm", ".ppm"),
)
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
ON_BAD = ("error", "skip")
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and its values that swap height, width


@SOURCES.register
def images(
    folder: str | os.PathLike,
    size: int | Sequence[int] | None = None,
    channels: int | None = None,
    test_fraction: float = TEST_FRACTION,
    on_bad: str = "error",
) -> Dataset:
    """The images under a folder, in the order of their relative paths: uint8 `[h, w, c]`.

    If there are subfolders, the extra "label" is the place of an image's own among their sorted
    names (`.classes` of the source); images that lie in no subfolder have the name "". Images are
    turned upright as their EXIF data say, and 16-bit grey levels lose their lower half.

    Args:
      folder: searched with all its subfolders for PNG, JPEG, BMP, GIF, WebP, TIFF, PBM, PGM, PPM.
      size: `s` or `(h, w)`: the largest centred part of that shape is cut out and resized to it;
        None: all images must already be of one size, which is checked now.
      channels: 1 (grey), 3 (RGB) or 4 (with alpha), to which all are converted; None: 1 if the
        first image is grey, else 3.
      test_fraction: the share held out by `ae.data.split_mask`.
      on_bad: what a file that cannot be decoded does: "error", or "skip", whereby it becomes zeros
        with `valid` False, which no mean counts.

    Returns:
      A Dataset.

    Raises:
      MissingFileError: the folder does not exist.
      ConfigError: another size, channels or on_bad.
      DataError: no images, two sizes, or (also from `read`) a file that cannot be decoded.
    """
    if on_bad not in ON_BAD:
        raise ConfigError(f"on_bad must be 'error' or 'skip', got {on_bad!r}")
    if channels is not None and channels not in MODES:
        raise ConfigError(f"channels must be 1, 3 or 4, got {channels!r}")
    place = existing_folder(folder)
    names = sorted(
        found.relative_to(place).as_posix()
        for found in place.rglob("*")
        if found.suffix.lower() in SUFFIXES and found.is_file()
    )
    if not names:
        raise DataError(f"'{place}' holds no images: expected files {', '.join(SUFFIXES)}")
    tops = [name.partition("/")[0] if "/" in name else "" for name in names]
    classes, label = np.unique(tops, return_inverse=True)
    known = () if list(classes) == [""] else tuple(classes.tolist())
    whole = Images(str(place), tuple(names), (0, 0, 0), label.astype(np.int32), known, on_bad)
    source = dataclasses.replace(whole, shape=_shape(whole, size, channels), resize=bool(size))
    return Dataset(*split(source, fraction=test_fraction), source=f"images:{folder}")


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """A source of image files.

    Attributes:
      folder: the names are relative to it.
      names: in order.
      shape: `(h, w, c)`, of every example.
      label: int32 `[n]`, places in `classes`.
      classes: the names of the subfolders; empty: there are none, and no extra "label".
      on_bad: "error" or "skip".
      resize: whether images are brought to the shape; else another size is an error.
    """

    folder: str
    names: tuple[str, ...]
    shape: tuple[int, int, int]
    label: np.ndarray
    classes: tuple[str, ...]
    on_bad: str
    resize: bool = False

    @property
    def spec(self) -> Records:
        """See `Source`."""
        scalar = lambda dtype: jax.ShapeDtypeStruct((), dtype)
        return Records(
            jax.ShapeDtypeStruct(self.shape, np.uint8),
            {"label": scalar(np.int32)} if self.classes else {},
            valid=scalar(np.bool_) if self.on_bad == "skip" else None,
        )

    def __len__(self) -> int:
        """How many files there are."""
        return len(self.names)

    def read(self, index: np.ndarray) -> Records:
        """See `Source`."""
        x = np.zeros((len(index), *self.shape), np.uint8)
        valid = np.ones(len(index), bool)
        for row, i in enumerate(index):
            try:
                x[row] = self._decoded(int(i))
            except DataError:
                if self.on_bad == "error":
                    raise
                valid[row] = False
        extras = {"label": self.label[index]} if self.classes else {}
        return Records(x, extras, valid=valid if self.on_bad == "skip" else None)

    def path(self, i: int) -> pathlib.Path:
        """Where image i lies."""
        return pathlib.Path(self.folder, self.names[i])

    def bad(self, i: int, why: object) -> DataError:
        """What is raised for image i."""
        return DataError(f"'{self.path(i)}' (image {i}) {why}")

    @contextlib.contextmanager
    def opened(self, i: int) -> Iterator[Any]:
        """Image i with its header read; whatever a decoder raises becomes a DataError."""
        import PIL.Image

        try:
            with PIL.Image.open(self.path(i)) as image:
                yield image
        except Exception as error:  # decoders raise half a dozen kinds
            hint = "; on_bad='skip' passes over such files" if self.on_bad == "error" else ""
            raise self.bad(i, f"cannot be decoded: {error}{hint}") from error

    def _decoded(self, i: int) -> np.ndarray:
        from PIL import Image, ImageOps

        height, width, channels = self.shape
        with self.opened(i) as image:
            if self.resize:
                image.draft(None, (2 * width, 2 * height))  # JPEGs may be decoded smaller
            ImageOps.exif_transpose(image, in_place=True)
            image = _grey8(image).convert(MODES[channels])
        if self.resize and image.size != (width, height):
            scale = min(image.width / width, image.height / height)
            cut = round(width * scale), round(height * scale)
            left, top = (image.width - cut[0]) // 2, (image.height - cut[1]) // 2
            image = image.crop((left, top, left + cut[0], top + cut[1]))
            image = image.resize((width, height), Image.Resampling.BICUBIC)
        if image.size != (width, height):
            raise self.bad(i, f"is {image.height}x{image.width}; expected {height}x{width}")
        return np.asarray(image).reshape(self.shape)


def _grey8(image: Any) -> Any:
    """Grey levels of 16 bits in 8, where Pillow's own conversion would clip them."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if not image.mode.startswith("I"):
        return image
    from PIL import Image

    return Image.fromarray(np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8))


def _shape(
    whole: Images, size: int | Sequence[int] | None, channels: int | None
) -> tuple[int, int, int]:
    """Of every example; without a size, raises DataError for the first image of another one."""
    found = None
    for i in range(len(whole)):
        try:
            with whole.opened(i) as image:
                # For a PNG, which hardly ever has any, this would decode the image.
                turned = image.format != "PNG" and image.getexif().get(ORIENTATION) in TURNED
                own = image.size if turned else image.size[::-1]
                grey = image.mode in ("1", "L") or image.mode.startswith("I")
        except DataError:
            if whole.on_bad == "error":
                raise
            continue
        if found is None:
            found, channels = own, channels or (1 if grey else 3)
            if size is not None:
                return (*height_width(size), channels)
        elif own != found:
            least = min(*own, *found)
            raise whole.bad(
                i,
                f"is {own[0]}x{own[1]}, those before it are {found[0]}x{found[1]}: give a size, "
                f"e.g. size={least}, to crop and resize all",
            )
    if found is None or channels is None:
        raise DataError(f"none of the {len(whole)} images under '{whole.folder}' can be decoded")
    return (*found, channels)


def height_width(size: Any) -> tuple[int, int]:
    """`(h, w)` of a size given as `s` or `(h, w)`; raises ConfigError for anything else."""
    pair = tuple(size) if isinstance(size, list | tuple) else (size, size)
    whole = lambda n: isinstance(n, int) and not isinstance(n, bool) and n > 0
    if len(pair) != 2 or not all(map(whole, pair)):
        raise ConfigError(f"size must be a positive whole number or a pair (h, w), got {size!r}")
    return pair[0], pair[1]
