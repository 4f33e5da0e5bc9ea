"""Which uses fit a run, and what is printed and drawn of them."""

import numpy as np
import pytest
from etils import epath

import ae_jax as ae
from ae_jax.cli import uses
from ae_jax.errors import ConfigError, UnknownNameError
from tests import small, untrained

X = small.arrays()


@pytest.fixture(scope="module")
def run():
    return untrained.run_of(small.vae(), ae.data.load(small.SOURCE))


def data_of(x=X, **extras):
    return ae.data.from_arrays(x, extras=extras, test_fraction=0.5)


def test_all_that_fit_are_measured_unless_some_are_named(run):
    label = np.arange(len(X)) % 3
    fitting = lambda **extras: set(uses.chosen(run, data_of(**extras), None))
    assert fitting() == {"reduction", "generation", "imputation"}
    assert fitting(label=label) == {"reduction", "generation", "imputation", "scarce_labels"}
    assert fitting(label=0 * label) == {"reduction", "generation", "imputation"}
    many = np.tile(X, (4, 1))
    factors = np.stack([np.arange(len(many)) % 2, np.arange(len(many)) % 3], axis=1)
    known = uses.chosen(run, data_of(many, factors=factors), None)
    assert set(known) == {"reduction", "generation", "imputation", "disentanglement"}
    assert list(uses.chosen(run, data_of(), ["generation"])) == ["generation"]
    assert uses.chosen(run, data_of(), []) == {}


def test_what_does_not_fit_says_why(run):
    reasons = {
        "denoising": "its examples are no images",
        "scarce_labels": "its data have no 'label'",
        "disentanglement": r"no known factors as extras\['factors'\]",
    }
    for name, reason in reasons.items():
        with pytest.raises(ConfigError, match=f"--metrics={name} does not fit .*{reason}"):
            uses.chosen(run, data_of(), [name])
    few = data_of()._replace(test=ae.data.Arrays(X[:10]))
    with pytest.raises(ConfigError, match="more than 10 test examples, got 10"):
        uses.chosen(run, few, ["reduction"])
    with pytest.raises(UnknownNameError, match="--metrics has no 'generate'; did you mean 'gener"):
        uses.chosen(run, data_of(), ["generate"])


def test_constant_factors_are_left_out(run):
    many = np.tile(X, (3, 1))
    place = np.arange(len(many))
    factors = np.stack([place % 2, 0 * place, place % 3], axis=1)
    table = uses.USES["disentanglement"].measure(run, data_of(many, factors=factors))
    assert set(table) >= {"mig", "factor_vae"}


def test_a_map_of_the_codes_is_drawn(run, tmp_path):
    data = data_of(label=np.arange(len(X)) % 3)
    uses.USES["reduction"].draw(run, data, epath.Path(tmp_path), {})
    assert (tmp_path / "map.png").stat().st_size > 1000
