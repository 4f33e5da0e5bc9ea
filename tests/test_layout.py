"""Who imports whom: no circle between modules or folders, and nothing looks upwards."""

import ast
import graphlib
import pathlib

import ae_jax as ae

PACKAGE = pathlib.Path(ae.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
USERS = {"runs", "cli", "benchmarking", "testing", "estimators", "samplers"}
"""Folders that use a model; what a model is made of never imports them."""
PARTS = {
    "networks",
    "bottlenecks",
    "priors",
    "likelihoods",
    "corruptions",
    "distributions",
    "losses",
}


def imported(path):
    """The modules of ae_jax that a file imports anywhere, functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            whole = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in MODULES else node.module for name in whole)


def arrows():
    return {module: set(imported(path)) - {module} for module, path in MODULES.items()}


def area(module):
    """The folder or file right under ae_jax that a module belongs to."""
    return module.removeprefix("ae_jax").removeprefix(".").partition(".")[0]


def test_modules_import_in_no_circle():
    graphlib.TopologicalSorter(arrows()).prepare()  # raises CycleError, which names the circle


def test_folders_import_in_no_circle():
    graph: dict[str, set[str]] = {}
    for module, targets in arrows().items():
        if module != "ae_jax":
            graph.setdefault(area(module), set()).update(map(area, targets - {"ae_jax"}))
    graphlib.TopologicalSorter({a: to - {a} for a, to in graph.items()}).prepare()


def test_ops_import_nothing_of_ae_jax():
    for module, targets in arrows().items():
        if area(module) == "ops":
            assert all(area(target) == "ops" for target in targets), module


def test_parts_do_not_know_of_runs():
    for module, targets in arrows().items():
        if area(module) in PARTS:
            assert not USERS & set(map(area, targets)), module


def test_from_fit_to_the_step_there_are_six_files():
    way = ("runs.fit", "runs.start", "training.loop", "training.feeds", "training.programs")
    for here, there in zip(way, (*way[1:], "training.step"), strict=True):
        assert f"ae_jax.{there}" in arrows()[f"ae_jax.{here}"], (here, there)
