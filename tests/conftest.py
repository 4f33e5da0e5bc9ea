"""Eight simulated devices, full matmul precision, no two collectives in flight, one cache."""

import atexit
import gc
import os
import pathlib
import shutil
import tempfile

# Tests train the same few models over and over, some of them in scripts of their own: each worker
# keeps what it compiles, and nothing is left in or taken from the user's cache.
COMPILED = tempfile.mkdtemp(prefix="ae_jax-tests-")
atexit.register(shutil.rmtree, COMPILED, ignore_errors=True)
os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED

os.environ["JAX_PLATFORMS"] = os.environ.get("JAX_PLATFORMS", "cpu")
if "cpu" in os.environ["JAX_PLATFORMS"]:
    flag = "--xla_force_host_platform_device_count=8"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()

import jax  # noqa: E402
import pytest  # noqa: E402

from ae_jax import compiler  # noqa: E402 -- completes XLA_FLAGS before a device is asked for

jax.config.update("jax_compilation_cache_dir", COMPILED)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_cpu_enable_async_dispatch", False)
jax.config.update("jax_default_matmul_precision", "highest")


EMITTERS = "xla_cpu_use_fusion_emitters"  # code that runs faster and takes longer to compile


def pytest_configure(config: pytest.Config) -> None:
    """Compiles the quick tests, which run hardly any step, without XLA's expensive passes.

    The slow ones, which train, are compiled as users' programs are.
    """
    if config.getoption("markexpr") == "not slow":
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # of scripts that the tests start
        jax.config.update("jax_disable_most_optimizations", True)
        whole = f"{EMITTERS}\0"  # jax 0.12 only reserves the name, and would end the process
        known = all(compiler._knows(library, whole) for library in compiler._compilers())
        if known and EMITTERS not in (flags := os.environ.get("XLA_FLAGS", "")):
            os.environ["XLA_FLAGS"] = f"{flags} --{EMITTERS}=false".strip()


def pytest_collection_finish() -> None:
    """Has the modules and thousands of tests left out of each search for garbage, which is rare."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)


LARGEST = 2.5 * 2**30
"""Bytes of a worker from which on it forgets its programs between two modules."""


def resident() -> int:
    """Bytes of memory that this process holds; 0 where the system does not tell."""
    try:
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Keeps workers small: what JAX has compiled it holds for good, unless it is told otherwise."""
    if nextitem is not None and nextitem.path != item.path and resident() > LARGEST:
        jax.clear_caches()
        gc.collect()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what is marked with, or parametrised over, more `devices` than there are."""
    case, mark = getattr(item, "callspec", None), item.get_closest_marker("devices")
    given = [mark.args[0] if mark else 1, case.params.get("devices") if case else 1]
    wanted = max(number for number in given if isinstance(number, int))
    if wanted > jax.device_count():
        pytest.skip(f"needs {wanted} devices, here are {jax.device_count()}")
