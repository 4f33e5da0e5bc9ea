"""What the scripts share: flags, the compilation cache, exit codes (0 done, 1 failure, 2 usage)."""

import os
import pathlib
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

from ae_jax import config as config_lib
from ae_jax.config.sections import ConfigLike
from ae_jax.errors import AeJaxError, ConfigError, MissingFileError, nearest
from ae_jax.precision import compiled_in_float32
from ae_jax.training import terminal
from ae_jax.training.parallel import processes

BAD_USAGE = 2
CACHE = "JAX_COMPILATION_CACHE_DIR"
PROCESS_FLAGS = ("coordinator", "num_processes", "process_id", "cluster")


def main(
    run: Callable[..., None],
    required: Sequence[str] = (),
    joins: bool = True,
    positional: bool = False,
) -> None:
    """Parses the command line and runs a script; our own errors end as one line, not a traceback.

    Args:
      run: reads `absl.flags.FLAGS`; takes nothing, or what is not a flag if `positional`.
      required: names of flags that must be given.
      joins: False for a script that only passes on the flags of `define_processes`.
      positional: whether arguments that are no flags are taken.
    """
    for name in required:
        flags.mark_flag_as_required(name)
    _tell_of(run)

    def guarded(argv: list[str]) -> None:
        try:
            if len(argv) > 1 and not positional:
                raise ConfigError(f"unexpected argument {argv[1]!r}; options start with --")
            use_compilation_cache()
            if joins:
                _join()
            with compiled_in_float32():
                run(*argv[1:])
            sys.stdout.flush()
        except AeJaxError as error:
            bad_usage = isinstance(error, ConfigError | MissingFileError)
            terminal.say(f"{type(error).__name__}: {error}")
            processes.leave(BAD_USAGE if bad_usage else 1, error)
        except BrokenPipeError as error:  # whoever read what the script prints has gone
            terminal.silence(sys.stdout)
            terminal.silence(sys.stderr)
            processes.leave(1, error)
        except Exception as error:
            if not processes.joined():
                raise
            traceback.print_exc()
            print("once all processes have ended, the same commands go on", file=sys.stderr)
            processes.leave(1, error)

    app.run(guarded, flags_parser=_parse)


def _tell_of(run: Callable[[], None]) -> None:
    """Makes --help speak of the command, not of the module that was started."""
    sys.modules["__main__"].__doc__ = sys.modules[run.__module__].__doc__
    for module, defined in flags.FLAGS.flags_by_module_dict().items():
        if module.startswith("ae_jax.cli."):
            for flag in defined:
                flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def process_started() -> float:
    """When this process began, seconds since 1970; now, where the system does not tell."""
    now = time.time()
    try:
        ticks = int(pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        booted = now - time.clock_gettime(time.CLOCK_BOOTTIME)
        return min(now, booted + ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, AttributeError):
        return now


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        print(f"{_plain(error)}\nTry --help.", file=sys.stderr)
        sys.exit(BAD_USAGE)


def _plain(error: BaseException) -> str:
    """The message behind what a flag parser makes of it (it quotes tracebacks and key errors)."""
    cause: BaseException | None = error
    ours = None
    while cause is not None:  # the first that was raised: what wraps it may take its type as well
        ours = cause if isinstance(cause, AeJaxError) else ours
        cause = cause.__cause__ or cause.__context__
    if ours is not None:
        return f"{type(ours).__name__}: {ours}"
    return str(error.args[0]) if isinstance(error, KeyError) else str(error)


def _user_cache() -> str | None:
    """The folder for compiled programs; None where a user has no home, in a container say."""
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        cache = pathlib.Path(home) if home else pathlib.Path.home() / ".cache"
    except RuntimeError:
        return None
    return str(cache / "ae_jax" / "compiled")


def define_config(**options: Any) -> None:
    """Defines the flag --config and its overrides, `--config.path.to.field=value`.

    An override may name what the file does not set, e.g. `--config.data.arguments.size=16`; fields
    that do not exist are refused when the config is completed.

    Args:
      **options: options of ml_collections' `DEFINE_config_file`.
    """
    text = "A file in configs/, or FILE:variant."
    options |= {"lock_config": False, "accept_new_attributes": True}
    config_flags.DEFINE_config_file("config", None, text, **options)


def define_processes() -> None:
    """Defines the flags by which a script is one of several processes."""
    flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, to run as several.")
    flags.DEFINE_integer("num_processes", None, "How many processes there are.")
    flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.")
    names = "auto, gcetpu, gketpu, slurm, k8s, ompi or mpi4py"
    flags.DEFINE_string("cluster", None, f"In place of the three: what to find them by, {names}.")


def process_arguments() -> list[str]:
    """The flags of `define_processes` as they were given, for another command."""
    given = ((name, flags.FLAGS[name].value) for name in PROCESS_FLAGS if name in flags.FLAGS)
    return [f"--{name}={value}" for name, value in given if value is not None]


def _join() -> None:
    """Joins the other processes, if the flags say that there are any."""
    if process_arguments():
        processes.join(*(flags.FLAGS[name].value for name in PROCESS_FLAGS))


def use_compilation_cache() -> None:
    """Keeps compiled programs between processes: `$JAX_COMPILATION_CACHE_DIR`, or a user cache."""
    import jax

    if (folder := os.environ.get(CACHE) or _user_cache()) is not None:
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    logging.set_verbosity(logging.WARNING)


def read_config(flag: str = "config") -> Mapping[str, Any]:
    """The value of a config-file flag.

    Raises:
      MissingFileError: there is no such file; the nearest beside it is named.
    """
    try:
        return flags.FLAGS[flag].value.copy_and_resolve_references()  # pyright: ignore[reportOptionalMemberAccess]
    except OSError as error:
        path = pathlib.Path(config_flags.get_config_filename(flags.FLAGS[flag]))
        beside = [str(sibling) for sibling in path.parent.glob("*.py")]
        if path.exists():
            raise ConfigError(f"the config file '{path}' cannot be loaded: {error}") from error
        raise MissingFileError(f"there is no config file '{path}'{nearest(path, beside)}") from None


def parse_steps(text: str) -> tuple[int, int]:
    """Two steps from "FIRST:LAST".

    Raises:
      ConfigError: it is something else.
    """
    first, colon, last = text.partition(":")
    if not (colon and first.isdigit() and last.isdigit()):
        raise ConfigError(f"--profile must be FIRST:LAST, e.g. 100:110, got {text!r}")
    return int(first), int(last)


def require_deterministic(config: ConfigLike) -> None:
    """Sets XLA's deterministic kernels for `training.deterministic`; before any device is used."""
    if config_lib.complete(config).training.deterministic:
        flag = "--xla_gpu_deterministic_ops=true"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
