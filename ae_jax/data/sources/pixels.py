"""From an opened image file to an array: its depth, frames and channels, cut and resized."""

from typing import Any, NamedTuple

import numpy as np

from ae_jax.errors import DataError

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
GREY = ("1", "L", "LA")
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and its values that swap height, width
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # TIFF tags
SIGNED, WHITE_IS_ZERO = 2, 0
UINT8, UINT16, FLOAT = np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32)
DEPTHS = {UINT8: "8-bit", UINT16: "16-bit", FLOAT: "32-bit"}


class Header(NamedTuple):
    """What a file says of its image before it is decoded.

    Attributes:
      size: `(h, w)`, upright.
      channels: 1 if it is grey, else 3.
      dtype: dtype of its values: uint8, uint16, or float32 for integers and floats of 32 bits.
      frames: how many are wanted of it.
    """

    size: tuple[int, int]
    channels: int
    dtype: np.dtype
    frames: int


class Form(NamedTuple):
    """What every image is brought to.

    Attributes:
      shape: `(h, w, c)`.
      dtype: dtype of the values.
      example: the name of an image that has this dtype, for messages.
      resize: whether images are cut and resized to the shape; else another size is an error.
      frames: "first" or "all"; None: an image of several frames is an error.
      bits: 8 takes the upper half of 16 bits; None: all are kept.
      lossy: whether colours and transparent pixels are given up where the channels have no room.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype = UINT8
    example: str = ""
    resize: bool = False
    frames: str | None = None
    bits: int | None = None
    lossy: bool = True


def header(image: Any, frames: str | None, bits: int | None) -> Header:
    """Of an image that Pillow has opened.

    Raises:
      DataError: it has several frames, or a depth that Pillow does not keep; what to do is said.
    """
    check_frames(image, frames)
    grey = image.mode in GREY or image.mode[0] in "IF"
    size = image.size if _is_turned(image) else image.size[::-1]
    count = frame_count(image) if frames == "all" else 1
    return Header(size, 1 if grey else 3, depth(image, bits), count)


def frame_count(image: Any) -> int:
    """How many frames an image has; what lies behind a photograph is its thumbnail or depth."""
    return 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)


def check_frames(image: Any, frames: str | None) -> None:
    """Raises DataError for an image of several frames where it is not said which are wanted."""
    if frames is None and frame_count(image) > 1:
        raise DataError(
            f"holds {frame_count(image)} frames: frames='first' takes the first of each file, "
            "frames='all' makes each an example"
        )


def _is_turned(image: Any) -> bool:
    """Whether EXIF data swap height and width (a TIFF's size is swapped by Pillow)."""
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return False  # of a PNG without, getexif would decode the image
    return image.getexif().get(ORIENTATION) in TURNED


def depth(image: Any, bits: int | None) -> np.dtype:
    """The dtype that holds an image's values; raises DataError where Pillow would change them."""
    tags = image.tag_v2 if image.format == "TIFF" else {}
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        if bits is not None:
            raise DataError(f"has 32-bit pixels of unknown range, of which bits={bits} are not cut")
        return FLOAT
    if image.mode[0] == "I":
        return UINT16 if bits is None else UINT8
    if SIGNED in np.atleast_1d(tags.get(SAMPLE_FORMAT, 1)):
        raise DataError("has signed 8-bit pixels, which are not read; convert it to unsigned ones")
    if bits is None and _is_halved(image, tags):
        raise DataError(
            "has 16 bits a channel, of which the decoder keeps 8: bits=8 takes the upper 8 of all "
            "images"
        )
    return UINT8


def other_depth(dtype: np.dtype, form: Form) -> str:
    """What is wrong with an image of another depth than the first."""
    fix = "bits=8 takes the upper 8 of 16 bits" if FLOAT not in (dtype, form.dtype) else "part them"
    return f"has {DEPTHS[dtype]} pixels, '{form.example}' {DEPTHS[form.dtype]} ones: {fix}"


def _is_halved(image: Any, tags: Any) -> bool:
    """Whether Pillow drops the lower half of 16-bit channels: all but lone grey levels."""
    if image.format == "TIFF":
        return max(np.atleast_1d(tags.get(BITS_PER_SAMPLE, 1))) > 8
    arguments = image.tile[0].args if image.tile else ""
    if image.format == "PNG":
        return ";16" in str(arguments)
    # Of a PPM, mode and largest value.
    return image.format == "PPM" and isinstance(arguments, tuple) and arguments[1] > 255


def decoded(image: Any, form: Form, frame: int = 0) -> np.ndarray:
    """`[h, w, c]` of the form, upright.

    Raises:
      DataError: it is not of the form, and bringing it there would lose more than was agreed to.
    """
    from PIL import ImageOps

    height, width, _ = form.shape
    check_frames(image, form.frames)
    if frame:
        image.seek(frame)
    kind = depth(image, form.bits)
    if kind != form.dtype:
        raise DataError(other_depth(kind, form))
    if form.resize and kind == UINT8:
        image.draft(None, (2 * width, 2 * height))  # JPEGs may be decoded smaller
    tags = dict(image.tag_v2) if image.format == "TIFF" else {}
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode[0] in "IF":
        return _deep(image, form, tags)
    return np.asarray(_sized(_colours(image, form), form)).reshape(form.shape)


def _deep(image: Any, form: Form, tags: dict[int, Any]) -> np.ndarray:
    """Grey levels of more than 8 bits."""
    from PIL import Image

    x = np.asarray(image)
    if image.mode == "I" and form.dtype == FLOAT:
        if tags.get(SAMPLE_FORMAT, (1,))[0] != SIGNED and tags.get(BITS_PER_SAMPLE) == (32,):
            x = x.view(np.uint32)  # which Pillow takes for signed
        wrong = x.astype(np.float32).astype(np.float64) != x
        if wrong.any():
            raise DataError(
                f"has pixels such as {x[wrong][0]}, which float32 does not hold exactly"
            )
    if form.dtype == FLOAT and not np.isfinite(x).all():
        raise DataError("has pixels that are not finite")
    if form.dtype == FLOAT and form.shape[-1] == 4:
        raise DataError("has 32-bit pixels, of which none is known to be opaque: channels=1 or 3")
    if form.dtype != FLOAT and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        x = 65535 - x  # as Pillow does for 8 bits
    if form.dtype == UINT8:
        x = x.astype(np.uint16) >> 8
    x = x.astype(form.dtype)
    sized = np.asarray(_sized(Image.fromarray(x.astype(np.float32)), form))
    if form.dtype != FLOAT:
        sized = np.clip(np.rint(sized), 0, np.iinfo(form.dtype).max)
    x = np.repeat(sized.astype(form.dtype)[..., None], form.shape[-1], -1)
    if form.shape[-1] == 4:
        x[..., 3] = np.iinfo(form.dtype).max
    return x


def _colours(image: Any, form: Form) -> Any:
    """An 8-bit image in the form's mode."""
    channels = form.shape[-1]
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if not form.lossy and channels < 4 and _has_holes(image):
        raise DataError(
            f"has transparent pixels: channels=4 keeps them, channels={channels} takes the colours "
            "below them"
        )
    if not form.lossy and channels == 1 and image.mode not in GREY:
        colours = np.asarray(image.convert("RGB"))
        if (colours != colours[..., :1]).any():
            raise DataError(
                f"has colours and '{form.example}' has none: channels=3 keeps them, channels=1 "
                "makes all images grey"
            )
    return image.convert(MODES[channels])


def _has_holes(image: Any) -> bool:
    """Whether any pixel is not opaque."""
    if not image.has_transparency_data:
        return False
    return bool((np.asarray(image.convert("RGBA"))[..., 3] < 255).any())


def _sized(image: Any, form: Form) -> Any:
    from PIL import Image

    height, width, _ = form.shape
    if form.resize and image.size != (width, height):
        scale = min(image.width / width, image.height / height)
        cut = round(width * scale), round(height * scale)
        left, top = (image.width - cut[0]) // 2, (image.height - cut[1]) // 2
        image = image.crop((left, top, left + cut[0], top + cut[1]))
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    if image.size != (width, height):
        raise DataError(f"is {image.height}x{image.width}; expected {height}x{width}")
    return image
