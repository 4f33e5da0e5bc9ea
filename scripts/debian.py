"""Fashion-MNIST's four files as they were published, from Debian's package of them."""

import contextlib
import os
import pathlib
import struct
import subprocess
import tempfile
from collections.abc import Iterator

from ae_jax.data.sources.files import existing, existing_folder
from ae_jax.errors import DataError, MissingFileError

PACKAGE = "dataset-fashion-mnist"
"""The Debian package of the data set's four files, whose gzip headers lost name and time."""
TIMES = {
    "train-images-idx3-ubyte": 1504176606,
    "train-labels-idx1-ubyte": 1504176606,
    "t10k-images-idx3-ubyte": 1504176627,
    "t10k-labels-idx1-ubyte": 1504176627,
}
"""When the originals were compressed, seconds since 1970, as their headers say."""
GETTING = (
    f"get the package with `apt-get download {PACKAGE}` and give --deb=FILE, or its files with "
    "--debian_dir=FOLDER"
)
GZIP = b"\x1f\x8b\x08"
HAS_NAME, UNIX, HEADER = 8, 3, 10  # RFC 1952: a flag, an operating system, the shortest header


def restore(source: str | os.PathLike, into: str | os.PathLike) -> None:
    """Writes Fashion-MNIST's four files as they were published, which TFDS's checksums ask for.

    Debian strips name and time from the gzip headers; the compressed data are the originals.

    Args:
      source: the folder of the four files; ones that have their name are copied.
      into: a folder that exists.

    Raises:
      MissingFileError: one of the files is not there.
      DataError: one is not a gzip file.
    """
    for name, seconds in TIMES.items():
        path = existing(pathlib.Path(source, f"{name}.gz"))
        data = path.read_bytes()
        if data[:3] != GZIP or len(data) < HEADER:
            raise DataError(
                f"'{path}' is not a gzip file: expected it to begin with {GZIP.hex(' ')}, found "
                f"{data[:3].hex(' ') or 'nothing'}"
            )
        if not data[3] & HAS_NAME:
            fields = struct.pack("<BIBB", HAS_NAME, seconds, 0, UNIX)
            data = GZIP + fields + name.encode() + b"\0" + data[HEADER:]
        pathlib.Path(into, path.name).write_bytes(data)


@contextlib.contextmanager
def package_files(
    folder: str | os.PathLike | None = None, deb: str | os.PathLike | None = None
) -> Iterator[pathlib.Path]:
    """The folder of the four files of the Debian package dataset-fashion-mnist.

    Args:
      folder: where the package was unpacked (`dpkg-deb -x`), or where its files lie.
      deb: the package, unpacked here for as long as the context lasts; needs dpkg-deb.
      (neither): the package is installed; dpkg says where.

    Raises:
      MissingFileError: there is no such folder or package, it is damaged, or it holds other files.
    """
    with tempfile.TemporaryDirectory() as unpacked:
        if deb is not None:
            _run(["dpkg-deb", "-x", os.fspath(existing(deb)), unpacked], f"'{deb}' is damaged")
        if folder is None and deb is None:
            listed = _run(["dpkg", "-L", PACKAGE], f"{PACKAGE} is not installed").splitlines()
            found = [pathlib.Path(line) for line in listed]
        else:
            found = sorted(existing_folder(unpacked if folder is None else folder).rglob("*.gz"))
        wanted = [path.parent for path in found if path.name == f"{next(iter(TIMES))}.gz"]
        if not wanted:
            raise MissingFileError(
                f"'{folder or deb or PACKAGE}' holds no {next(iter(TIMES))}.gz; {GETTING}"
            )
        yield wanted[0]


def _run(command: list[str], failure: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError as error:
        raise MissingFileError(f"there is no {command[0]} on this machine; {GETTING}") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().partition("\n")[0]
        raise MissingFileError(f"{failure}: {said}; {GETTING}") from error
