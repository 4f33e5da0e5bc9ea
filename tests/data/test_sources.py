"""The contract of `ae.data.Source`, run over every source there is."""

import gzip
import pickle
import struct
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

import ae_jax as ae
from ae_jax._registry import SOURCES
from ae_jax.data.source import nbytes
from tests.data.sources.test_grain import as_npy
from tests.data.sources.test_grain import write as write_records

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 6, 5), np.uint8)
ROWS = RNG.normal(size=(60, 4)).astype(np.float32)


def npy(folder):
    np.save(folder / "x.npy", ROWS)
    return {"source": f"npy:{folder}/x.npy"}


def npz(folder):
    np.savez(folder / "x.npz", x=ROWS, label=np.arange(60), observed=ROWS > 0)
    return {"source": f"npz:{folder}/x.npz"}


def compressed(folder):
    np.savez_compressed(folder / "x.npz", x_train=ROWS[:50], x_test=ROWS[50:])
    return {"source": f"npz:{folder}/x.npz"}


def idx(folder, opened=open, suffix=""):
    for split, x in (("train", IMAGES[:50]), ("t10k", IMAGES[50:])):
        with opened(folder / f"{split}-images-idx3-ubyte{suffix}", "wb") as file:
            file.write(struct.pack(">4B3I", 0, 0, 8, 3, *x.shape) + x.tobytes())
    return {"source": f"idx:{folder}"}


def idx_gz(folder):
    return idx(folder, gzip.open, ".gz")


def images(folder, **options):
    import PIL.Image

    for i, x in enumerate(IMAGES):
        (folder / str(i % 3)).mkdir(exist_ok=True)
        PIL.Image.fromarray(x).save(folder / str(i % 3) / f"{i}.png")
    return {"source": f"images:{folder}", **options}


def images_skipping(folder):
    made = images(folder, on_bad="skip", size=4, channels=3)
    (folder / "1" / "4.png").write_bytes(b"")
    return made


def csv(folder):
    lines = [f"{i},{i % 7 or ''},{'abc'[i % 3]}" for i in range(60)]
    (folder / "t.csv").write_text("\n".join(["a,b,label", *lines]))
    return {"source": f"csv:{folder}/t.csv", "label": "label"}


def parquet(folder):
    pq = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    pq.write_table(pa.table({"x": ROWS.tolist(), "y": np.arange(60)}), folder / "t.parquet")
    return {"source": f"parquet:{folder}/t.parquet", "x": "x"}


def arrayrecord(folder):
    for shard in range(3):
        write_records(folder / f"{shard}.ar", map(as_npy, IMAGES[20 * shard : 20 * shard + 20]))
    return {"source": f"arrayrecord:{folder}/*.ar"}


def dictionaries():
    """A Grain source, by its function's name."""
    return [{"image": x, "label": np.int32(i)} for i, x in enumerate(IMAGES)]


def grain(folder):
    return {"source": f"grain:{__name__}:dictionaries"}


def text(folder):
    for name in "ab":
        words = [f"{name}{i:04d}" for i in range(300)]
        (folder / f"{name}.txt").write_text(" ".join(words))
    return {"source": f"text:{folder}", "length": 12}


def lines(folder):
    (folder / "a.txt").write_text("\n".join(str(i) + "x" * (i % 9) for i in range(99)))
    return {"source": f"text:{folder}/a.txt", "lines": True, "length": 8}


def embedded(folder):
    return {"source": "text:embedded"}


def series(folder):
    values = np.arange(200, dtype=np.float32).reshape(100, 2)
    values[7, 1] = np.nan
    np.save(folder / "s.npy", values)
    return {"source": f"series:{folder}/s.npy", "window": 5, "stride": 2, "missing": True}


def digits(folder):
    return {"source": "digits"}


def synthetic(folder):
    return {"source": "synthetic:7x3", "size": 50, "test_size": 9, "dtype": "float32"}


def factors(folder):
    return {"source": "factors", "sizes": (3, 2, 2, 4, 4), "resolution": 16}


def waves(folder):
    return {"source": "waves", "length": 20, "size": 80, "test_size": 9}


def tables(folder):
    return {"source": "tables:wine"}


MADE = [npy, npz, compressed, idx, idx_gz, images, images_skipping, csv, parquet, arrayrecord]
MADE += [grain, text, lines, embedded, series, digits, synthetic, factors, waves, tables]
IN_FILES = ("npy", "npz", "idx", "images", "arrayrecord", "text", "series", "factors", "waves")


@pytest.fixture(scope="module", params=MADE, ids=lambda make: make.__name__)
def made(request, tmp_path_factory):
    arguments = request.param(tmp_path_factory.mktemp(request.param.__name__))
    return request.param.__name__, ae.data.load(**arguments), arguments


@pytest.fixture(scope="module", params=["train", "test"])
def source(request, made):
    return getattr(made[1], request.param)


def assert_same(one, two):
    assert jax.tree.structure(one) == jax.tree.structure(two)
    jax.tree.map(np.testing.assert_array_equal, one, two)


def rows(records, index):
    return jax.tree.map(lambda field: field[index], records)


def test_no_source_is_left_out():
    ours = {k for k, f in SOURCES.factories.items() if f.__module__.startswith("ae_jax.")}
    kinds = {make.__name__ for make in MADE}
    assert ours - kinds <= {"tfds"}  # which needs a data set that was prepared


def test_it_is_a_source_whose_reads_are_as_its_spec_says(source):
    assert isinstance(source, ae.data.Source)
    order = np.random.default_rng(0).integers(0, len(source), 13)
    got, spec = source.read(order), source.spec
    assert jax.tree.structure(got) == jax.tree.structure(spec)
    for leaf, expected in zip(jax.tree.leaves(got), jax.tree.leaves(spec), strict=True):
        assert isinstance(leaf, np.ndarray)
        assert (leaf.shape, leaf.dtype) == ((13, *expected.shape), expected.dtype)
        assert leaf.dtype.isnative
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(got))
    assert nbytes(source) * 13 == size * len(source)


def test_records_hang_on_their_index_alone(source):
    whole = source.read(np.arange(len(source)))
    order = np.random.default_rng(1).permutation(len(source))[:40]
    together = source.read(order)
    assert_same(together, rows(whole, order))
    for place, i in enumerate(order[:9]):
        assert_same(source.read(np.array([i])), rows(together, slice(place, place + 1)))
    assert_same(source.read(order), together)


def test_records_may_be_asked_for_twice_or_not_at_all(source):
    twice = source.read(np.array([2, 0, 2, 2]))
    assert_same(rows(twice, [0, 1, 0, 0]), twice)
    empty = source.read(np.arange(0))
    for leaf, expected in zip(jax.tree.leaves(empty), jax.tree.leaves(source.spec), strict=True):
        assert (leaf.shape, leaf.dtype) == ((0, *expected.shape), expected.dtype)


def test_what_is_read_is_the_callers_to_change(source):
    index = np.array([0, 1])
    before = jax.tree.map(np.copy, source.read(index))
    jax.tree.map(lambda leaf: leaf.fill(0), source.read(index))
    assert_same(source.read(index), before)


def test_threads_read_what_one_reads(made):
    source = made[1].train
    fresh = pickle.loads(pickle.dumps(source))  # with nothing opened yet
    orders = [np.random.default_rng(i).integers(0, len(source), 50) for i in range(16)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(fresh.read, orders))
    for order, records in zip(orders, got, strict=True):
        assert_same(records, source.read(order))


def test_it_pickles_and_what_lies_in_files_stays_there(made):
    name, dataset, _ = made
    order = np.arange(len(dataset.test))[::-1]
    dataset.test.read(order)
    data = pickle.dumps(dataset.test)
    assert_same(pickle.loads(data).read(order), dataset.test.read(order))
    if name in IN_FILES:
        assert len(data) < 4_000


def test_the_splits_hold_different_examples_and_are_always_the_same(made):
    name, dataset, arguments = made
    again = ae.data.load(**arguments)
    whole = {}
    for split in ("train", "test"):
        source = getattr(dataset, split)
        whole[split] = source.read(np.arange(len(source)))
        assert len(source) > 1
        assert_same(getattr(again, split).read(np.arange(len(source))), whole[split])
    if name in ("synthetic", "embedded", "digits"):  # which hold some examples twice
        return
    train, test = ({row.tobytes() for row in records.x} for records in whole.values())
    assert not train & test


def test_the_data_set_says_what_it_was_loaded_from_and_passes_the_checks(made):
    _, dataset, arguments = made
    assert dataset.source == arguments["source"]
    spec = ae.spec_of(dataset)
    assert spec.event_shape == dataset.train.spec.x.shape


def test_a_validation_split_is_carved_out_of_training(made):
    _, dataset, arguments = made
    if dataset.overlapping:
        with pytest.raises(ae.errors.ConfigError, match="overlap"):
            ae.data.load(**arguments, validation_fraction=0.3)
        return
    carved = ae.data.load(**arguments, validation_fraction=0.3)
    assert len(carved.train) + len(carved.validation) == len(dataset.train)
    assert len(carved.test) == len(dataset.test)
