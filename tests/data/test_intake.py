"""What reaches a device, against NumPy's float64; what cannot be held is refused."""

import dataclasses
import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from ae_jax.config import for_recipe
from ae_jax.data import preprocessing as pre
from ae_jax.data.intake import take_in, take_in_records
from ae_jax.data.preprocessing import on_device
from ae_jax.data.source import Arrays, Records, in_memory, lies_in_memory
from ae_jax.data.spec import choose_preprocessing
from ae_jax.errors import ConfigError, DataError
from ae_jax.runs import planning
from ae_jax.runs.run import Run
from tests.data.sources.test_grain import as_npy
from tests.data.sources.test_grain import write as write_records

RNG = np.random.default_rng(0)
SECONDS = RNG.uniform(0, 600, 120)  # ten minutes
X = np.stack([1.7e9 + SECONDS, np.sin(SECONDS / 60)], 1)
NANOSECONDS = np.stack([(1.7e18 + SECONDS * 1e9).astype(np.int64), np.arange(120)], 1)


def csv(folder, x=X, names=("time", "y")):
    lines = [",".join(names), *(",".join(map(repr, row)) for row in x.tolist())]
    (folder / "x.csv").write_text("\n".join(lines) + "\n")
    return folder / "x.csv"


def saved(folder, x):
    np.save(folder / "x.npy", x)
    return folder / "x.npy"


def parquet(folder, x, of_vectors):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"v": pa.array(list(x))} if of_vectors else {"a": x[:, 0], "b": x[:, 1]}
    pq.write_table(pa.table(columns), folder / "x.parquet")
    return ae.data.parquet(folder / "x.parquet", x="v" if of_vectors else None)


def npz(folder, x):
    np.savez(folder / "x.npz", x=x, id=np.arange(len(x)) + 2**40, label=np.arange(len(x)))
    return ae.data.npz(folder / "x.npz")


def records(folder):
    write_records(folder / "x.array_record", [as_npy(row) for row in X])
    return ae.data.arrayrecord(folder / "x.array_record")


SOURCES = {
    "float64": lambda folder: ae.data.from_arrays(X),
    "big-endian": lambda folder: ae.data.from_arrays(X.astype(">f8")),
    "longdouble": lambda folder: ae.data.from_arrays(X.astype(np.longdouble)),
    "objects": lambda folder: ae.data.from_arrays(X.astype(object)),
    "int64": lambda folder: ae.data.from_arrays(NANOSECONDS),
    "uint64": lambda folder: ae.data.from_arrays(NANOSECONDS.astype(np.uint64)),
    "views": lambda folder: ae.data.from_arrays(X, copy=False),
    "users' arrays": lambda folder: ae.data.Dataset(Arrays(X.astype(">f8")), Arrays(X[:9])),
    "csv": lambda folder: ae.data.csv(csv(folder)),
    "csv of nanoseconds": lambda folder: ae.data.csv(csv(folder, NANOSECONDS)),
    "parquet": lambda folder: parquet(folder, NANOSECONDS, of_vectors=False),
    "parquet vectors": lambda folder: parquet(folder, X, of_vectors=True),
    "npy": lambda folder: ae.data.npy(saved(folder, X)),
    "npy big-endian": lambda folder: ae.data.npy(saved(folder, X.astype(">f8"))),
    "memory-mapped": lambda folder: ae.data.from_arrays(np.load(saved(folder, X), mmap_mode="r")),
    "npz": lambda folder: npz(folder, X),
    "series": lambda folder: ae.data.series(csv(folder, X[np.argsort(SECONDS)]), window=3),
    "series in npy": lambda folder: ae.data.series(saved(folder, X), window=3),
    "grain": lambda folder: ae.data.from_grain(list(X)),
    "arrayrecord": records,
}


@pytest.mark.parametrize("engine", ["resident", "streaming"])
@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_whatever_they_come_from_data_far_from_0_keep_their_digits(tmp_path, make, engine):
    raw = make(tmp_path)
    dataset = planning.held(raw) if engine == "resident" else raw
    chosen = choose_preprocessing(dataset)
    taken = pickle.loads(pickle.dumps(take_in(dataset.train, chosen.host)))  # as workers get it
    got, before = in_memory(taken).x, in_memory(raw.train).x
    flat = before.reshape(-1, 2)
    flat = flat.astype(np.int64) if flat.dtype.kind == "u" else flat
    near = (flat - flat[0]).astype(np.float64)  # exact in the data's dtype
    expected = ((near - near.mean(0)) / near.std(0)).reshape(before.shape)
    assert got.dtype == np.float32
    np.testing.assert_allclose(on_device(chosen).apply(got), expected, atol=1e-5)
    again = chosen.invert(chosen.apply(before))
    assert again.dtype == np.float64
    error = np.abs(again - before.astype(np.float64)).reshape(-1, 2).max(0)
    assert (error < 1e-6 * near.std(0)).all()


@pytest.mark.parametrize(
    "x",
    [
        np.stack([SECONDS, np.sin(SECONDS)], 1),
        RNG.normal(size=(50, 3)),
        2000 + RNG.integers(0, 30, (50, 3)),
        RNG.random((50, 4, 4, 1)),
        RNG.integers(0, 256, (50, 4, 4, 1), np.uint8),
        np.full((50, 2), 0.1),
    ],
    ids=["seconds", "float64", "years", "images", "bytes", "constant"],
)
def test_what_float32_holds_is_left_as_it_is(x):
    dataset = ae.data.from_arrays(x)
    assert choose_preprocessing(dataset).host is None
    held = take_in(dataset.train, None)
    np.testing.assert_array_equal(in_memory(held).x, np.asarray(jnp.asarray(dataset.train.x)))
    if x.dtype.itemsize < 8:
        assert held is dataset.train


def planned(data, preprocessing=None):
    """What `fit` decides before it compiles; the preprocessing."""
    changes = {"training.batch_size": 16, "data.preprocessing": preprocessing}
    config = ae.config.replaced(for_recipe(ae.recipes.autoencoder(2)), changes)
    dataset = ae.data.as_dataset(data)
    return planning.resolve(config, ae.recipes.autoencoder(2), dataset).preprocessing


def standardised(mean, std=(170.0, 1.0)):
    return {"name": "standardise", "mean": mean, "std": std}


@pytest.mark.parametrize(
    ("data", "preprocessing", "match"),
    [
        (X, {"name": "none"}, r"1700000\d+\.\d+ in column 0, rounded by 6\d.* standardise\("),
        (X, standardised(0.0), r"training data hold 1700000\d+\.\d+ in column 0"),
        (X, standardised([1.6e9, 0.0]), "in column 0, rounded by 5.96 .* mean and deviation"),
        (NANOSECONDS, {"name": "none"}, r"hold 17000\d+ in column 0"),
        (2**60 + np.arange(240).reshape(120, 2), None, "hold 1152921504606847\\d+ in column"),
        (X * [1e30, 1], {"name": "none"}, r"hold 1.7\d*e\+39 in column 0, rounded by inf"),
        (X * 1e250, None, "squares exceed float64"),
        (X.astype(complex), None, "real numbers, got dtype complex128"),
        (X.astype("datetime64[s]"), None, "times of dtype datetime64"),
        (X.astype(str), None, "must be real numbers, got dtype <U"),
        (np.array([[1, 2.5], [None, 4]] * 20, object), None, r"such as None at \(1, 0\)"),
        (np.array([[1, 10**30]] * 20, object), None, f"hold {10**30}, which does not fit 64 bits"),
    ],
)
def test_what_cannot_be_held_is_refused_with_column_and_value(data, preprocessing, match):
    with pytest.raises(DataError, match=match) as caught:
        planned(data, preprocessing)
    assert "\n" not in str(caught.value)


def test_the_column_is_named(tmp_path):
    with pytest.raises(DataError, match=r"in column 0 \('time'\)"):
        planned(ae.data.csv(csv(tmp_path)), {"name": "none"})
    ids = np.stack([2**62 + np.arange(9), np.arange(9)], 1)
    with pytest.raises(DataError, match=r"line 10, column 'time': .*\(4611686018427387904 is near"):
        ae.data.csv(csv(tmp_path, ids))


def test_tokens_that_float32_would_merge_are_refused():
    data = ae.data.from_arrays(np.arange(120).reshape(40, 3) + 2**24)._replace(
        kind="tokens", num_classes=2**25
    )
    with pytest.raises(DataError, match="rounded by 1 on a device"):
        planned(data)


@pytest.mark.parametrize(
    "x",
    [
        RNG.integers(0, 2**40, (120, 2)),
        RNG.integers(2**31, 2**33, (120, 2), np.uint64),
        np.stack([np.full(120, 1.234567890123e15), SECONDS], 1),
        0.5 + 1e-9 * RNG.normal(size=(120, 2)),
        1e39 * RNG.normal(size=(120, 2)),
        [1e-40, 5] * (10 + RNG.normal(size=(120, 2))),
    ],
    ids=["wide int64", "wide uint64", "constant", "within [0, 1]", "huge", "tiny"],
)
def test_other_numbers_that_float32_alone_would_lose(x):
    dataset = ae.data.from_arrays(x, test_fraction=0)
    chosen = planned(dataset)
    std = x.std(0)
    expected = np.where(std > 1e-9 * np.abs(x.mean(0)), (x - x.mean(0)) / np.maximum(std, 1e-60), 0)
    got = on_device(chosen).apply(in_memory(take_in(dataset.train, chosen.host)).x)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_explicit_parts_are_exact_too_and_only_where_they_can_be():
    one = pre.standardise(mean=1.7e9, std=170.0)
    for part in (
        one,
        pre.scale(low=1.7e9 - 170, high=1.7e9),
        pre.chain([one, "none"]),
        pre.chain([pre.standardise(1e9, 1e9), pre.standardise(0.7, 1.7e-7)]),
    ):
        z = np.asarray(part.apply(X[:, :1])).ravel()
        slope = np.ptp(z) / np.ptp(SECONDS)
        np.testing.assert_allclose((z - z[0]), (SECONDS - SECONDS[0]) * slope, atol=1e-5)
        np.testing.assert_allclose(part.invert(part.apply(X[:, :1])), X[:, :1], atol=1e-3, rtol=0)
    padded = pre.chain([one, pre.pad([1])])
    assert padded.apply(X[:, :1]).shape == (120, 3)
    np.testing.assert_allclose(padded.invert(padded.apply(X[:, :1])), X[:, :1], atol=1e-3, rtol=0)
    with pytest.raises(ConfigError, match="before 'standardise': put it first"):
        pre.chain([pre.pad([1]), one])
    with pytest.raises(DataError, match="outside jit"):
        jax.jit(one.apply)(X)


def test_integers_of_64_bits_beyond_32_do_not_wrap():
    taken = take_in_records(Records(np.array([[2**40 + 1, -(2**33)]])), None)
    assert taken.x.tolist() == [[float(2**40), -float(2**33)]]
    assert take_in_records(Records(np.array([[2**31 - 1, 5]])), None).x.dtype == np.int32
    with pytest.raises(DataError, match=r"extras\['id'\] holds 1099511627776 at \(0,\), .* int32"):
        take_in_records(Records(np.zeros((1, 1)), {"id": np.array([2**40])}), None)
    with pytest.raises(DataError, match=r"the data hold 1e\+39 at \(0, 0\), which does not fit"):
        take_in_records(Records(np.array([[1e39]])), None)


@pytest.fixture(scope="module")
def near_and_far():
    """Runs of one model on timestamps, and on seconds since an origin, which need no host."""
    dataset = ae.data.as_dataset(X, X[:40])
    recipe = ae.recipes.vae(2, encoder=ae.networks.mlp((4,)), decoder=ae.networks.mlp((4,)))
    config = ae.config.replaced(for_recipe(recipe), {"training.batch_size": 16})
    plan = planning.resolve(config, recipe, dataset)
    config, spec = plan.config, plan.spec
    stored = json.loads(json.dumps(config.data.preprocessing))
    (origin, mean), std = stored["mean"], stored["std"]
    shifted = pre.standardise((origin - 1.7e9, mean), std)
    variables = plan.model.init(jax.random.key(0), np.zeros(2, np.float32), {})
    near, far = (
        Run(plan.model, plan.objective, variables, config, part, spec, (2,), len(X), (0.0, 1.0))
        for part in (shifted, pre.build(stored))
    )
    assert near.preprocessing.host is None
    assert far.preprocessing.host is not None
    return near, far, X - [1.7e9, 0.0]


def test_a_run_encodes_decodes_and_samples_as_if_the_origin_were_near(near_and_far):
    near, far, x = near_and_far
    np.testing.assert_allclose(far.encode(X), near.encode(x), atol=1e-5)
    found, expected = (run.log_likelihood(y, samples=2) for run, y in ((far, X), (near, x)))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    for a, b in (
        (far.reconstruct(X), near.reconstruct(x)),
        (far.sample(5, observations=True), near.sample(5, observations=True)),
        (far.decode(near.encode(x)), near.decode(near.encode(x))),
    ):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a - [1.7e9, 0.0], b, atol=1e-3)


@pytest.mark.slow
def test_it_is_evaluated_as_if_the_origin_were_near(near_and_far):
    near, far, x = near_and_far
    expected = near.evaluate(x[:40])
    for engine in ("resident", "streaming"):
        config = ae.config.replaced(far.config, {"data.engine": engine})
        far = dataclasses.replace(far, config=config)
        found = far.evaluate(X[:40])
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["resident", "streaming"])
def test_a_line_of_time_is_learned_and_loaded(tmp_path, engine):
    options = {"steps": 800, "batch_size": 64, "engine": engine, "progress": False}
    ae.fit(ae.recipes.autoencoder(latent_dim=2), X, workdir=tmp_path / "run", **options)
    run = ae.load(tmp_path / "run")
    error = np.sqrt(np.mean((run.reconstruct(X) - X) ** 2, axis=0))
    assert (error < 0.1 * X.std(0)).all()  # 0.37 of it are lost where float32 comes first


def test_views_lie_in_memory_and_begin_where_a_device_takes_them_over():
    dataset = ae.data.from_arrays(X.astype(np.float32), copy=False)
    assert lies_in_memory(dataset.train)
    assert not isinstance(dataset.train, Arrays)
    held = in_memory(dataset.train).x
    np.testing.assert_array_equal(held, ae.data.from_arrays(X.astype(np.float32)).train.x)
    assert held.ctypes.data % 64 == 0


@pytest.mark.parametrize(
    "dtype", [">f4", ">i2", "f2", "?", "u8", "i8", "O", jnp.bfloat16, jnp.float8_e4m3fn, jnp.int4]
)
def test_any_dtype_of_numbers_will_do(dtype):
    x = np.asarray(np.asarray(RNG.integers(0, 4, (60, 3))), np.float32).astype(dtype)
    dataset = ae.data.from_arrays(x, test_fraction=0)
    chosen = planned(dataset)
    wide = x.astype(np.float64)
    unit = np.dtype(dtype) == bool
    expected = wide if unit else (wide - wide.mean(0)) / wide.std(0)
    np.testing.assert_allclose(
        chosen.apply(in_memory(take_in(dataset.train, None)).x), expected, atol=1e-6
    )
