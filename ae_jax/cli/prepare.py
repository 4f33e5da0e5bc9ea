"""Makes a TFDS data set ready to train on: built as ArrayRecord, decoded once; then needs no TF.

ae-jax prepare --dataset=cifar10

Building needs the extra `data`; reading afterwards, as `tfds:NAME`, does not.
"""

import os

from absl import flags

from ae_jax import data
from ae_jax.cli import command
from ae_jax.data.sources import preparing
from ae_jax.errors import ConfigError

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("dataset", None, "As TFDS spells it: NAME, NAME/CONFIG, NAME:1.0.0.")
    flags.DEFINE_string(
        "data_dir", None, "Where TFDS keeps its data; $TFDS_DATA_DIR or ~/tensorflow_datasets."
    )
    flags.DEFINE_string("manual_dir", None, "Of files that cannot be downloaded.")
    flags.DEFINE_bool("overwrite", False, "Removes what is there and builds it anew.")
    flags.DEFINE_string(
        "cache", "auto", "Where to decode to: a folder; auto: beside the data; none: nowhere."
    )


def build(
    name: str,
    manual_dir: str | os.PathLike | None = None,
    download_dir: str | os.PathLike | None = None,
) -> None:
    """Builds a data set, decodes it, and prints what there is.

    Args:
      name: as TFDS spells it.
      manual_dir: folder of files that cannot be downloaded.
      download_dir: folder where downloads are kept.
    """
    folder = preparing.prepare(
        name, FLAGS.data_dir, manual_dir, download_dir, overwrite=FLAGS.overwrite
    )
    print(f"{name} is in '{folder}'")
    cache = False if FLAGS.cache == "none" else FLAGS.cache
    try:
        dataset = data.tfds(name, data_dir=FLAGS.data_dir, cache=cache)
    except ConfigError as error:
        print(f"Not decoded: {error}")
        return
    for split, source in dataset.splits.items():
        print(f"{split}: {len(source)} examples {list(source.spec.x.shape)} {source.spec.x.dtype}")


def main() -> None:
    """Runs the command."""
    if FLAGS.dataset is None:
        raise ConfigError("which data set? --dataset=NAME")
    build(FLAGS.dataset, FLAGS.manual_dir)


def start() -> None:
    """Runs the command with the arguments of the command line."""
    define_flags()
    command.main(main)
