"""What a path without the kind of its source was probably meant to be."""

import pathlib

from ae_jax._registry import SOURCES
from ae_jax.errors import UnknownNameError

BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "csv",
    ".npy": "npy",
    ".npz": "npz",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
    ".md": "text",
    ".text": "text",
    ".array_record": "arrayrecord",
    ".arrayrecord": "arrayrecord",
}
IN_FOLDERS = {".png": "images", ".jpg": "images", ".jpeg": "images", ".gif": "images"}
IN_FOLDERS |= {".bmp": "images", ".tif": "images", ".tiff": "images", ".webp": "images"}
LOOKED_AT = 1000
"""Entries of a folder that its kind is told from."""


def refuse_bare_path(name: str) -> None:
    """Raises UnknownNameError, with the form that says the kind, for a path that does not say it.

    Args:
      name: as given to `ae.data.load`.

    Example:
      >>> refuse_bare_path("csv:table.csv")
      >>> refuse_bare_path("table.csv")
      Traceback (most recent call last):
      ae_jax.errors.UnknownNameError: 'table.csv' does not say what it holds: 'csv:table.csv'
    """
    kind, colon, _ = name.partition(":")
    if not name or kind in SOURCES.factories:
        return
    path = pathlib.Path(name).expanduser()
    if colon and not path.exists():
        return
    if meant := _meant(name, path):
        raise UnknownNameError(f"'{name}' does not say what it holds: '{meant}'")


def _meant(name: str, path: pathlib.Path) -> str | None:
    suffix = path.suffix.lower()
    if path.is_dir() or name.endswith(("/", "\\")):
        return _of_folder(name, path)
    if suffix in BY_SUFFIX:
        return f"{BY_SUFFIX[suffix]}:{name}"
    if suffix in IN_FOLDERS:
        return f"{IN_FOLDERS[suffix]}:{path.parent}"
    if path.name.endswith(("-ubyte", "-ubyte.gz")):
        return f"idx:{path.parent}"
    return f"text:{name}" if path.is_file() and not suffix else None


def _of_folder(name: str, folder: pathlib.Path) -> str:
    """The folder or one file of it, by the kind of most files; images where that is not known."""
    by_kind: dict[str, list[pathlib.Path]] = {}
    files = folder.rglob("*") if folder.is_dir() else iter(())
    for _, file in zip(range(LOOKED_AT), files, strict=False):
        meant = _meant(str(file), file) if file.is_file() else None
        if meant is not None:
            by_kind.setdefault(meant.partition(":")[0], []).append(file)
    kind = max(by_kind, key=lambda kind: len(by_kind[kind])) if by_kind else "images"
    whole = kind in ("images", "idx", "text")
    return f"{kind}:{name if whole else min(by_kind[kind])}"
