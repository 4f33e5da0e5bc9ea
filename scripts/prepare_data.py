"""Makes a TFDS data set ready to train on: built as ArrayRecord, decoded once; then needs no TF.

python scripts/prepare_data.py --dataset=cifar10
python scripts/prepare_data.py --from_debian          # Fashion-MNIST, from Debian's package of it

Building needs `pip install -e ".[data]"`; reading afterwards, as `tfds:NAME`, does not.
"""

import contextlib
import tempfile

import debian
from absl import flags

from ae_jax import commands, data
from ae_jax.data import preparing
from ae_jax.errors import ConfigError

FASHION_MNIST = "fashion_mnist"

DATASET = flags.DEFINE_string("dataset", None, "As TFDS spells it: NAME, NAME/CONFIG, NAME:1.0.0.")
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where TFDS keeps its data; $TFDS_DATA_DIR or ~/tensorflow_datasets."
)
MANUAL_DIR = flags.DEFINE_string("manual_dir", None, "Of files that cannot be downloaded.")
FROM_DEBIAN = flags.DEFINE_bool(
    "from_debian", False, f"Builds fashion_mnist from the files of {debian.PACKAGE}, installed."
)
DEBIAN_DIR = flags.DEFINE_string("debian_dir", None, "So, from where the package was unpacked.")
DEB = flags.DEFINE_string("deb", None, "So, from the package itself.")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Removes what is there and builds it anew.")
CACHE = flags.DEFINE_string(
    "cache", "auto", "Where to decode to: a folder; auto: beside the data; none: nowhere."
)


def main() -> None:
    """Runs the command."""
    from_debian = FROM_DEBIAN.value or DEBIAN_DIR.value is not None or DEB.value is not None
    name = DATASET.value or (FASHION_MNIST if from_debian else None)
    if name is None:
        raise ConfigError("which data set? --dataset=NAME, or --from_debian")
    if from_debian and (name.partition(":")[0] != FASHION_MNIST or MANUAL_DIR.value):
        raise ConfigError(f"--from_debian builds {FASHION_MNIST} and brings its own files")
    if DEBIAN_DIR.value is not None and DEB.value is not None:
        raise ConfigError("--debian_dir and --deb exclude each other")
    with contextlib.ExitStack() as stack:
        manual_dir, download_dir = MANUAL_DIR.value, None
        if from_debian:
            files = stack.enter_context(debian.package_files(DEBIAN_DIR.value, DEB.value))
            manual_dir, download_dir = (
                stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(2)
            )
            debian.restore(files, manual_dir)
        folder = preparing.prepare(
            name, DATA_DIR.value, manual_dir, download_dir, overwrite=OVERWRITE.value
        )
    print(f"{name} is in '{folder}'")
    cache = False if CACHE.value == "none" else CACHE.value
    try:
        dataset = data.tfds(name, data_dir=DATA_DIR.value, cache=cache)
    except ConfigError as error:
        print(f"Not decoded: {error}")
        return
    for split, source in dataset.splits.items():
        print(f"{split}: {len(source)} examples {list(source.spec.x.shape)} {source.spec.x.dtype}")


if __name__ == "__main__":
    commands.main(main)
