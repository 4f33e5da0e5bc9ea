"""`ae-jax apply` as a user runs it: on the run's own data and on a new table."""

import csv

import numpy as np
import pytest

import ae_jax as ae
from tests import scripts


def write(path, order, rows, missing, seed):
    """A table of two numbers and a word, columns in this order, some entries missing."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=rows)
    words = np.where(z > 0, "red", np.where(z > -1, "blue", "green"))
    values = {"height": z.round(3), "weight": (2 * z).round(3), "colour": words}
    with path.open("w") as file:
        rows_of = csv.writer(file)
        rows_of.writerow(order)
        for i in range(rows):
            rows_of.writerow("" if rng.random() < missing else values[name][i] for name in order)


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("apply")
    write(folder / "train.csv", ["height", "weight", "colour"], 200, 0.1, 0)
    write(folder / "new.csv", ["colour", "weight", "height"], 20, 0.3, 1)
    source = f"csv:{folder / 'train.csv'}"
    how = {"steps": 5, "batch_size": 32, "workdir": folder / "run", "progress": False}
    run = ae.fit(ae.recipes.iwae(2, samples=2), source, **how)
    new = ae.data.load(f"csv:{folder / 'new.csv'}", test_fraction=0.0).train
    return folder, run, new


def apply(folder, way, *arguments, code=0):
    to = folder / f"{way}.csv"
    options = [f"--workdir={folder / 'run'}", f"--to={to}", *arguments]
    output = scripts.run("apply.py", way, *options, code=code)
    return output if code else read(to)


@pytest.mark.slow
def test_a_new_table_with_columns_in_another_order_is_scored_and_filled_in(trained):
    folder, run, new = trained
    data = f"--data=csv:{folder / 'new.csv'}"
    scored = apply(folder, "score", data)
    detector = ae.evaluation.anomaly.detector(run, run.dataset().train)
    want = ae.data.matching.matched(new, run.spec.columns)
    scores = detector.scores(want.x, observed=want.observed)
    np.testing.assert_allclose([float(row["score"]) for row in scored], scores, rtol=1e-6)
    assert [row["anomalous"] for row in scored] == [str(s > detector.threshold) for s in scores]
    before, after = read(folder / "new.csv"), apply(folder, "impute", data)
    assert list(after[0]) == ["height", "weight", "colour", "index"]
    for i, (old, filled) in enumerate(zip(before, after, strict=True)):
        assert int(filled["index"]) == i
        assert filled["colour"] in ("red", "blue", "green")
        for name in ("height", "weight"):
            assert np.isfinite(float(filled[name]))
            assert not old[name] or float(old[name]) == pytest.approx(float(filled[name]))
        assert not old["colour"] or old["colour"] == filled["colour"]


@pytest.mark.slow
def test_codes_of_the_runs_own_test_split_and_what_cannot_be_done(trained):
    folder, run, _ = trained
    codes = apply(folder, "encode")
    got = [[float(row["codes_0"]), float(row["codes_1"])] for row in codes]
    np.testing.assert_allclose(got, run.encode(run.dataset().test), rtol=1e-5, atol=1e-6)
    assert "PartError: this run has no codes that are integers" in apply(folder, "integers", code=1)
    refused = apply(folder, "encode", "--split=tets", code=2)
    assert "ConfigError: --split cannot be 'tets'; did you mean 'test'?" in refused
    assert "did you mean 'score'?" in apply(folder, "scor", code=2)


def test_every_way_is_told_of(monkeypatch):
    from ae_jax.cli import apply

    assert all(f"{way}" in apply.__doc__ for way in apply.WAYS)
