"""What is chosen for the user, from the data alone: preprocessing, networks, likelihood."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import likelihoods, networks
from ae_jax.critics import critic as build_critic
from ae_jax.data import kinds
from ae_jax.data.dataset import Dataset
from ae_jax.data.declared import Declared
from ae_jax.data.preprocessing import Preprocessing
from ae_jax.data.source import lies_in_memory, pieces, sampled
from ae_jax.networks.adapters import accepted
from ae_jax.types import Bottleneck, Column, Critic, Likelihood, Network, Spec

HIDDEN = (512,)
# Of transformers: minutes on a CPU rather than an hour.
SMALL: dict[str, Any] = {"width": 64, "depth": 1}
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
      likelihood: likelihood where the code has a density.
      point: likelihood where the code is a point: numbers at unit variance, so that terms weigh
        against ½ Σ(x - x̂)².
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
      spec: spec of one example.
      bottleneck: bottleneck of the recipe; None: one whose code has a density.
    """
    kinds.require_kind(spec.kind)
    choice = KINDS[spec.kind]
    point = bottleneck is not None and _is_point(bottleneck, spec)
    return {
        "encoder": choice.encoder(spec),
        "decoder": choice.decoder(spec),
        "likelihood": (choice.point if point else choice.likelihood)(spec),
    }


CODES: dict[str, Any] = {"hidden": (512, 512), "activation": "leaky_relu"}
"""Of critics of codes, and of pairs."""


def chosen_critic(critic: Critic, spec: Spec) -> Critic:
    """A critic with its network chosen for data of this spec, if it has none.

    That of examples is an encoder of such data; that of codes, or of pairs, two dense layers.
    """
    if critic.network is not None or critic.decay is not None:
        return critic
    of_x = KINDS[spec.kind].encoder(spec)
    network = of_x if critic.on == ("x",) else networks.mlp(**CODES)
    sizes = critic.outputs
    return build_critic(network, critic.on, sizes if len(sizes) > 1 else next(iter(sizes), None))


def _is_point(bottleneck: Bottleneck, spec: Spec) -> bool:
    """Whether a code is a point: its posterior has no density."""

    def log_prob(features):
        example = accepted(bottleneck.init, {"example": jnp.zeros(spec.event_shape)})
        params, state = bottleneck.init(jax.random.key(0), **example)
        posterior = bottleneck.posterior(params, state, features)
        return posterior.log_prob(bottleneck.latent(params, state, posterior, None))

    return jax.eval_shape(log_prob, jax.ShapeDtypeStruct(bottleneck.feature_shape, "f4")) is None


def start(likelihood: Likelihood, dataset: Dataset, preprocess: Preprocessing) -> Likelihood:
    """The likelihood, started at the means of the training split if it has a use for them.

    Args:
      likelihood: likelihood of the model.
      dataset: data set whose training split, or a fixed sample of it if it streams, is looked at.
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
