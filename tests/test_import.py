"""What `import ae_jax` loads, and the public names.

After a deliberate change of these names: `python -m tests.test_import > tests/public_names.txt`.
"""

import importlib
import inspect
import json
import os
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import ae_jax as ae

NAMES = pathlib.Path(__file__).parent / "public_names.txt"
ROOT = NAMES.parent.parent
LATER = (  # what data, figures, checkpoints and scripts import when they are used
    "PIL",
    "grain",
    "matplotlib",
    "ml_collections",
    "orbax",
    "pandas",
    "scipy",
    "sklearn",
    "tensorboardX",
    "tensorflow",
    "tensorflow_datasets",
    "tqdm",
)
PROBE = """
import json, sys
import chex, flax.linen, flax.nnx, jax, optax
before = set(sys.modules)
import ae_jax
print(json.dumps(sorted({name.split(".")[0] for name in set(sys.modules) - before})))
"""


def public_packages():
    """ae_jax and the modules it makes public, by name."""
    found = {"ae_jax": ae}
    for name in ae.__all__:
        if inspect.ismodule(module := getattr(ae, name)):
            found[f"ae_jax.{name}"] = module
    return found


def public_names():
    """`module.name` of everything public, sorted."""
    names = []
    for prefix, module in public_packages().items():
        own = getattr(module, "__all__", None)
        if own is None:
            defined = lambda value: getattr(value, "__module__", None) == module.__name__  # noqa: B023
            own = [n for n, v in vars(module).items() if not n.startswith("_") and defined(v)]
        names += [f"{prefix}.{name}" for name in own]
    return sorted(names)


@pytest.fixture(scope="module")
def loaded():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    output = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True
    )
    return set(json.loads(output.stdout))


def test_importing_loads_nothing_that_is_only_sometimes_needed(loaded):
    assert "ae_jax" in loaded
    assert not loaded & set(LATER)


def test_importing_loads_no_third_party_package_beyond_jax_flax_optax_and_chex(loaded):
    others = loaded - set(sys.stdlib_module_names) - {"ae_jax", "jax", "jaxlib"}
    assert others <= {"absl", "etils", "importlib_resources"}


def test_the_public_names_are_those_written_down():
    assert public_names() == NAMES.read_text().split()


@pytest.mark.parametrize("module", public_packages().values(), ids=lambda module: module.__name__)
def test_every_public_name_exists_and_is_documented(module):
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if callable(value) or inspect.ismodule(value):
            assert inspect.getdoc(value), f"{module.__name__}.{name} has no docstring"


def order(name):
    """Constants, then classes, then functions, as ruff sorts them."""
    return not name.isupper(), not name[0].isupper(), name


def test_every_package_lists_its_names():
    packages = [
        importlib.import_module(f"ae_jax.{found.name}")
        for found in pkgutil.iter_modules(ae.__path__)
        if found.ispkg
    ]
    assert packages
    without = [package.__name__ for package in packages if not hasattr(package, "__all__")]
    assert not without
    for package in (ae, *packages):
        assert list(package.__all__) == sorted(set(package.__all__), key=order), package.__name__


if __name__ == "__main__":
    print("\n".join(public_names()))


def test_recipes_and_configs_leave_the_devices_alone():
    """Several processes are joined once a config has been read, before any device is used."""
    code = (
        "import ae_jax as ae\n"
        "from jax._src import xla_bridge\n"
        "for name in set(ae.recipes.__all__) - {'Recipe'}:\n"
        "    ae.config.complete(ae.config.config_dict(getattr(ae.recipes, name)()))\n"
        "    assert not xla_bridge.backends_are_initialized(), name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
