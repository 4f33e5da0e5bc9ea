"""A path that does not say its kind gets the form that does."""

import re

import numpy as np
import pytest

import ae_jax as ae
from ae_jax.errors import UnknownNameError

BARE = {
    "x.csv": "csv:x.csv",
    "some/where/X.CSV": "csv:some/where/X.CSV",
    "x.tsv": "csv:x.tsv",
    "x.npy": "npy:x.npy",
    "~/x.npz": "npz:~/x.npz",
    "x.parquet": "parquet:x.parquet",
    "notes.txt": "text:notes.txt",
    "a/b.array_record": "arrayrecord:a/b.array_record",
    "photos/": "images:photos/",
    "photos/cat.png": "images:photos",
    "mnist/train-images-idx3-ubyte.gz": "idx:mnist",
}


@pytest.mark.parametrize("name", BARE)
def test_the_kind_is_told_from_the_name(name):
    with pytest.raises(UnknownNameError) as caught:
        ae.fit(ae.recipes.vae(2), name, progress=False)
    assert str(caught.value) == f"'{name}' does not say what it holds: '{BARE[name]}'"


FOLDERS = {
    "images": ["a/1.png", "a/2.jpg", "notes.txt"],
    "idx": ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "readme.md"],
    "text": ["a.txt", "b.txt", "c/d.md"],
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_the_kind_of_a_folder_is_told_from_what_it_holds(kind, tmp_path):
    for name in FOLDERS[kind]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(UnknownNameError, match=re.escape(f"'{kind}:{tmp_path}'")):
        ae.data.load(tmp_path)


def test_of_a_folder_of_arrays_a_file_is_named(tmp_path):
    np.save(tmp_path / "b.npy", np.ones((3, 2)))
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    with pytest.raises(UnknownNameError, match=re.escape(f"'npy:{tmp_path / 'a.npy'}'")):
        ae.data.load(tmp_path)


def test_a_name_that_is_no_path_gets_the_nearest_source():
    with pytest.raises(UnknownNameError, match="did you mean 'digits'"):
        ae.data.load("digit")
