"""What every public function of the library tells a reader, as far as a rule can see it.

The examples themselves run under `pytest --doctest-modules ae_jax`.
"""

import inspect
import re

import pytest

import ae_jax as ae
from ae_jax import _registry as registry
from ae_jax.population.selection import SELECTIONS

REGISTRIES = {
    "networks": registry.NETWORKS,
    "bottlenecks": registry.BOTTLENECKS,
    "priors": registry.PRIORS,
    "likelihoods": registry.LIKELIHOODS,
    "corruptions": registry.CORRUPTIONS,
    "terms": registry.TERMS,
    "schedules": registry.SCHEDULES,
    "population": SELECTIONS,
}
FOLDERS = {"recipes": ae.recipes, "terms": ae.terms, "training": ae.training, "testing": ae.testing}
METHODS = ("recipes", "networks", "bottlenecks", "terms", "population")
"""Folders of named methods, each of which somebody has published."""
PLAIN = {
    "absolute_error",
    "cosine",
    "detached",
    "l0",
    "l1",
    "laplace",
    "monte_carlo_kl",
    "orthogonality",
    "reconstruction",
    "squared_error",
    "student_t",
    "weight_l1",
    "where",
}
"""Terms and laws that are what their name says, and no method of anybody's."""
YEAR = re.compile(r"\b(19|20)\d\d\b")
ENTRY = re.compile(r"^  (\*{0,2}\w+): +(.*(?:\n    .*)*)", re.M)
LEANING = re.compile(r"(of|as for|likewise|those|whose|which)\b")
"""How a description begins that needs the one before it, or the argument's name, to be read."""


def public():
    """Every function and class to be read, by folder and name."""
    found = {}
    for folder, parts in REGISTRIES.items():
        found |= {f"{folder}.{name}": part for name, part in parts.factories.items()}
    for folder, module in FOLDERS.items():
        found |= {f"{folder}.{name}": getattr(module, name) for name in module.__all__}
    ours = lambda part: part.__module__.startswith("ae_jax.")  # schedules are optax's own
    return dict(sorted((name, part) for name, part in found.items() if ours(part)))


PUBLIC = public()


def entries(part, heading):
    """The entries of one section of a docstring: name to description."""
    text = inspect.getdoc(part) or ""
    section = re.search(rf"^{heading}:\n((?:  .*\n?|\n)*)", text, re.M)
    return dict(ENTRY.findall(section.group(1))) if section else {}


def described(part):
    return entries(part, "Attributes" if inspect.isclass(part) else "Args")


@pytest.mark.parametrize("name", PUBLIC)
def test_it_has_an_example(name):
    text = inspect.getdoc(PUBLIC[name]) or ""
    assert re.search(r"^Example:\n  >>> ", text, re.M), f"{name} has no example that runs"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_argument_is_described(name):
    part = PUBLIC[name]
    kinds = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    star = dict(zip(kinds, ("*", "**"), strict=True))
    parameters = inspect.signature(part).parameters.values()
    assert list(described(part)) == [star.get(p.kind, "") + p.name for p in parameters]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_description_stands_alone(name):
    leaning = {k: v for k, v in described(PUBLIC[name]).items() if LEANING.match(v)}
    assert not leaning


@pytest.mark.parametrize("name", [name for name in PUBLIC if name.split(".")[0] in METHODS])
def test_a_method_names_its_paper(name):
    if name.split(".")[1] not in PLAIN and name != "recipes.Recipe":
        assert YEAR.search(inspect.getdoc(PUBLIC[name]) or ""), f"{name} names no year of a paper"


def test_the_rules_see_what_they_are_for():
    def bad(width, *, depth=1):
        """Does it.

        Args:
          width: of the layers.
          depth: as for `good`, in
            blocks: whole ones.
        """

    assert described(bad) == {
        "width": "of the layers.",
        "depth": "as for `good`, in\n    blocks: whole ones.",
    }
    assert all(map(LEANING.match, described(bad).values()))
    assert not LEANING.match("offset of the layers.")
