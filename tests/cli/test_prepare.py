"""scripts/prepare_data.py and what it is made of; building itself needs TensorFlow, see .ci/run."""

import gzip
import importlib
import os
import shutil
import struct
import subprocess

import debian
import numpy as np
import pytest
import tensorflow_datasets

import ae_jax as ae
from ae_jax.data.sources import files, preparing
from ae_jax.errors import DataError, MissingFileError, UnknownNameError
from tests.data.sources import tfds_files
from tests.scripts import ROOT, run

NAMES = {
    "train-images-idx3-ubyte": 1504176606,
    "train-labels-idx1-ubyte": 1504176606,
    "t10k-images-idx3-ubyte": 1504176627,
    "t10k-labels-idx1-ubyte": 1504176627,
}
FIRST = next(iter(NAMES))


def original(name, payload):
    """A gzip file as gzip itself writes it, with name and time; RFC 1952, by hand."""
    body = gzip.compress(payload, mtime=0)[10:]
    time = struct.pack("<I", NAMES[name])
    return b"\x1f\x8b\x08\x08" + time + b"\x00\x03" + name.encode() + b"\x00" + body


def stripped(data):
    """The same as Debian ships it: no name, no time."""
    end = data.index(b"\x00", 10) + 1
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00" + data[8:10] + data[end:]


@pytest.fixture
def package(tmp_path):
    """An unpacked package and the published files by name."""
    published = {name: original(name, 100 * name.encode()) for name in NAMES}
    folder = tmp_path / "unpacked" / "usr" / "share" / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    for name, data in published.items():
        assert gzip.decompress(data) == gzip.decompress(stripped(data)) == 100 * name.encode()
        (folder / f"{name}.gz").write_bytes(stripped(data))
    (folder / "README.md.gz").write_bytes(gzip.compress(b"something else"))
    return folder, published


def restored(folder, into):
    into.mkdir()
    debian.restore(folder, into)
    return {path.name.removesuffix(".gz"): path.read_bytes() for path in into.iterdir()}


def test_the_published_bytes_are_restored(package, tmp_path):
    folder, published = package
    once = restored(folder, tmp_path / "once")
    assert once == published
    assert restored(tmp_path / "once", tmp_path / "twice") == published


def test_gzip_itself_reads_name_and_time_out_of_what_is_restored(package, tmp_path):
    folder, _ = package
    restored(folder, tmp_path / "files")
    for name, time in NAMES.items():
        with gzip.open(tmp_path / "files" / f"{name}.gz") as file:
            assert file.read() == 100 * name.encode()
            assert file.mtime == time


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b\x08", b"PK\x03\x04 and so on, no gzip at all"])
def test_a_file_that_is_no_gzip_is_named(package, tmp_path, data):
    path = package[0] / f"{FIRST}.gz"
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"'{path}' is not a gzip file: expected .* 1f 8b 08"):
        debian.restore(package[0], tmp_path)


def test_a_file_that_is_missing_is_named(package, tmp_path):
    path = package[0] / "t10k-labels-idx1-ubyte.gz"
    path.unlink()
    with pytest.raises(MissingFileError, match=f"'{path}' does not exist"):
        debian.restore(package[0], tmp_path)


def test_the_files_are_found_in_an_unpacked_package(package, tmp_path):
    folder, _ = package
    for given in (folder, tmp_path / "unpacked"):
        with debian.package_files(given) as found:
            assert found == folder
    (folder / f"{FIRST}.gz").unlink()
    with (
        pytest.raises(MissingFileError, match=f"holds no {FIRST}.gz; .*--deb=FILE"),
        debian.package_files(folder),
    ):
        pass


def fake(tmp_path, monkeypatch, name, script):
    """Puts a command first on PATH."""
    path = tmp_path / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")


def test_dpkg_says_where_an_installed_package_lies(package, tmp_path, monkeypatch):
    folder, _ = package
    listing = "\n".join(["/.", "/usr", *map(str, sorted(folder.iterdir()))])
    (tmp_path / "listing").write_text(listing)
    script = f'[ "$*" = "-L dataset-fashion-mnist" ] && cat "{tmp_path}/listing"'
    fake(tmp_path, monkeypatch, "dpkg", script)
    with debian.package_files() as found:
        assert found == folder


def test_a_package_that_is_not_installed(tmp_path, monkeypatch):
    fake(tmp_path, monkeypatch, "dpkg", "echo 'no such package' >&2; echo more >&2; exit 1")
    expected = "dataset-fashion-mnist is not installed: no such package; .*apt-get download"
    with pytest.raises(MissingFileError, match=expected), debian.package_files():
        pass


def test_a_machine_without_dpkg(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingFileError, match="no dpkg on"), debian.package_files():
        pass


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="there is no dpkg-deb to pack with")
def test_a_package_is_unpacked_for_as_long_as_it_is_needed(package, tmp_path):
    folder, _ = package
    control = tmp_path / "unpacked" / "DEBIAN" / "control"
    control.parent.mkdir()
    lines = {"Package": "p", "Version": "1", "Architecture": "all", "Maintainer": "m <m@m>"}
    described = "".join(f"{key}: {value}\n" for key, value in lines.items())
    control.write_text(f"{described}Description: none\n")
    deb = tmp_path / "p.deb"
    command = ["dpkg-deb", "--build", str(tmp_path / "unpacked"), str(deb)]
    subprocess.run(command, check=True, capture_output=True)
    with debian.package_files(deb=deb) as found:
        for path in folder.iterdir():
            assert (found / path.name).read_bytes() == path.read_bytes()
    assert not found.exists()
    deb.write_bytes(deb.read_bytes()[:500])
    with (
        pytest.raises(MissingFileError, match=f"'{deb}' is damaged: dpkg-deb"),
        debian.package_files(deb=deb),
    ):
        pass


@pytest.mark.slow
def test_a_file_that_is_not_the_published_one_is_refused(package, tmp_path):
    pytest.importorskip("tensorflow", reason="building needs TensorFlow")
    manual_dir = tmp_path / "manual"
    restored(package[0], manual_dir)
    with pytest.raises(DataError, match="a file of 'fashion_mnist' is not the one that TFDS knows"):
        preparing.prepare("fashion_mnist", tmp_path / "data", manual_dir, tmp_path / "downloads")
    assert not list(tmp_path.glob("data/fashion_mnist/3*"))


def write_tiny(data_dir):
    x = np.random.default_rng(0).integers(0, 256, (20, 4, 3, 1), np.uint8)
    features = {"image": tensorflow_datasets.features.Image(shape=(4, 3, 1))}
    examples = [{"image": tfds_files.png(image)} for image in x]
    folder = tfds_files.write(data_dir, features, {"train": [examples], "test": [examples[:5]]})
    return folder, x


def test_what_is_ready_is_left_alone_and_decoded(tmp_path):
    folder, x = write_tiny(tmp_path)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    output = run("prepare_data.py", "--dataset=tiny", f"--data_dir={tmp_path}")
    assert f"tiny is in '{folder}'" in output
    assert "train: 20 examples [4, 3, 1] uint8" in output
    assert "test: 5 examples [4, 3, 1] uint8" in output
    assert {path: path.read_bytes() for path in before} == before
    arrays = {path.parent.name[:16]: np.load(path) for path in folder.glob("decoded/*/x.npy")}
    np.testing.assert_array_equal(arrays["tiny-1.0.0-train"], x)
    np.testing.assert_array_equal(arrays["tiny-1.0.0-test-"], x[:5])


@pytest.mark.parametrize(("cache", "files"), [("none", 0), ("there", 2)])
def test_the_cache_goes_where_it_is_asked_to(tmp_path, cache, files):
    folder, _ = write_tiny(tmp_path / "data")
    place = tmp_path / cache if files else cache
    options = (f"--data_dir={tmp_path / 'data'}", f"--cache={place}")
    run("prepare_data.py", "--dataset=tiny", *options)
    assert not (folder / "decoded").exists()
    assert len(list(tmp_path.glob("there/*/x.npy"))) == files


def test_data_that_need_an_option_are_ready_but_not_decoded(tmp_path):
    features = {"image": tensorflow_datasets.features.Image()}
    examples = [{"image": tfds_files.png(np.zeros((5, 4, 3), np.uint8))}]
    tfds_files.write(tmp_path, features, {"train": [examples]})
    output = run("prepare_data.py", "--dataset=tiny", f"--data_dir={tmp_path}")
    assert "Not decoded: 'image' of tiny/1.0.0 train must be" in output
    assert "give a size" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which data set? --dataset=NAME, or --from_debian"),
        (["--dataset=fashin_mnist"], "did you mean 'fashion_mnist'?"),
        (["--from_debian", "--dataset=mnist"], "--from_debian builds fashion_mnist"),
        (["--deb=a", "--debian_dir=b"], "--debian_dir and --deb exclude each other"),
    ],
)
def test_bad_usage_is_one_line_and_exits_with_2(arguments, message):
    output = run("prepare_data.py", *arguments, code=2)
    assert message in output
    assert "Traceback" not in output


def test_without_tensorflow_the_error_names_the_fix(tmp_path, monkeypatch):
    found = importlib.import_module

    def refuse(name):
        if name == "tensorflow":
            raise ImportError
        return found(name)

    monkeypatch.setattr(files.importlib, "import_module", refuse)
    with pytest.raises(MissingFileError, match=r"needs tensorflow: pip install .*ae_jax\[data\]"):
        preparing.prepare("fashion_mnist", tmp_path)
    with pytest.raises(UnknownNameError, match="did you mean 'mnist'"):
        preparing.prepare("mnst", tmp_path)


def test_the_command_in_the_error_is_the_installed_one(tmp_path):
    with pytest.raises(MissingFileError) as raised:
        ae.data.load("tfds:fashion_mnist", data_dir=tmp_path)
    command = str(raised.value).partition("To prepare it: ")[2].split()
    assert command[:2] == ["ae-jax", "prepare"]
    script = (ROOT / "ae_jax/cli/prepare.py").read_text()
    for flag in command[2:]:
        assert f'"{flag.partition("=")[0].removeprefix("--")}"' in script
