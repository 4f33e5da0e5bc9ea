"""What is chosen for the user, from the data alone: preprocessing, networks, likelihood."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import compiler, keys, likelihoods, networks
from ae_jax.data import kinds, preprocessing
from ae_jax.data.dataset import Dataset, as_dataset
from ae_jax.data.declared import Declared
from ae_jax.data.facts import Facts, facts_of, loses
from ae_jax.data.intake import take_in
from ae_jax.data.preprocessing import Preprocessing, on_device
from ae_jax.data.source import Subset, lies_in_memory, pieces, sampled
from ae_jax.errors import DataError
from ae_jax.types import Bottleneck, Column, Likelihood, Network, Spec

HIDDEN = (512,)
# Of transformers: minutes on a CPU rather than an hour.
SMALL: dict[str, Any] = {"width": 64, "depth": 1}
FLAT = 1e-12
"""Numbers whose deviation is at most this share of their mean are taken for a constant."""
TABLE: dict[str, Any] = {"hidden": (128, 128), "activation": "tanh"}
"""Of networks for rows of numbers: tanh units, which stay bounded far from the data as well."""
LEAST = 0.5
"""The deviation, in those of a standardised column, that the learned one of a table stays above."""


def _mlp(spec: Spec) -> Network:
    """Of a symmetric model; rows of numbers get other units than images and series."""
    row = len(spec.event_shape) == 1 and spec.kind in ("real", "table", "count")
    return networks.mlp(**TABLE) if row else networks.mlp(HIDDEN)


class Choice(NamedTuple):
    """The parts for one kind of data, each from its Spec.

    Attributes:
      likelihood: where the code has a density.
      point: where it is a point: numbers at unit variance, so that terms weigh against ½ Σ(x - x̂)².
      encoder: Network.
      decoder: Network.
    """

    likelihood: Callable[[Spec], Likelihood]
    point: Callable[[Spec], Likelihood]
    encoder: Callable[[Spec], Network] = _mlp
    decoder: Callable[[Spec], Network] = _mlp


def _table(spec: Spec) -> Likelihood:
    columns = spec.columns or ()
    return likelihoods.mixed([(COLUMN_LIKELIHOOD[c.kind](c), 1) for c in columns])


def _table_of_points(spec: Spec) -> Likelihood:
    kinds = COLUMN_LIKELIHOOD | {"number": lambda column: likelihoods.gaussian()}
    return likelihoods.mixed([(kinds[c.kind](c), 1) for c in spec.columns or ()])


def _real(spec: Spec) -> Likelihood:
    least = LEAST if len(spec.event_shape) == 1 else None
    return likelihoods.gaussian(variance="global", least=least)


COLUMN_LIKELIHOOD: dict[str, Callable[[Column], Likelihood]] = {
    "number": lambda column: likelihoods.gaussian(variance="global", least=LEAST),
    "category": lambda column: likelihoods.categorical(num_classes=len(column.categories)),
    "count": lambda column: likelihoods.negative_binomial(),
}


def _unit(spec: Spec) -> Likelihood:
    del spec
    return likelihoods.gaussian()


def _count(spec: Spec) -> Likelihood:
    del spec
    return likelihoods.negative_binomial()


def _tokens(spec: Spec) -> Likelihood:
    return likelihoods.categorical(num_classes=spec.num_classes or 0)


KINDS = {
    "binary": Choice(lambda spec: likelihoods.bernoulli(), _unit),
    "real": Choice(_real, _unit),
    "series": Choice(lambda spec: likelihoods.gaussian(variance="global"), _unit),
    "count": Choice(_count, _count),
    "tokens": Choice(
        _tokens,
        _tokens,
        encoder=lambda spec: networks.transformer(vocabulary=spec.num_classes, **SMALL),
        decoder=lambda spec: networks.transformer_decoder(vocabulary=spec.num_classes, **SMALL),
    ),
    "table": Choice(
        _table,
        _table_of_points,
        encoder=lambda spec: networks.tabular(
            [len(c.categories) for c in spec.columns or ()], **TABLE
        ),
    ),
}
"""What is chosen for each kind of data."""


def choose(spec: Spec, bottleneck: Bottleneck | None = None) -> Mapping[str, Any]:
    """The parts for data of this spec, by name, for whatever a recipe leaves unset.

    Values that are all 0 or 1 get the Bernoulli likelihood; grey levels and other numbers the
    Gaussian with one learned variance, which needs no weight between its terms (Rybkin, Daniilidis
    & Levine 2021, "Simple and effective VAE training with calibrated decoders"), both the Gaussian
    of unit variance where the code is a point; tokens the categorical; counts the negative
    binomial; tables a likelihood a column. The variance of rows of numbers, `[d]`, and of a table's
    numbers stays above 0.25 of a standardised column's, so that no optimizer runs away with it, and
    their networks have tanh units.

    Args:
      spec: of one example.
      bottleneck: of the recipe; None: one whose code has a density.
    """
    kinds.require_kind(spec.kind)
    choice = KINDS[spec.kind]
    point = bottleneck is not None and _is_point(bottleneck)
    return {
        "encoder": choice.encoder(spec),
        "decoder": choice.decoder(spec),
        "likelihood": (choice.point if point else choice.likelihood)(spec),
    }


def _is_point(bottleneck: Bottleneck) -> bool:
    """Whether a code is a point: its posterior has no density."""

    def log_prob(features):
        params, state = bottleneck.init(jax.random.key(0))
        posterior = bottleneck.posterior(params, state, features)
        return posterior.log_prob(bottleneck.latent(params, state, posterior, None))

    return jax.eval_shape(log_prob, jax.ShapeDtypeStruct(bottleneck.feature_shape, "f4")) is None


def choose_preprocessing(dataset: Dataset) -> Preprocessing:
    """Scaling for a data set, from the training split (if that streams: a fixed sample of it).

    - tokens and counts: as they are; tables: `standardise` their numbers alone;
    - a source that declares its range, and uint8 data: `scale` to [0, 1] (uint8 holding only 0 and
      1 is taken as binary);
    - booleans, what is declared binary, and floats all within [0, 1] that float32 can tell apart:
      as they are;
    - everything else: `standardise`, one mean and deviation a feature for `[n, d]` data and for a
      data set of kind "series", one in all otherwise; features without spread keep deviation 1.
      Missing entries count for nothing.
    """
    if dataset.kind in ("tokens", "count"):
        return preprocessing.none()
    if dataset.value_range is not None:
        return preprocessing.scale(*dataset.value_range)
    facts, dtype = facts_of(dataset.train, dataset.by_column), dataset.train.spec.x.dtype
    low, high = facts.extent
    if dataset.kind != "table":
        if dtype == np.uint8:
            return preprocessing.scale(0.0, 255.0 if high > 1 else 1.0)
        if dataset.kind == "binary":
            return preprocessing.none()
        if dtype == np.bool_ or (low >= 0 and high <= 1 and not facts.loses_in_float32):
            return preprocessing.none()
    mean, std = _moments(facts)
    if dataset.columns is not None:
        number = np.array([column.kind == "number" for column in dataset.columns])
        mean, std = np.where(number, mean, 0.0), np.where(number, std, 1.0)
    plain = lambda v: tuple(map(float, v)) if np.ndim(v) else float(v)
    return preprocessing.standardise(plain(mean), plain(std))


def _moments(facts: Facts) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation to standardise by: 1 for what does not vary, exactly the value if far."""
    mean, std = np.asarray(facts.mean), np.asarray(facts.deviation)
    if not np.isfinite(mean + std).all():
        raise DataError(
            f"the training data reach from {facts.extent[0]} to {facts.extent[1]}: their squares "
            "exceed float64, so that they have no deviation to be scaled by; rescale them"
        )
    whole = np.issubdtype(facts.low.dtype, np.integer)
    flat = facts.constant | (std <= (0.0 if whole else FLAT * np.abs(mean)))
    mean = np.where(facts.constant & loses(mean, 1.0), facts.low.astype(np.float64), mean)
    return mean, np.where(flat, 1.0, std)


def start(likelihood: Likelihood, dataset: Dataset, preprocess: Preprocessing) -> Likelihood:
    """The likelihood, started at the means of the training split if it has a use for them.

    Args:
      likelihood: of the model.
      dataset: of which the training split, if that streams a fixed sample of it, is looked at.
      preprocess: what the model's data are preprocessed by.

    Returns:
      A Likelihood. An entry that is 0 throughout counts as half a count among all examples.
    """
    if likelihood.started is None or isinstance(dataset.train, Declared):
        return likelihood
    train = dataset.train if lies_in_memory(dataset.train) else sampled(dataset.train)
    total = count = np.zeros(())
    for piece in pieces(train):
        x = np.asarray(preprocess.apply(piece.x), np.float64)
        seen = np.ones(x.shape, bool)
        if piece.observed is not None:
            seen = np.array(preprocess.observed(piece.observed), bool)
        if piece.valid is not None:
            seen[~np.asarray(piece.valid)] = False
        total = total + np.where(seen, x, 0).sum(axis=0)
        count = count + seen.sum(axis=0)
    return likelihood.started(np.maximum(total, 0.5) / np.maximum(count, 1))


def spec_of(data: Any, preprocess: Preprocessing | None = None) -> Spec:
    """The spec of a data set or array once preprocessed.

    Args:
      data: whatever `fit` takes.
      preprocess: None: the one that would be chosen.

    Returns:
      A Spec. The kind is the data set's own if it declares one; else "binary" if all values are 0
      or 1, and "real".
    """
    dataset = data if isinstance(data, Dataset) else as_dataset(data)
    preprocess = choose_preprocessing(dataset) if preprocess is None else preprocess
    shape = preprocess.event_shape(tuple(dataset.train.spec.x.shape))
    if dataset.kind is not None:
        kinds.require_kind(dataset.kind)
        own = dataset.kind, dataset.num_classes, dataset.columns, dataset.terminator
        return Spec(shape, *own)
    binary = _all_binary if preprocess.affine is None else _affine_binary
    kind = "binary" if binary(dataset, preprocess) else "real"
    return Spec(shape, kind, columns=dataset.columns)


def _affine_binary(dataset: Dataset, preprocess: Preprocessing) -> bool:
    """Whether all values become 0 or 1: there are two at most, and the ends of each column do."""
    facts = facts_of(dataset.train, dataset.by_column)
    if facts.levels is None and not facts.constant.all():
        return False
    shape = dataset.train.spec.x.shape
    ends = np.stack([np.broadcast_to(end, shape) for end in (facts.low, facts.high)])
    apply = preprocess.apply if preprocess.host else jax.jit(preprocess.apply)
    values = np.asarray(apply(ends))
    return bool(((values == 0) | (values == 1)).all())


def _all_binary(dataset: Dataset, preprocess: Preprocessing) -> bool:
    """The same by trying, up to the first value that is another."""
    train = dataset.train if lies_in_memory(dataset.train) else sampled(dataset.train)
    if train.spec.valid is not None:
        valid = np.concatenate([np.asarray(piece.valid) for piece in pieces(train)])
        train = Subset(train, np.flatnonzero(valid))

    @compiler.jit
    def all_binary(x):
        values = on_device(preprocess).apply(x, keys.any_draws(len(x)))
        return jnp.all((values == 0) | (values == 1))

    return all(bool(all_binary(piece.x)) for piece in pieces(take_in(train, preprocess.host)))


def display_range(dataset: Dataset) -> tuple[float, float]:
    """The values, in the data's units, that figures show black and white."""
    if dataset.value_range is not None:
        return dataset.value_range
    low, high = facts_of(dataset.train, dataset.by_column).extent
    if low.dtype == np.uint8:
        return (0.0, 255.0 if high > 1 else 1.0)
    return float(low), float(high)
