"""`ae-jax prepare` from a checkout, which can also take Fashion-MNIST from Debian's package of it.

python scripts/prepare_data.py --dataset=cifar10
python scripts/prepare_data.py --from_debian

Building needs `pip install -e ".[data]"`; reading afterwards, as `tfds:NAME`, does not.
"""

import contextlib
import tempfile

import debian
from absl import flags

from ae_jax.cli import command, prepare
from ae_jax.errors import ConfigError

FASHION_MNIST = "fashion_mnist"

FROM_DEBIAN = flags.DEFINE_bool(
    "from_debian", False, f"Builds fashion_mnist from the files of {debian.PACKAGE}, installed."
)
DEBIAN_DIR = flags.DEFINE_string("debian_dir", None, "So, from where the package was unpacked.")
DEB = flags.DEFINE_string("deb", None, "So, from the package itself.")


def main() -> None:
    """Runs the command."""
    from_debian = FROM_DEBIAN.value or DEBIAN_DIR.value is not None or DEB.value is not None
    name = flags.FLAGS.dataset or (FASHION_MNIST if from_debian else None)
    if name is None:
        raise ConfigError("which data set? --dataset=NAME, or --from_debian")
    if not from_debian:
        prepare.build(name, flags.FLAGS.manual_dir)
        return
    if name.partition(":")[0] != FASHION_MNIST or flags.FLAGS.manual_dir:
        raise ConfigError(f"--from_debian builds {FASHION_MNIST} and brings its own files")
    if DEBIAN_DIR.value is not None and DEB.value is not None:
        raise ConfigError("--debian_dir and --deb exclude each other")
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(debian.package_files(DEBIAN_DIR.value, DEB.value))
        manual_dir, download_dir = (
            stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(2)
        )
        debian.restore(files, manual_dir)
        prepare.build(name, manual_dir, download_dir)


if __name__ == "__main__":
    prepare.define_flags()
    command.main(main)
