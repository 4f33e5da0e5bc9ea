"""A run beside PCA, NMF and UMAP on the same examples, and its codes in a file."""

import sys
import types

import jax
import numpy as np
import pytest
from sklearn.decomposition import NMF, PCA

import ae_jax as ae
from ae_jax import evaluation
from ae_jax.errors import ConfigError, DataError, MissingFileError
from tests import small, untrained

X = small.arrays()
LABEL = (X[:, 0] > X[:, 0].mean()).astype(np.int32)
DATA = ae.data.from_arrays(X, extras={"label": LABEL}, test_fraction=0.4)
MEASURES = {"dimensions", "explained_variance", "trustworthiness", "continuity"}


@pytest.fixture(scope="module")
def run():
    """A linear autoencoder that is PCA with two components of the standardised training data."""
    linear = ae.networks.linear()
    recipe = ae.recipes.autoencoder(2, encoder=linear, decoder=linear)
    run = untrained.run_of(recipe, DATA)
    train = standard(DATA.train.x)
    axes = np.float32(PCA(2).fit(train).components_)
    params = dict(run.variables.params)
    for part, kernel in (("encoder", axes.T), ("decoder", axes)):
        same = lambda leaf, kernel=kernel: kernel if leaf.ndim == 2 else np.zeros_like(leaf)
        params[part] = jax.tree.map(same, params[part])
    return run.holding(ae.Variables(params, run.variables.state))


def standard(x):
    train = np.float64(DATA.train.x)
    return (x - train.mean(0)) / train.std(0)


def test_a_run_that_is_pca_scores_as_pca(run):
    table = evaluation.reduction(run, DATA)
    assert set(table) == {"run", "pca", "nmf"}
    for name, value in table["pca"].items():
        assert table["run"][name] == pytest.approx(value, abs=1e-4), name
    assert set(table["run"]) == MEASURES | {"knn_accuracy", "probe_accuracy"}


def test_the_baselines_are_scikit_learns_on_the_same_split(run):
    table = evaluation.reduction(run, DATA, neighbours=3, seed=1)
    train, test = standard(DATA.train.x), standard(DATA.test.x)
    pca = PCA(2).fit(train)
    again = pca.inverse_transform(pca.transform(test))
    want = evaluation.explained_variance(test, again, 0.0)
    assert table["pca"]["explained_variance"] == pytest.approx(want, rel=1e-6)
    want = evaluation.trustworthiness(test, pca.transform(test), 3)
    assert table["pca"]["trustworthiness"] == pytest.approx(want, rel=1e-9)
    least = train.min(0)
    unit = np.sqrt(np.mean((train - least) ** 2))
    nmf = NMF(2, init="nndsvda", max_iter=200, random_state=1).fit((train - least) / unit)
    codes = nmf.transform(np.maximum(test - least, 0) / unit)
    again = unit * codes @ nmf.components_ + least
    want = evaluation.explained_variance(test, again, 0.0)
    assert table["nmf"]["explained_variance"] == pytest.approx(want, rel=1e-3)
    codes = codes * np.linalg.norm(nmf.components_, axis=1)
    want = evaluation.continuity(test, codes, 3)
    assert table["nmf"]["continuity"] == pytest.approx(want, rel=1e-3)


def test_umap_stands_beside_them_where_it_is_installed(run, monkeypatch):
    class UMAP:
        def __init__(self, n_components, random_state):
            self.pca = PCA(n_components, random_state=random_state)

        def fit(self, x):
            self.pca.fit(x)
            return self

        def transform(self, x):
            return self.pca.transform(x)

    module: types.ModuleType = types.ModuleType("umap")
    module.__spec__ = sys.__spec__
    module.UMAP = UMAP
    monkeypatch.setitem(sys.modules, "umap", module)
    table = evaluation.reduction(run, DATA)
    assert table["umap"] == {k: v for k, v in table["pca"].items() if k != "explained_variance"}


def test_without_labels_the_rest_is_measured(run):
    bare = ae.data.Dataset(ae.data.Arrays(DATA.train.x), ae.data.Arrays(DATA.test.x))
    assert set(evaluation.reduction(run, bare)["pca"]) == MEASURES
    one = ae.data.from_arrays(X, extras={"label": np.zeros(len(X), int)}, test_fraction=0.4)
    assert set(evaluation.reduction(run, one)["pca"]) == MEASURES
    with pytest.raises(DataError, match="hold only 0"):
        evaluation.reduction(run, one, label="label")
    with pytest.raises(DataError, match="no label 'kind'.* Known: label"):
        evaluation.reduction(run, DATA, label="kind")
    with pytest.raises(DataError, match="judged on the test split, and there is none"):
        evaluation.reduction(run, DATA._replace(test=ae.data.Arrays(X[:0])))
    with pytest.raises(DataError, match="5 neighbours need more than 10 examples, got 9"):
        evaluation.reduction(run, DATA, num_test=9)


def test_missing_entries_count_for_nothing(run):
    observed = np.random.default_rng(1).random(X.shape) > 0.2
    holes = np.where(observed, X, np.nan)
    data = ae.data.from_arrays(holes, observed=observed, test_fraction=0.4)
    other = ae.data.from_arrays(np.where(observed, X, 99.0), observed=observed, test_fraction=0.4)
    found = [evaluation.reduction(run, each) for each in (data, other)]
    assert found[0] == found[1]
    assert found[0]["pca"]["explained_variance"] > 0.5


def test_of_two_dimensions_the_map_is_the_code_and_of_more_its_pca():
    codes = np.random.default_rng(2).normal(size=(30, 3, 2)) * [3, 1]
    points, axes = evaluation.plane(codes)
    pca = PCA(2).fit(codes.reshape(30, 6))
    np.testing.assert_allclose(np.abs(points), np.abs(pca.transform(codes.reshape(30, 6))))
    shares = pca.explained_variance_ratio_
    assert axes[0] == f"first principal component ({shares[0]:.0%})"
    np.testing.assert_array_equal(evaluation.plane(codes[:, 0])[0], codes[:, 0])
    np.testing.assert_array_equal(evaluation.plane(codes[:, 0, :1])[0][:, 0], codes[:, 0, 0])


@pytest.mark.parametrize("ending", ["npz", "parquet", "csv"])
def test_codes_are_written_with_their_labels_and_read_again(run, tmp_path, ending, monkeypatch):
    monkeypatch.setattr("ae_jax.data.source.PIECE", 7)  # several pieces
    path = tmp_path / f"codes.{ending}"
    valid = np.arange(len(X)) % 5 != 2
    source = ae.data.Arrays(X, {"label": LABEL}, valid=valid)
    assert evaluation.write_codes(run, source, path) == valid.sum()
    want = run.encode(X[valid])
    if ending == "npz":
        got = dict(np.load(path))
    elif ending == "csv":
        table = np.genfromtxt(path, delimiter=",", names=True)
        codes = np.stack([table[f"codes_{i}"] for i in range(want[0].size)], axis=1)
        got = {"codes": codes.reshape(want.shape), "index": table["index"], "label": table["label"]}
    else:
        read = ae.data.load(f"parquet:{path}", x="codes", test_fraction=0.0).train
        got = {"codes": read.x} | dict(read.extras)
    np.testing.assert_allclose(got["codes"], want, rtol=1e-6)
    np.testing.assert_array_equal(got["index"], np.flatnonzero(valid))
    np.testing.assert_array_equal(got["label"], LABEL[valid])


def test_codes_that_cannot_be_written_are_refused(run, tmp_path, monkeypatch):
    source = ae.data.Arrays(X, {"index": LABEL})
    with pytest.raises(
        ConfigError, match=r"cannot end in '.npy', .*codes.npy' does; did you mean '.npz'"
    ):
        evaluation.write_codes(run, source, tmp_path / "codes.npy")
    with pytest.raises(DataError, match="or column of the data is called 'index'"):
        evaluation.write_codes(run, source, tmp_path / "codes.npz")
    with pytest.raises(DataError, match="no example to write"):
        evaluation.write_codes(run, ae.data.Arrays(X[:0]), tmp_path / "codes.npz")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingFileError, match=r"needs pyarrow: pip install 'ae_jax\[parquet\]'"):
        evaluation.write_codes(run, ae.data.Arrays(X), tmp_path / "codes.parquet")
