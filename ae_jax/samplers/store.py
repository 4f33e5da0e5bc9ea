"""Where a run keeps its samplers: `samplers/NAME/` holds `sampler.json` and `state.npz`.

The JSON is written last and holds the checksum of the arrays, so that a fit cut short is noticed,
and the fingerprint of the parameters whose codes were fitted: of a run that has trained on since,
the sampler is refused.
"""

import hashlib
import io
import re
from typing import Any

import numpy as np

from ae_jax import _workdir
from ae_jax.errors import ConfigError, MissingFileError, UnknownNameError, WorkdirError, nearest
from ae_jax.samplers.fitted import Fitted, fingerprint
from ae_jax.samplers.sampler import SAMPLERS, Sampler
from ae_jax.training.parallel import processes
from ae_jax.types import Node, Tree

SAMPLERS_FOLDER = "samplers"
META, STATE = "sampler.json", "state.npz"
VERSION = 1


def checked_name(sampler: Sampler, name: str | None) -> str:
    """The name to keep a sampler under: the given one, or the sampler's own.

    Raises:
      ConfigError: it cannot be a folder's.
    """
    if name is None:
        name = "custom" if sampler.node is None else sampler.node.name.rpartition(":")[2]
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise ConfigError(
            f"a sampler's name must be letters, digits, '_', '.' and '-', got {name!r}"
        )
    return name


def require_node(sampler: Sampler) -> Node:
    """The node that a sampler is rebuilt from.

    Raises:
      ConfigError: it has none.
    """
    if sampler.node is None:
        raise ConfigError(
            "this sampler has no config form, so that the run could not keep it: name your own "
            "'package.module:function'"
        )
    return sampler.node


def names(run: Any) -> tuple[str, ...]:
    """The names of the samplers that a run keeps, sorted; none for a run without workdir."""
    folder = None if run.workdir is None else run.workdir / SAMPLERS_FOLDER
    if folder is None or not folder.exists():
        return ()
    return tuple(sorted(path.name for path in folder.iterdir() if (path / META).exists()))


def save(run: Any, fitted: Fitted, codes: str, seed: int) -> None:
    """Keeps a sampler in a run's workdir, in place of one of the same name.

    Args:
      run: with a workdir.
      fitted: to be kept.
      codes: what it was fitted on, "means" or "samples".
      seed: of the fit.

    Raises:
      ConfigError: the sampler has no config form.
      WorkdirError: the workdir cannot be written.
    """
    node = require_node(fitted.sampler)
    if not processes.is_first():
        return
    arrays = to_bytes(fitted.state)
    folder = run.workdir / SAMPLERS_FOLDER / fitted.name
    with _workdir.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / STATE).write_bytes(arrays)
    meta = {
        "version": VERSION,
        "sampler": node.to_dict(),
        "latent_shape": list(fitted.latent_shape),
        "condition": fitted.condition,
        "classes": list(fitted.classes),
        "size": fitted.size,
        "fitted_on": {"codes": codes, "examples": fitted.codes, "seed": seed},
        "run": {"steps": run.config.training.steps, "fingerprint": fingerprint(run.variables)},
        "sha256": hashlib.sha256(arrays).hexdigest(),
    }
    _workdir.write_json(folder / META, meta)


def load(run: Any, name: str) -> Fitted:
    """A sampler that the run keeps, bit for bit as it was fitted.

    Args:
      run: an `ae.Run` with a workdir.
      name: under which it was kept.

    Returns:
      A Fitted.

    Raises:
      ConfigError: the run has no workdir.
      UnknownNameError: it keeps no sampler of this name; the nearest is named.
      WorkdirError: the files are damaged, of a newer ae_jax, or of other parameters of the run.

    Example:
      >>> import ae_jax as ae, numpy as np, tempfile
      >>> x = np.random.default_rng(0).random((256, 8)).astype(np.float32)
      >>> small = {"steps": 20, "batch_size": 32, "progress": False, "workdir": tempfile.mkdtemp()}
      >>> run = ae.fit(ae.recipes.autoencoder(2), x, **small)
      >>> fitted = ae.samplers.fit(run, x, "kernel_density")
      >>> kept = ae.samplers.load(run, "kernel_density")
      >>> bool((kept.sample(3) == fitted.sample(3)).all())
      True
    """
    if run.workdir is None:
        raise ConfigError(
            "this run has no workdir to keep samplers in: use what ae.samplers.fit returned, or "
            "train with workdir=…"
        )
    folder = run.workdir / SAMPLERS_FOLDER / str(name)
    if name not in names(run):
        raise UnknownNameError(
            f"'{run.workdir}' keeps no sampler '{name}'{nearest(name, names(run))} Fit it with "
            f"ae.samplers.fit(run, data, …, name='{name}')"
        )
    file = folder / META
    meta = _workdir.read_json(file)
    _workdir.check_version(file, meta, VERSION)
    if meta["run"]["fingerprint"] != fingerprint(run.variables):
        raise WorkdirError(
            f"sampler '{name}' was fitted on other parameters of this run than these, after "
            f"{meta['run']['steps']} steps: fit it again"
        )
    try:
        arrays = (folder / STATE).read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError(f"there is no '{folder / STATE}': fit the sampler again") from error
    if hashlib.sha256(arrays).hexdigest() != meta["sha256"]:
        raise WorkdirError(f"'{folder / STATE}' is damaged: fit the sampler again")
    return Fitted(
        name,
        SAMPLERS.build(meta["sampler"]),
        from_bytes(arrays),
        tuple(meta["latent_shape"]),
        meta["condition"],
        tuple(meta["classes"]),
        meta["fitted_on"]["examples"],
        meta.get("size"),
    )


def to_bytes(state: Tree) -> bytes:
    """Nested dicts of arrays as an NPZ file, keys joined by "/".

    Example:
      >>> tree = {"a": {"b": np.arange(3)}, "c": np.ones(2, np.float32)}
      >>> from_bytes(to_bytes(tree))["a"]["b"].tolist()
      [0, 1, 2]
    """
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(_flat(state)))
    return buffer.getvalue()


def from_bytes(stored: bytes) -> Tree:
    """The nested dicts of `to_bytes`."""
    state: dict[str, Any] = {}
    with np.load(io.BytesIO(stored), allow_pickle=False) as arrays:
        for path, value in arrays.items():
            *folders, last = path.split("/")
            place = state
            for folder in folders:
                place = place.setdefault(folder, {})
            place[last] = value
    return state


def _flat(state: Tree, prefix: str = "") -> Any:
    for name, value in state.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value
