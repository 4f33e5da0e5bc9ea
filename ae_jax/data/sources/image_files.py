"""Which files of a folder are images, and what their folders mean: classes and splits."""

import collections
import logging
import os
import pathlib
from collections.abc import Iterator, Sequence

from ae_jax.errors import DataError

log = logging.getLogger("ae_jax")

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp"),
    *(".tif", ".tiff", ".pbm", ".pgm", ".ppm", ".pnm"),
)
UNREAD = (
    *(".avif", ".heic", ".heif", ".jp2", ".j2k", ".jxl", ".tga", ".ico", ".icns", ".dds", ".pfm"),
    *(".svg", ".eps", ".psd", ".xcf", ".exr", ".hdr", ".dcm", ".nii", ".fits"),
    *(".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2"),
    *(".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv"),
)
"""Images and films that are not read: not to be passed over in silence, as a list of labels is."""
SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("val", "valid", "validation"),
}
"""What the folder of a split may be called, in any case."""


def listed(folder: pathlib.Path, on_bad: str) -> list[str]:
    """The images under a folder by their paths within it, sorted.

    Hidden files and folders, whose names begin with a point, are none. Links are followed, but for
    those to a folder above, which would have no end; a link to nothing that has the name of an
    image is in the list, and fails when it is read.

    Args:
      folder: folder that exists.
      on_bad: whether other formats and links to nothing are an error, or, with "skip", a warning.

    Raises:
      DataError: there are none, a folder cannot be listed, or as `on_bad` says.
    """
    names, passed = [], collections.defaultdict(list)
    for path in _files(os.fspath(folder), frozenset({_identity(folder)})):
        name = pathlib.Path(path).relative_to(folder).as_posix()
        suffix = pathlib.Path(name).suffix.lower()
        if suffix in SUFFIXES:
            names.append(name)
        elif suffix in UNREAD:
            passed[suffix].append(name)
        elif not suffix and not os.path.exists(path):
            passed["link to nothing"].append(name)
    what = ", ".join(
        f"{len(files)} {kind} (such as '{min(files)}')" for kind, files in sorted(passed.items())
    )
    if not names:
        seen = f", but {what}" if what else ""
        raise DataError(f"'{folder}' holds no images: expected files {', '.join(SUFFIXES)}{seen}")
    if what and on_bad == "error":
        raise DataError(
            f"'{folder}' holds what cannot be read: {what}; convert or remove it, or pass over it "
            "with on_bad='skip'"
        )
    if what:
        log.warning("'%s': passed over %s", folder, what)
    return sorted(names)


def _files(folder: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DataError(f"'{folder}' cannot be listed: {error}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            identity = _identity(entry.path)
            if identity not in above:
                yield from _files(entry.path, above | {identity})
        elif entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path)):
            yield entry.path


def _identity(folder: str | os.PathLike) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def by_split(
    names: Sequence[str], wanted: bool | None, folder: pathlib.Path
) -> dict[str, tuple[str, Sequence[str]]]:
    """Of each split, its folder and the images in it; one split "train" of all if there are none.

    Args:
      names: paths within the folder.
      wanted: whether folders called train, test and so on are splits; False: they are classes;
        None: they are if there are no other folders, or images, beside them.
      folder: folder for messages.

    Raises:
      DataError: folders that may be either, two of one split, or none to train on.
    """
    tops = collections.defaultdict(list)
    for name in names:
        tops[name.partition("/")[0] if "/" in name else ""].append(name)
    split_of = {word: split for split, words in SPLITS.items() for word in words}
    folders = [(split_of[top.casefold()], top) for top in tops if top.casefold() in split_of]
    others = [top for top in tops if top.casefold() not in split_of]
    if (
        wanted is False
        or not (folders or wanted)
        or (wanted is None and others and len(folders) == 1)
    ):
        return {"train": ("", names)}
    held = ", ".join(f"'{top}'" for _, top in folders) or "no folder called train"
    choice = "; splits=False takes them for classes"
    if others:
        beside = f"'{others[0]}'" if others[0] else f"'{tops[''][0]}'"
        raise DataError(
            f"'{folder}' holds {held}, as splits are called, and {beside} beside them{choice}"
        )
    splits: dict[str, tuple[str, Sequence[str]]]
    splits = {split: (top, tops[top]) for split in SPLITS for of, top in folders if of == split}
    if len(splits) < len(folders) or "train" not in splits:
        why = "two folders of one split" if "train" in splits else "none to train on"
        raise DataError(f"'{folder}' holds {held}: {why}{choice}")
    if "test" not in splits and "validation" in splits:
        splits["test"] = splits.pop("validation")  # as in ImageNet, whose val is evaluated on
    return splits


def classes_of(
    splits: dict[str, tuple[str, Sequence[str]]], folder: pathlib.Path
) -> dict[str, list[str]]:
    """The class of each image, by split: the name of its folder, or "" in none.

    Raises:
      DataError: two splits have different classes.
    """
    classes = {}
    for split, (top, names) in splits.items():
        within = [name.removeprefix(f"{top}/") if top else name for name in names]
        classes[split] = [name.partition("/")[0] if "/" in name else "" for name in within]
    first, *others = splits
    for split in others:
        one, two = set(classes[first]), set(classes[split])
        if one != two:
            only = [
                f"only '{splits[which][0]}' has {_some(sorted(more))}"
                for which, more in ((first, one - two), (split, two - one))
                if more
            ]
            raise DataError(
                f"the classes of '{folder}' differ between splits: {', '.join(only)}; "
                f"images:{folder / splits[first][0]} is one split alone"
            )
    return classes


def _some(names: list[str], limit: int = 5) -> str:
    named = ", ".join(f"'{name}'" if name else "images in no folder" for name in names[:limit])
    return named + (f" and {len(names) - limit} more" if len(names) > limit else "")
