"""Which pictures a run leaves behind: whatever its data and parts have to show."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ae_jax import evaluation, figures, generation
from ae_jax.data.source import Source
from ae_jax.figures import panels
from ae_jax.runs.run import Run

BYTES = 256
GREEDY = "each position given the most probable before it"
DRAWN = "each position drawn given those before it"
FILTERS = 64
Sets = Mapping[str, np.ndarray]


def is_image(run: Run) -> bool:
    """Whether the examples are pictures; a series has the shape of one."""
    return run.spec.kind != "series" and figures.is_image(run.spec.event_shape)


def spread(size: int, num: int) -> np.ndarray:
    """Places of `num` of `size` examples, all if no more, far apart: neighbours may overlap."""
    return np.arange(min(num, size)) * size // min(num, size)


def example_sets(run: Run, source: Source, num: int) -> dict[str, dict[str, np.ndarray]]:
    """Examples to set side by side, by figure, in the data's units.

    Args:
      run: trained.
      source: the split to show.
      num: how many examples.

    Returns:
      "reconstructions": "input", "corrupted" (where the model corrupts), "reconstruction" (of that;
      of a masked autoencoder, the input with its holes filled in) and, for
      numbers, "error" (the absolute difference, shown black at zero); "samples": where the model
      has a prior, means, or draws of an autoregressive decoder. Each `[num, *event]`.
    """
    records = source.read(spread(len(source), num))
    if run.model.encoder is None:
        return {"samples": {"sample": run.sample(len(records.x), extras=records.extras)}}
    sets = {"input": records.x}
    passed = evaluation.reconstructed(run, records)
    if not np.array_equal(passed.seen, passed.clean):
        sets["corrupted"] = passed.seen
    sets["reconstruction"] = again = passed.again
    if run.spec.kind in ("real", "binary", "count") and again.shape == records.x.shape:
        sets["error"] = run.display_range[0] + np.abs(again - np.asarray(records.x, np.float32))
    result = {"reconstructions": sets}
    if run.has_prior:
        drawn = is_autoregressive(run, records.extras)
        sample = run.sample(len(records.x), observations=drawn, extras=records.extras)
        result["samples"] = {"sample": sample}
    return result


def is_autoregressive(run: Run, extras: Mapping[str, Any]) -> bool:
    """Whether the decoder reads the entries before each; extras, `[n, …]`, are of any examples."""
    one = {name: np.asarray(value)[0] for name, value in extras.items()}
    return generation.is_autoregressive(run.model, run.variables, run.spec.event_shape, one)


def captions(run: Run, extras: Mapping[str, Any]) -> dict[str, str]:
    """What an autoregressive decoder read of its own in each figure; of another, nothing."""
    if not is_autoregressive(run, extras):
        return {}
    greedy = ("reconstructions", "interpolations", "traversals")
    return {name: f"{name}, {GREEDY}" for name in greedy} | {"samples": f"samples, {DRAWN}"}


def draw(run: Run, folder: Any, source: Source, num: int, points: list[dict[str, Any]]) -> None:
    """Writes every figure that applies into a folder.

    Args:
      run: trained.
      folder: `etils.epath.Path`.
      source: the split to show.
      num: how many examples.
      points: as `ae_jax.read_metrics` gives them.
    """
    sets = example_sets(run, source, num)
    titles = captions(run, source.read(np.zeros(1, int)).extras)
    for name, rows in sets.items():
        show(run, folder, name, rows, titles.get(name))
    figures.curves_figure(folder / "curves.png", points)
    _filters(run, folder, source)
    _activations(run, folder)


def show(run: Run, folder: Any, name: str, sets: Sets, title: str | None = None) -> None:
    """Writes `name.png` of examples in the data's units, as their kind of data is best looked at.

    Args:
      run: whose data they are.
      folder: `etils.epath.Path`.
      name: of the file.
      sets: by label, each `[n, *event]`.
      title: above the picture; None: the name.
    """
    SHOWN.get(run.spec.kind, _numbers)(run, folder, name, sets, title or name)


def _numbers(run: Run, folder: Any, name: str, sets: Sets, title: str) -> None:
    figures.examples_figure(folder / f"{name}.png", sets, *run.display_range, title)


def _series(run: Run, folder: Any, name: str, sets: Sets, title: str) -> None:
    del run
    panels.series_figure(folder / f"{name}.png", sets, title)


def _table(run: Run, folder: Any, name: str, sets: Sets, title: str) -> None:
    panels.table_figure(folder / f"{name}.png", sets, run.spec.columns or (), title)


def _text(run: Run, folder: Any, name: str, sets: Sets, title: str) -> None:
    if run.spec.num_classes != BYTES:
        return _numbers(run, folder, name, sets, title)
    end = run.spec.terminator
    lines = {label: [readable(row, end) for row in values] for label, values in sets.items()}
    if "input" in sets and "reconstruction" in sets:
        wrong = np.rint(sets["reconstruction"]) != np.asarray(sets["input"], np.float32)
        lines["wrong"] = ["".join(" ^"[int(byte)] for byte in row) for row in wrong]
    figures.text_figure(folder / f"{name}.png", lines, title)
    rows = zip(*lines.values(), strict=True)
    width = max(map(len, lines))
    text = "\n\n".join(
        "\n".join(
            f"{label:<{width}}  {line}".rstrip() for label, line in zip(lines, row, strict=True)
        )
        for row in rows
    )
    (folder / f"{name}.txt").write_text(text + "\n")
    return None


SHOWN: dict[str, Callable[..., None]] = {"series": _series, "table": _table, "tokens": _text}
"""How examples of a kind of data are shown; all others as pictures or lines."""


def show_walk(
    run: Run,
    folder: Any,
    name: str,
    values: np.ndarray,
    places: Sequence[float] | np.ndarray,
    title: str | None = None,
) -> None:
    """Writes `name.png` of walks through the latents, each in its own place.

    Args:
      run: whose codes they are decoded from.
      folder: `etils.epath.Path`.
      name: of the file.
      values: `[walks * steps, *event]`, in the data's units, walk after walk.
      places: `[steps]`, how far along each step is.
      title: above the picture; None: the name.
    """
    sets = {name: values}
    if run.spec.kind in WALKED:
        sets = WALKED[run.spec.kind](values, places)
    show(run, folder, name, sets, title)


def _by_step(values: np.ndarray, places: Sequence[float]) -> dict[str, np.ndarray]:
    return {f"{place:.2g}": values[i :: len(places)] for i, place in enumerate(places)}


def _by_walk(values: np.ndarray, places: Sequence[float]) -> dict[str, np.ndarray]:
    walks = values.reshape(-1, len(places), *values.shape[1:])
    return {f"walk {i}": walk for i, walk in enumerate(walks)}


WALKED: dict[str, Callable[..., dict[str, np.ndarray]]] = {"table": _by_walk, "tokens": _by_step}
"""How walks are cut into sets for `show`: a walk's steps under each other, or its line."""


def readable(tokens: np.ndarray, terminator: int | None = None) -> str:
    """Bytes up to a terminator as one line: what is not printable ASCII becomes a middle dot."""
    whole = np.clip(np.rint(tokens), 0, 255).astype(int).ravel()
    ends = np.flatnonzero(whole == terminator)
    whole = whole[: ends[0]] if len(ends) else whole
    return "".join(chr(value) if 32 <= value < 127 else "·" for value in whole)


def _filters(run: Run, folder: Any, source: Source) -> None:
    """Pictures of what single units stand for: those of a sparse code, else of the first layer."""
    shape = run.spec.event_shape
    if not is_image(run):
        return
    state = run.variables.state.get("bottleneck", {})
    filters = _dictionary(run, source) if USAGE & set(state) else _first_layer(run)
    if filters is not None:
        pictures = filters[:FILTERS].reshape(-1, *shape)
        extent = np.abs(pictures).max(axis=tuple(range(1, pictures.ndim)), keepdims=True)
        scaled = pictures / np.maximum(extent, 1e-12)
        figures.examples_figure(folder / "filters.png", {"filter": scaled}, -1, 1, "filters")


USAGE = {"mean_activation", "unused_for"}
"""What the bottlenecks with units of their own, sparse and TopK, keep of each unit's use."""


def _dictionary(run: Run, source: Source) -> np.ndarray:
    """What each unit of a sparse code adds to the decoded mean: decode(m + e_j) - decode(m).

    The code m it is added to is the mean activation, where the bottleneck keeps it, else 0. Units
    are taken at equal distances, so that those of a code with positions come from all over it.
    """
    shape = run.model.bottleneck.latent_shape
    total = math.prod(shape)
    units = spread(total, FILTERS)[:, None] == np.arange(total)
    units = units.astype(np.float32).reshape(-1, *shape)
    extras = source.read(np.zeros(len(units), int)).extras  # one condition for all
    mean = np.asarray(run.variables.state["bottleneck"].get("mean_activation", 0.0))
    base = np.broadcast_to(mean, units.shape)
    return run.decode(base + units, extras=extras) - run.decode(base, extras=extras)


def _first_layer(run: Run) -> np.ndarray | None:
    """The weights from the pixels to each unit of the encoder's first dense layer, if it is one."""
    leaves = jax.tree.leaves(run.variables.params.get("encoder", {}))
    size = math.prod(run.spec.event_shape)
    wide = [leaf for leaf in leaves if np.ndim(leaf) == 2 and leaf.shape[0] == size]
    return np.asarray(wide[0]).T if wide else None


def _activations(run: Run, folder: Any) -> None:
    """How active each unit of the code is on average, against the wanted ρ."""
    state = run.variables.state.get("bottleneck", {})
    if not isinstance(state, Mapping) or "mean_activation" not in state:
        return
    terms = run.config.objective
    wanted = [node["rho"] for node in terms.values() if "rho" in node] if terms != "custom" else []
    figures.histogram_figure(
        folder / "activations.png",
        np.ravel(state["mean_activation"]),
        "mean activation of each unit",
        {f"ρ = {rho:g}": rho for rho in wanted},
    )
