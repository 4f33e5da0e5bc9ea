"""The decode-once cache: whole or not there, whatever is killed, full, damaged or at once."""

import json
import os
import pathlib
import pickle
import re
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest

from ae_jax.data.source import Arrays
from ae_jax.data.sources import cache
from ae_jax.errors import CacheError, ConfigError, DataError
from tests.scripts import ROOT

RNG = np.random.default_rng(0)
SOURCE = Arrays(
    RNG.integers(0, 256, (50, 4, 3), np.uint8),
    {"label": np.arange(50, dtype=np.int32), "a/b c": RNG.normal(size=(50, 2))},
    observed=RNG.random((50, 4, 3)) < 0.5,
    valid=np.arange(50) != 7,
)
KEY = {"name": "numbers", "size": (4, 3)}
ORDER = np.array([49, 7, 7, 0])


class Counted:
    """A source that notes what is read of it, and may fail."""

    def __init__(self, source=SOURCE, fail=None):
        self.source, self.spec, self.fail, self.index = source, source.spec, fail, []

    def __len__(self):
        return len(self.source)

    def read(self, index):
        self.index.append(index)
        if self.fail is not None:
            raise self.fail
        return self.source.read(index)


def make(place, source=None, key=KEY):
    source = Counted() if source is None else source
    return source, cache.cached(source, [place], key, "numbers")


def names(place):
    return sorted(path.name for path in place.iterdir())


def check_equal(got, source=SOURCE):
    assert len(got) == len(source)
    assert got.spec == source.spec
    jax.tree.map(np.testing.assert_array_equal, got.read(ORDER), source.read(ORDER))


def test_every_field_is_read_back(tmp_path):
    source, got = make(tmp_path)
    check_equal(got)
    np.testing.assert_array_equal(np.concatenate(source.index), np.arange(50))


def test_it_is_made_once(tmp_path):
    make(tmp_path)
    source, got = make(tmp_path)
    check_equal(got)
    assert source.index == []
    assert len(names(tmp_path)) == 1


def test_fields_that_the_source_lacks_stay_none(tmp_path):
    bare = Arrays(SOURCE.x)
    _, got = make(tmp_path, bare)
    check_equal(got, bare)
    read = got.read(ORDER)
    assert (read.extras, read.observed, read.valid) == ({}, None, None)


def test_large_examples_are_read_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "PIECE_BYTES", 7 * (12 + 4 + 16 + 12 + 1))
    source, got = make(tmp_path)
    check_equal(got)
    assert [len(index) for index in source.index] == [7] * 7 + [1]


def test_reading_leaves_the_arrays_in_their_files(tmp_path):
    _, got = make(tmp_path)
    got.read(ORDER)
    assert len(pickle.dumps(got)) < 3000
    check_equal(pickle.loads(pickle.dumps(got)))


def test_another_key_is_another_cache(tmp_path):
    make(tmp_path)
    other = Arrays(SOURCE.x[::-1].copy())
    source, got = make(tmp_path, Counted(other), {**KEY, "size": (3, 4)})
    check_equal(got, other)
    assert source.index
    check_equal(make(tmp_path)[1])
    assert len(names(tmp_path)) == 2


@pytest.mark.parametrize("field", ["x", "extras.label", "valid"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "empty"])
def test_a_damaged_file_is_made_again(tmp_path, field, harm):
    make(tmp_path)
    (path,) = tmp_path.glob(f"*/{field}.npy")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    damaged = {"flip": data, "cut": data[:-1], "empty": b""}
    path.write_bytes(damaged[harm]) if harm in damaged else path.unlink()
    source, got = make(tmp_path)
    assert source.index
    check_equal(got)
    assert make(tmp_path)[0].index == []
    assert len(names(tmp_path)) == 1


def rewrite(manifest, **values):
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | values))


@pytest.mark.parametrize(
    "harm",
    [
        lambda manifest: rewrite(manifest, version=cache.VERSION - 1),
        lambda manifest: rewrite(manifest, key={"name": "others"}),
        lambda manifest: rewrite(manifest, fields={}),
        lambda manifest: rewrite(manifest, crc32=None),
        lambda manifest: manifest.write_text("[]"),
        lambda manifest: manifest.write_text('{"version": 1'),
        lambda manifest: manifest.write_bytes(b"\xff\xfe"),
        lambda manifest: manifest.unlink(),
    ],
)
def test_a_cache_of_another_version_or_with_a_damaged_manifest_is_made_again(tmp_path, harm):
    make(tmp_path)
    (manifest,) = tmp_path.glob("*/manifest.json")
    harm(manifest)
    source, got = make(tmp_path)
    assert source.index
    check_equal(got)
    assert make(tmp_path)[0].index == []
    assert len(names(tmp_path)) == 1


def test_a_file_in_the_place_of_the_cache_gives_way(tmp_path):
    make(tmp_path)
    (folder,) = tmp_path.iterdir()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("no folder")
    check_equal(make(tmp_path)[1])


def test_a_sampled_checksum_covers_both_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "BLOCK", 16)
    monkeypatch.setattr(cache, "BLOCKS", 4)
    path = tmp_path / "file"
    data = bytearray(range(200))
    path.write_bytes(data)
    whole = cache._checksum(path)
    covered = []
    for i in range(200):
        data[i] ^= 1
        path.write_bytes(data)
        covered.append(cache._checksum(path) != whole)
        data[i] ^= 1
    starts = [0, 61, 122, 184]
    assert covered == [any(start <= i < start + 16 for start in starts) for i in range(200)]
    path.write_bytes(data + b"\0")
    assert cache._checksum(path) != whole


def test_a_source_that_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(DataError, match="a bad record"):
        make(tmp_path, Counted(fail=DataError("a bad record")))
    assert names(tmp_path) == []


BIG = """
import pathlib, sys
import numpy as np
from ae_jax.data.sources import cache
from ae_jax.data.source import Arrays
source = Arrays(np.arange(300_000, dtype=np.int32).reshape(-1, 3))
make = lambda: cache.cached(source, [pathlib.Path(sys.argv[1])], {"name": "big"}, "big")
"""
LIMITED = """
import resource
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for limit in (100, 700_000, 1_199_999):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        make()
    except OSError as error:
        print(type(error).__name__, error)
    assert not list(pathlib.Path(sys.argv[1]).iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert (make().read(np.arange(100_000)).x == source.x).all()
"""
KILLED = """
import os, signal
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
make()
"""


def test_a_file_that_cannot_grow_is_a_clear_error_and_leaves_nothing(tmp_path):
    command = [sys.executable, "-c", BIG + LIMITED, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert re.match(
            "CacheError writing the cache of the big data to .*: .*File too large", line
        )
        assert "it takes 1 MiB" in line
        assert "cache=False" in line


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path, monkeypatch, call):
    def full(*_):
        raise OSError(28, "No space left on device")

    if call == "write":
        monkeypatch.setattr(np.lib.format, "write_array_header_2_0", full)
    else:
        monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left") as raised:
        make(tmp_path)
    assert isinstance(raised.value, CacheError)
    assert names(tmp_path) == []
    monkeypatch.undo()
    check_equal(make(tmp_path)[1])


def test_what_a_killed_process_left_is_never_read_and_is_cleared_away_later(tmp_path):
    command = [sys.executable, "-c", BIG + KILLED, str(tmp_path)]
    assert subprocess.run(command, cwd=ROOT).returncode == -9
    (left,) = names(tmp_path)
    assert left.startswith(".big-")
    big = Arrays(np.arange(300_000, dtype=np.int32).reshape(-1, 3))
    make = lambda: cache.cached(big, [tmp_path], {"name": "big"}, "big")
    check_equal(make(), big)
    assert len(names(tmp_path)) == 2
    os.utime(tmp_path / left, (0, 0))
    rewrite(next(tmp_path.glob("big-*/manifest.json")), version=0)
    check_equal(make(), big)
    (final,) = names(tmp_path)
    assert final.startswith("big-")


TWO = textwrap.dedent("""
import pathlib, sys, time
import numpy as np
from ae_jax.data.sources import cache
from ae_jax.data.source import Arrays

place, me, other = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
x = np.arange(600, dtype=np.uint16).reshape(200, 3)

class Slow(Arrays):
    def read(self, index):  # both have begun before either goes on
        (place / me).touch()
        while not (place / other).exists():
            time.sleep(0.005)
        return super().read(index)

got = cache.cached(Slow(x), [place / "cache"], {"name": "both"}, "both")
assert (got.read(np.arange(200)).x == x).all()
""")


@pytest.mark.parametrize("damaged", [False, True])
def test_two_processes_may_make_it_at_once(tmp_path, damaged):
    if damaged:
        x = Arrays(np.arange(600, dtype=np.uint16).reshape(200, 3))
        cache.cached(x, [tmp_path / "cache"], {"name": "both"}, "both")
        rewrite(next(tmp_path.glob("cache/*/manifest.json")), version=0)
    pair = [("a", "b"), ("b", "a")]
    command = [sys.executable, "-c", TWO, str(tmp_path)]
    running = [subprocess.Popen([*command, *who], cwd=ROOT) for who in pair]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    (only,) = names(tmp_path / "cache")
    assert only.startswith("both-")


def test_the_first_folder_that_can_be_written_is_taken(tmp_path):
    (tmp_path / "file").write_text("no folder can be in a file")
    places = [tmp_path / "file" / "cache", tmp_path / "second", tmp_path / "third"]
    source = Counted()
    check_equal(cache.cached(source, places, KEY, "numbers"))
    assert names(tmp_path) == ["file", "second"]
    check_equal(cache.cached(Counted(fail=AssertionError), places, KEY, "numbers"))


def test_no_folder_that_can_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("no folder can be in a file")
    place = tmp_path / "file" / "cache"
    with pytest.raises(CacheError, match=f"'{place}' cannot be written.*cache=False"):
        cache.cached(SOURCE, [place], KEY, "numbers")


def test_a_read_only_folder_is_passed_over_but_read(tmp_path, monkeypatch):
    places = [tmp_path / "first", tmp_path / "second"]
    make(places[0])
    mkdir = pathlib.Path.mkdir

    def refuse(path, *arguments, **named):
        if places[0] in path.parents:
            raise OSError(30, "Read-only file system", str(path))
        mkdir(path, *arguments, **named)

    monkeypatch.setattr(pathlib.Path, "mkdir", refuse)
    check_equal(cache.cached(Counted(fail=AssertionError), places, KEY, "numbers"))
    check_equal(cache.cached(SOURCE, places, {"name": "other"}, "numbers"))
    assert len(names(places[1])) == 1
    with pytest.raises(CacheError, match=f"'{places[0]}' cannot be written: .*Read-only"):
        cache.cached(SOURCE, places[:1], {"name": "other"}, "numbers")


def test_where_a_cache_may_lie(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    users = tmp_path / "xdg" / "ae_jax" / "data"
    beside = tmp_path / "data"
    assert cache.folders("auto", beside, cache.LIMIT) == [beside, users]
    assert cache.folders("auto", beside, cache.LIMIT + 1) == []
    assert cache.folders(True, beside, cache.LIMIT + 1) == [beside, users]
    assert cache.folders(False, beside, 1) == []
    assert cache.folders("~/there", beside, 1) == [pathlib.Path.home() / "there"]
    assert cache.folders(tmp_path, beside, cache.LIMIT + 1) == [tmp_path]
    for bad in ("", None, 3):
        with pytest.raises(ConfigError, match=f'"auto", True, False or a folder, got {bad!r}'):
            cache.folders(bad, beside, 1)
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.user_folder() == pathlib.Path.home() / ".cache" / "ae_jax" / "data"
