"""Making a TFDS data set ready: built by TFDS itself into ArrayRecord, then decoded once."""

import contextlib
import os
import pathlib
import shutil
import sys

from ae_jax.data.sources.files import require
from ae_jax.data.sources.tfds import find, prepared
from ae_jax.errors import DataError, MissingFileError

INSTALL = '"ae_jax[data]"'


def prepare(
    name: str,
    data_dir: str | os.PathLike | None = None,
    manual_dir: str | os.PathLike | None = None,
    download_dir: str | os.PathLike | None = None,
    overwrite: bool = False,
) -> pathlib.Path:
    """Builds a data set by its TFDS builder as ArrayRecord, if it is not there.

    Args:
      name: as TFDS spells it, "fashion_mnist", "name/config", "name:1.0.0".
      data_dir: folder where TFDS keeps its data; None: `$TFDS_DATA_DIR`, or else
        ~/tensorflow_datasets.
      manual_dir: folder of files that would be downloaded otherwise; their checksums are verified.
      download_dir: folder where downloads are kept; None: in `data_dir`.
      overwrite: whether one that is there is removed first, with its caches.

    Returns:
      The folder of its version.

    Raises:
      UnknownNameError: TFDS knows no data set of this name.
      MissingFileError: what building needs is not installed.
      DataError: a file has not the checksum that TFDS knows, or the data set is there in another
        format than ArrayRecord.
    """
    with contextlib.suppress(MissingFileError):
        if not overwrite:
            return prepared(name, data_dir)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for module in ("tensorflow_datasets", "tensorflow", "importlib_resources"):
        require(module, "building a TFDS data set", INSTALL)
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    with contextlib.suppress(MissingFileError):
        shutil.rmtree(find(name, data_dir).data_path)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    at = lambda path: None if path is None else os.path.expanduser(path)
    builder = tfds.builder(name, data_dir=at(data_dir), file_format="array_record")
    config = tfds.download.DownloadConfig(manual_dir=at(manual_dir), try_download_gcs=False)
    try:
        builder.download_and_prepare(download_dir=at(download_dir), download_config=config)
    except NonMatchingChecksumError as error:
        raise DataError(f"a file of '{name}' is not the one that TFDS knows: {error}") from error
    return prepared(name, data_dir)
