"""What a model makes of corrupted inputs: how well it denoises, what its code still tells."""

import collections
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import _registry as registry
from ae_jax import generation, keys
from ae_jax.data import matching
from ae_jax.data.batches import to_batch
from ae_jax.data.preprocessing import on_device
from ae_jax.data.source import Records, Source, as_numpy, pieces, readable
from ae_jax.errors import DataError, nearest
from ae_jax.masks import MASK, Hiding, hide
from ae_jax.types import Array, Batch


class Reconstructed(NamedTuple):
    """What a run makes of corrupted examples, in the data's units, each `[n, *event]`.

    Attributes:
      seen: what the encoder saw.
      again: their reconstructions; of networks that are told of a mask, x with its holes filled in.
      clean: x.
      hidden: bool, where the corruption replaced x; None: it does not tell.
      codes: z, `[n, *latent]`.
    """

    seen: np.ndarray
    again: np.ndarray
    clean: np.ndarray
    hidden: np.ndarray | None
    codes: np.ndarray


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
        noise_keys = keys.for_examples(jax.random.wrap_key_data(root), None, places).corruption
        x = jax.vmap(lambda *one: part(*one)[0])(noise_keys, batch.x, batch.observed)
        return on_device(run.preprocessing).invert(x)

    which = corruption if callable(corruption) else str(corruption)
    places, root = np.arange(len(records.x), dtype=np.uint32), keys.root(seed)
    bare = jax.tree.map(np.asarray, records._replace(extras={}))
    corrupted = run.over_examples(("corrupt", which), seen, in_units=True)
    return corrupted(jax.random.key_data(root), bare, places)


def psnr(x: Any, again: Any, low: float, high: float) -> np.ndarray:
    """Peak signal-to-noise ratio, 10 log₁₀((high - low)² / mean (x - x̂)²), in dB.

    Args:
      x: data, `[n, *event]`.
      again: reconstructions x̂, `[n, *event]`.
      low: least value that x can take.
      high: greatest value that x can take.

    Returns:
      `[n]`, infinite where both are the same.

    Example:
      >>> import numpy as np
      >>> float(psnr(np.zeros((1, 4)), np.full((1, 4), 0.1), 0.0, 1.0)[0])
      20.0
    """
    error = np.asarray(x, np.float64) - np.asarray(again, np.float64)
    return _decibels(np.mean(error.reshape(len(error), -1) ** 2, axis=1), low, high)


def _decibels(error: np.ndarray, low: float, high: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return 10 * np.log10((high - low) ** 2 / error)


def reconstructed(
    run: Any, records: Records, corruption: Any = None, seed: int = 0
) -> Reconstructed:
    """What a run makes of corrupted examples, its networks told of the mask as in training.

    Args:
      run: a Run of a model whose reconstructions have the shape of x.
      records: examples in the data's units, `[n, …]`.
      corruption: corruption, see `corrupt`.
      seed: seed, see `corrupt`; the same on any number of devices.

    Returns:
      A Reconstructed.
    """
    part = run.model.corruption if corruption is None else registry.CORRUPTIONS.build(corruption)

    def one_batch(shared, records, places):
        variables, root = shared
        batch = to_batch(records, places, run.preprocessing)
        noise_keys = keys.for_examples(jax.random.wrap_key_data(root), None, places).corruption
        x, info = jax.vmap(lambda *one: part(*one))(noise_keys, batch.x, batch.observed)
        return _through(run, variables, batch, x, info)

    which = corruption if callable(corruption) else str(corruption)
    places, root = np.arange(len(records.x), dtype=np.uint32), keys.root(seed)
    shared = run.variables, jax.random.key_data(root)
    through = run.over_examples(("reconstructed", which), one_batch)
    return _host_undone(run, through(shared, as_numpy(records), places))


def filled(run: Any, records: Records, mask: Any) -> np.ndarray:
    """Examples with what a mask hides filled in; see `Run.reconstruct`.

    Args:
      run: a Run of a model that was trained to fill in what is hidden.
      records: examples in the data's units, `[n, …]`.
      mask: bool, True where hidden: of an example's shape or the shape of its grid of patches, with
        or without n before; or a whole number, the seed of masks of the run's own corruption.

    Returns:
      `[n, *event]`, as `Run.reconstruct` gives: x, and the mean of p(x | z) where it was hidden or
      is missing.

    Raises:
      PartError: the model's corruption hides nothing.
      ShapeError: a mask of another shape.
      DataError: a mask that is not bool, hides all of an example, or part of a patch.
    """
    hiding = Hiding.of(run.model.corruption, run.spec.event_shape)
    if isinstance(mask, int | np.integer) and not isinstance(mask, bool):
        result = reconstructed(run, records, seed=int(mask))
    else:

        def through(variables, records, info):
            batch = to_batch(records, np.zeros(len(records.x), np.uint32), run.preprocessing)
            x, told = hide(batch.x, info, batch.observed, hiding.value)
            return _through(run, variables, batch, x, told)

        info = hiding.info(_in_the_models_shape(run, mask, len(records.x)), len(records.x))
        result = _host_undone(
            run, run.over_examples("filled", through)(run.variables, as_numpy(records), info)
        )
    x, hidden, observed = np.asarray(records.x), np.asarray(result.hidden), records.observed
    if hidden.shape != x.shape:  # what is cropped does not come back
        x, observed = (
            result.clean,
            None if observed is None else run.preprocessing.observed(observed),
        )
    if observed is not None:
        hidden = hidden | ~np.asarray(observed)
    return np.where(hidden, result.again, x).astype(result.again.dtype)


def _in_the_models_shape(run: Any, mask: Any, num: int) -> np.ndarray:
    """A mask of the data's shape padded and cropped as the data are; any other as it is."""
    mask, shape = np.asarray(mask), run.data_shape
    if shape == run.spec.event_shape or mask.shape not in (shape, (num, *shape)):
        return mask
    each = np.broadcast_to(mask, (num, *shape))
    return each if each.dtype != np.bool_ else ~np.asarray(run.preprocessing.observed(~each))


def _through(run: Any, variables: Any, batch: Batch, x: Array, info: Any) -> Any:
    """The row from x̃ on, as `forward` takes it, with the posterior's mean."""
    model, extras = run.model, dict(batch.extras)
    z = model.encode(variables, x, None, batch.observed, extras, info)
    hidden, invert = info.get(MASK), on_device(run.preprocessing).invert
    known: Any = batch.observed  # for library sizes: nothing of what is hidden
    if hidden is not None:
        known = ~hidden if known is None else known & ~hidden
    again = model.decode(variables, z, extras, x, known, info)
    if hidden is not None:
        if generation.reads_info(model, variables, batch, info):
            # What is seen was never to be learned.
            again = jnp.where(known, batch.x, again)
        if run.data_shape != run.spec.event_shape:
            hidden = invert(hidden.astype(x.dtype)) != invert(jnp.zeros_like(x))
    return Reconstructed(invert(x), run.functions.in_units(again), invert(batch.x), hidden, z)


def _host_undone(run: Any, result: Reconstructed) -> Reconstructed:
    host = run.preprocessing.host
    if host is None:
        return result
    seen, again, clean = (host.invert(x) for x in (result.seen, result.again, result.clean))
    return result._replace(seen=seen, again=again, clean=clean)


def denoising(run: Any, source: Source, corruption: Any = None, seed: int = 0) -> dict[str, float]:
    """How much nearer to the clean example the reconstruction is than the corrupted one.

    A masked autoencoder, whose networks are told of the mask, is judged by the example with its
    holes filled in: what it emits elsewhere was never to be learned.

    Args:
      run: a Run of a model whose reconstructions have the shape of x.
      source: a split, e.g. `run.dataset().test`.
      corruption: corruption, see `corrupt`.
      seed: seed, see `corrupt`.

    Returns:
      Means over the split's observed entries, in dB over the run's display range: "psnr_corrupted"
      of the corrupted examples, "psnr_denoised" of their reconstructions; and of a corruption that
      tells its mask, over the hidden entries alone, "psnr_hidden", and "mse_hidden" in the data's
      units squared.
    """
    ratios: dict[str, list[np.ndarray]] = collections.defaultdict(list)
    for i, piece in enumerate(pieces(matching.matched(source, run.spec.columns))):
        piece = readable(piece)
        passed = reconstructed(run, piece, corruption, seed=(seed + i) % 2**32)
        seen = np.ones(piece.x.shape, bool) if piece.observed is None else piece.observed
        for name, again in (("psnr_corrupted", passed.seen), ("psnr_denoised", passed.again)):
            error = _mean_square(piece.x, again, seen)
            ratios[name].append(_decibels(error, *run.display_range))
        if passed.hidden is not None:
            error = _mean_square(piece.x, passed.again, passed.hidden & seen)
            ratios["psnr_hidden"].append(_decibels(error, *run.display_range))
            ratios["mse_hidden"].append(error)
    return {name: float(np.concatenate(values).mean()) for name, values in ratios.items()}


def _mean_square(x: Any, again: Any, where: np.ndarray) -> np.ndarray:
    """The mean squared error over chosen entries of the examples that have any."""
    rows = lambda v: np.asarray(v, np.float64).reshape(len(where), -1)
    chosen = where.reshape(len(where), -1)
    squares = np.where(chosen, (rows(x) - rows(again)) ** 2, 0.0)
    count = chosen.sum(axis=1)
    return squares.sum(axis=1)[count > 0] / count[count > 0]


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

    first = lambda part: readable(part.read(np.arange(min(num, len(part)))))
    seen, held = (first(matching.matched(part, run.spec.columns)) for part in (train, test))
    if label not in seen.extras:
        raise DataError(f"the data have no label '{label}'{nearest(label, seen.extras)}")

    rows = lambda z: np.asarray(z, np.float64).reshape(len(z), -1)
    codes = lambda records: rows(
        run.encode(records.x, observed=records.observed, extras=records.extras)
    )
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(codes(seen), seen.extras[label])
    result = {"probe_accuracy": float(probe.score(codes(held), held.extras[label]))}
    if corruption is not None:
        noisy = rows(reconstructed(run, held, corruption).codes)
        result["probe_accuracy_corrupted"] = float(probe.score(noisy, held.extras[label]))
    return result
