"""Which pictures each kind of data gets, and what the text files say."""

import math
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from etils import epath

import ae_jax as ae
from ae_jax.runs import gallery
from ae_jax.types import Column, Spec


def run_of(spec):
    return SimpleNamespace(spec=spec, display_range=(0.0, 1.0))


def tokens(*lines):
    return np.array([[float(ord(letter)) for letter in line] for line in lines], np.float32)


TEXT = run_of(Spec((3,), "tokens", 256))


def test_text_stands_above_its_reconstruction_and_what_is_wrong(tmp_path):
    sets = {"input": tokens("abc", "xyz"), "reconstruction": tokens("abd", "xyz")}
    gallery.show(TEXT, epath.Path(tmp_path), "reconstructions", sets)
    expected = [
        "input           abc",
        "reconstruction  abd",
        "wrong             ^",
        "",
        "input           xyz",
        "reconstruction  xyz",
        "wrong",
    ]
    assert (tmp_path / "reconstructions.txt").read_text().splitlines() == expected
    assert (tmp_path / "reconstructions.png").exists()


def test_a_walk_through_text_reads_from_top_to_bottom(tmp_path):
    values = tokens("one", "two", "six", "ten")  # two walks of two steps
    gallery.show_walk(TEXT, epath.Path(tmp_path), "walks", values, [0.0, 1.0])
    expected = ["0  one", "1  two", "", "0  six", "1  ten"]
    assert (tmp_path / "walks.txt").read_text().splitlines() == expected


def test_a_series_is_no_image_though_it_has_the_shape_of_one(tmp_path):
    series = ae.data.load("waves", size=4, test_size=2, length=16)
    spec = ae.spec_of(series)
    assert spec == Spec((16, 4), "series")
    assert not gallery.is_image(run_of(spec))
    assert gallery.is_image(run_of(Spec((16, 4), "real")))


def test_walks_through_rows_of_a_table_are_lines(tmp_path):
    columns = (Column("a", "number"), Column("b", "category", ("x", "y")))
    run = run_of(Spec((2,), "table", columns=columns))
    gallery.show_walk(run, epath.Path(tmp_path), "walks", np.arange(12.0).reshape(6, 2), [0, 1, 2])
    assert (tmp_path / "walks.png").stat().st_size > 1_000


@pytest.mark.parametrize(("size", "num"), [(5, 8), (8, 8), (100, 8), (1, 1)])
def test_examples_are_shown_from_all_over(size, num):
    places = gallery.spread(size, num)
    assert len(places) == len(set(places)) == min(size, num)
    assert places[0] == 0
    assert places[-1] < size
    assert np.ptp(np.diff(places)) <= 1 if len(places) > 1 else True


@pytest.mark.parametrize(
    ("bottleneck", "units"),
    [
        (ae.bottlenecks.sparse(6), range(6)),
        (ae.bottlenecks.topk(6, 2), range(6)),
        (ae.bottlenecks.sparse((2, 64)), range(0, 128, 2)),
    ],
    ids=["sparse", "topk", "sparse with positions"],
)
def test_filters_of_a_sparse_code_are_the_dictionary_of_its_decoder(bottleneck, units):
    x = np.random.default_rng(1).integers(0, 255, (32, 4, 3)).astype(np.uint8)
    linear = ae.networks.linear()
    parts = linear, linear, bottleneck, ae.likelihoods.gaussian()
    model = ae.autoencoder(*parts, event_shape=(4, 3))
    options = {"steps": 1, "batch_size": 16, "progress": False}
    run = ae.fit((model, ae.terms.reconstruction()), x, **options)
    kernel = next(
        leaf
        for leaf in map(np.asarray, jax.tree.leaves(run.variables.params["decoder"]))
        if leaf.shape == (math.prod(bottleneck.latent_shape), 12)
    )
    found = gallery._dictionary(run, ae.data.from_arrays(x).train)
    expected = 255 * kernel[list(units)]
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-4, atol=1e-3)
