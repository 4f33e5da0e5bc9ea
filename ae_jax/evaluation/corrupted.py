"""What a model makes of corrupted inputs: how well it denoises, what its code still tells."""

from typing import Any

import jax
import numpy as np

from ae_jax import keys, registry
from ae_jax.data.preprocessing import on_device
from ae_jax.data.resident import to_batch
from ae_jax.data.source import Records, Source, pieces
from ae_jax.errors import DataError, nearest


def corrupt(run: Any, records: Records, corruption: Any = None, seed: int = 0) -> np.ndarray:
    """What an encoder would see of these examples in place of them.

    Args:
      run: a Run.
      records: examples in the data's units, `[n, …]`.
      corruption: a part of `ae_jax.corruptions`, its name or config node; None: the run's own.
      seed: the same seed gives the same noise to the example at the same place.

    Returns:
      float32 `[n, *event]` in the data's units, not clipped to their range.
    """
    part = run.model.corruption if corruption is None else registry.CORRUPTIONS.build(corruption)

    def seen(root, records, places):
        batch = to_batch(records, places, run.preprocessing)
        own = keys.for_examples(jax.random.wrap_key_data(root), None, places).corruption
        x = jax.vmap(lambda *one: part(*one)[0])(own, batch.x, batch.observed)
        return on_device(run.preprocessing).invert(x)

    which = corruption if callable(corruption) else str(corruption)
    places, root = np.arange(len(records.x), dtype=np.uint32), keys.root(seed)
    own = jax.tree.map(np.asarray, records._replace(extras={}))
    return run._in_units(("corrupt", which), seen)(jax.random.key_data(root), own, places)


def psnr(x: Any, again: Any, low: float, high: float) -> np.ndarray:
    """Peak signal-to-noise ratio, 10 log₁₀((high - low)² / mean (x - x̂)²), in dB.

    Args:
      x: `[n, *event]`.
      again: x̂, likewise.
      low: the least value that x can take.
      high: the greatest.

    Returns:
      `[n]`, infinite where both are the same.

    Example:
      >>> import numpy as np
      >>> float(psnr(np.zeros((1, 4)), np.full((1, 4), 0.1), 0.0, 1.0)[0])
      20.0
    """
    error = np.asarray(x, np.float64) - np.asarray(again, np.float64)
    mean = np.mean(error.reshape(len(error), -1) ** 2, axis=1)
    with np.errstate(divide="ignore"):
        return 10 * np.log10((high - low) ** 2 / mean)


def denoising(run: Any, source: Source, corruption: Any = None, seed: int = 0) -> dict[str, float]:
    """How much nearer to the clean example the reconstruction is than the corrupted one.

    Args:
      run: a Run of a model whose reconstructions have the shape of x.
      source: a split, e.g. `run.dataset().test`.
      corruption: see `corrupt`.
      seed: see `corrupt`.

    Returns:
      Means over the split, in dB over the run's display range: "psnr_corrupted" of the corrupted
      examples, "psnr_denoised" of their reconstructions.
    """
    found: dict[str, list[np.ndarray]] = {"psnr_corrupted": [], "psnr_denoised": []}
    for i, piece in enumerate(pieces(source)):
        seen = corrupt(run, piece, corruption, seed=(seed + i) % 2**32)
        again = run.reconstruct(seen, observed=piece.observed, extras=piece.extras)
        found["psnr_corrupted"].append(psnr(piece.x, seen, *run.display_range))
        found["psnr_denoised"].append(psnr(piece.x, again, *run.display_range))
    return {name: float(np.concatenate(values).mean()) for name, values in found.items()}


def linear_probe(
    run: Any,
    train: Source,
    test: Source,
    label: str = "label",
    corruption: Any = None,
    num: int = 10_000,
) -> dict[str, float]:
    """How well a linear classifier reads a label from the code.

    A logistic regression (scikit-learn's, L2 of weight 1) on standardised codes of clean training
    examples, as Vincent et al. 2010 and most of the literature judge features.

    Args:
      run: a Run.
      train: fitted on the first `num` examples.
      test: judged on the first `num`.
      label: the entry of `extras` that holds it.
      corruption: if given (see `corrupt`), test examples are also judged corrupted by it.
      num: how many examples.

    Returns:
      "probe_accuracy" and, with a corruption, "probe_accuracy_corrupted", in [0, 1].

    Raises:
      DataError: the data have no such label.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    seen, held = (s.read(np.arange(min(num, len(s)))) for s in (train, test))
    if label not in seen.extras:
        raise DataError(f"the data have no label '{label}'{nearest(label, seen.extras)}")

    def codes(x, records):
        z = run.encode(x, observed=records.observed, extras=records.extras)
        return np.asarray(z, np.float64).reshape(len(z), -1)

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(codes(seen.x, seen), seen.extras[label])
    result = {"probe_accuracy": float(probe.score(codes(held.x, held), held.extras[label]))}
    if corruption is not None:
        noisy = codes(corrupt(run, held, corruption), held)
        result["probe_accuracy_corrupted"] = float(probe.score(noisy, held.extras[label]))
    return result
