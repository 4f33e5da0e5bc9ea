"""Ensembles: what several runs think of the same examples, and how far they disagree.

Members trained alike but for their seeds agree where the data told them what to do, and part where
it did not (Lakshminarayanan, Pritzel & Blundell 2017, "Simple and scalable predictive uncertainty
estimation using deep ensembles").
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ae_jax import config as config_lib
from ae_jax.errors import ConfigError, DataError, PartError, ShapeError
from ae_jax.evaluation import anomaly


class Opinions(NamedTuple):
    """What m members say of n examples, float64.

    Attributes:
      members: `[m, n]`.
      mean: `[n]`, over members.
      disagreement: `[n]`, the standard deviation over members (of m, not m - 1).
    """

    members: np.ndarray
    mean: np.ndarray
    disagreement: np.ndarray

    @classmethod
    def of(cls, members: Any) -> "Opinions":
        """Of values `[m, n]`."""
        wide = np.asarray(members, np.float64)
        return cls(wide, wide.mean(axis=0), wide.std(axis=0))


class MixtureBound(NamedTuple):
    """Bounds on the log-likelihood of n examples by m members, nats, float64.

    Attributes:
      members: `[m, n]`, each member's own bound on its log p(x).
      mean: `[n]`, over members.
      disagreement: `[n]`, the standard deviation over members.
      mixture: `[n]`, log (1/m) Σ p(x): the bound on the log-likelihood of the members' mixture, a
        density too, and at least the mean.
    """

    members: np.ndarray
    mean: np.ndarray
    disagreement: np.ndarray
    mixture: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class EnsembleDetector:
    """Detectors of one score, a member each, that vote by their mean.

    A member's score is standardised by its scores of the training examples, so that members whose
    scores have other scales (another β, another size of code) have one vote each.

    Attributes:
      detectors: Detectors, a member each.
      centre: `[m]`, means of the members' scores of the training examples.
      spread: `[m]`, their standard deviations; 1 of a member to which all are the same.
      threshold: above which an example's mean is called anomalous.
      contamination: the share of training examples above it.
      training_scores: means of the training examples, float64 `[n]`.
    """

    detectors: tuple[anomaly.Detector, ...]
    centre: np.ndarray
    spread: np.ndarray
    threshold: float
    contamination: float
    training_scores: np.ndarray

    @classmethod
    def of(cls, detectors: Sequence[anomaly.Detector], contamination: float) -> "EnsembleDetector":
        """Of detectors of the same training examples.

        Args:
          detectors: a member each.
          contamination: the share of training examples held to be anomalous, in (0, 0.5].
        """
        scores = np.stack([detector.training_scores for detector in detectors])
        centre, spread = scores.mean(axis=1), scores.std(axis=1)
        spread = np.where(spread > 0, spread, 1.0)
        means = ((scores - centre[:, None]) / spread[:, None]).mean(axis=0)
        limit = anomaly.threshold(means, contamination)
        return cls(tuple(detectors), centre, spread, limit, float(contamination), means)

    def opinions(
        self, x: Any, *, observed: Any = None, extras: Mapping[str, Any] | None = None
    ) -> Opinions:
        """The members' scores of each example, in standard deviations of the training examples'.

        Args:
          x: `[n, *event]`, in the data's units, or whatever else `Run.encode` takes.
          observed: see `Run.encode`.
          extras: see `Run.encode`.

        Returns:
          Opinions: high is anomalous, and of high disagreement what no member has seen the like of.
        """
        asked = {"observed": observed, "extras": extras}
        scores = np.stack([detector.scores(x, **asked) for detector in self.detectors])
        return Opinions.of((scores - self.centre[:, None]) / self.spread[:, None])

    def scores(
        self, x: Any, *, observed: Any = None, extras: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """The mean of `opinions`, float64 `[n]`: the higher, the more anomalous."""
        return self.opinions(x, observed=observed, extras=extras).mean

    def anomalous(
        self, x: Any, *, observed: Any = None, extras: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """Whether each example's mean score is above the threshold, bool `[n]`."""
        return self.scores(x, observed=observed, extras=extras) > self.threshold


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
    """Runs that are asked together; see `ensemble`.

    Attributes:
      runs: a member each. Those that compute the same functions share their programs.
    """

    runs: tuple[Any, ...]

    def log_likelihood(
        self,
        x: Any,
        samples: int = 64,
        seed: int = 0,
        *,
        observed: Any = None,
        extras: Mapping[str, Any] | None = None,
    ) -> MixtureBound:
        """Each member's importance-weighted bound on log p(x), their spread, and the mixture's.

        Args:
          x: `[n, *event]`, in the data's units.
          samples: k of each member; see `Run.log_likelihood`.
          seed: of the samples, the same for all members.
          observed: see `Run.encode`.
          extras: see `Run.encode`.

        Returns:
          A MixtureBound, nats, of the preprocessed x.

        Raises:
          ConfigError: members preprocess x in different ways, so that their densities are of
            different things.
          PartError: a member has no prior.
        """
        self._require_likelihoods()
        asked: dict[str, Any] = {"observed": observed, "extras": extras}
        bounds = [run.log_likelihood(x, samples, seed, **asked) for run in self.runs]
        opinions = Opinions.of(bounds)
        mixture = np.logaddexp.reduce(opinions.members, axis=0) - np.log(len(self.runs))
        return MixtureBound(*opinions, mixture)

    def detector(
        self,
        train: Any,
        score: Any = "nearest",
        *,
        contamination: float = 0.1,
        kept: int = anomaly.KEPT,
        seed: int = 0,
    ) -> EnsembleDetector:
        """A detector of what is unlike the training examples, by all members.

        Args:
          train: what normal examples are like.
          score: a row of `ae.evaluation.anomaly.SCORES`, its name or node.
          contamination: the share of `train` that is held to be anomalous, in (0, 0.5].
          kept: of how many training examples at most a score keeps what it compares with.
          seed: of the choice of these, the same for all members.

        Returns:
          An EnsembleDetector.

        Raises:
          ConfigError: a contamination outside (0, 0.5], or nothing to be kept.
          PartError: the score does not fit a member.
        """
        options: dict[str, Any] = {"contamination": contamination, "kept": kept, "seed": seed}
        detectors = [anomaly.detector(run, train, score, **options) for run in self.runs]
        return EnsembleDetector.of(detectors, contamination)

    def _require_likelihoods(self) -> None:
        first = self.runs[0]
        for number, run in enumerate(self.runs):
            if not run.has_prior:
                raise PartError(
                    f"member {number} has no prior, and so no likelihood; a score that does "
                    "without is ensemble(…).detector(train, 'reconstruction')"
                )
            if not _alike(first.preprocessing, run.preprocessing):
                raise ConfigError(
                    f"the log-likelihoods of members 0 and {number} are of x preprocessed in "
                    f"different ways, {first.preprocessing.node} and {run.preprocessing.node}: "
                    "train them on the same data with the same preprocessing"
                )


def ensemble(runs: Any) -> Ensemble:
    """Several runs as one, whose disagreement tells how sure they are.

    Args:
      runs: Runs on data of one shape, such as one recipe's over several seeds; or a Population,
        whose members that have diverged, or were stopped, are left out.

    Returns:
      An Ensemble.

    Raises:
      DataError: there is no run.
      PartError: one of them is no Run.
      ShapeError: they take examples of different shapes, or other columns.

    Example:
      >>> import ae_jax as ae, numpy as np
      >>> x = np.random.default_rng(0).normal(size=(64, 3))
      >>> options = {"steps": 2, "batch_size": 8, "progress": False}
      >>> runs = [ae.fit(ae.recipes.vae(2), x, seed=seed, **options) for seed in range(2)]
      >>> bound = ae.ensemble(runs).log_likelihood(x[:5])
      >>> bound.members.shape, bool((bound.mixture >= bound.mean).all())
      ((2, 5), True)
      >>> found = ae.ensemble(runs).detector(x).opinions([[0, 0, 0], [9, -9, 9]])
      >>> bool(found.disagreement[0] < found.disagreement[1])
      True
    """
    members = _members_of(runs) if hasattr(runs, "member") else tuple(runs)
    if not members:
        raise DataError("an ensemble needs one run or more, got none")
    for number, run in enumerate(members):
        if not hasattr(run, "over_examples"):
            raise PartError(f"member {number} of an ensemble must be a Run, got {run!r:.200}")
        if run.data_shape != members[0].data_shape:
            raise ShapeError(
                f"members of an ensemble must take the same examples, got shape "
                f"{members[0].data_shape} of member 0 and {run.data_shape} of member {number}"
            )
        if run.spec.columns != members[0].spec.columns:
            raise ShapeError(
                f"members of an ensemble must take the same columns, and those of member {number} "
                f"are not those of member 0: {_names(run)} and {_names(members[0])}"
            )
    return Ensemble(_sharing(members))


def _members_of(population: Any) -> tuple[Any, ...]:
    lost = {row["member"] for row in population.table if row["status"] != "trained"}
    return tuple(population.member(i) for i in range(len(population)) if i not in lost)


def _names(run: Any) -> list[str] | None:
    return None if run.spec.columns is None else [column.name for column in run.spec.columns]


def _sharing(runs: Sequence[Any]) -> tuple[Any, ...]:
    """The runs, those that compute the same functions with the programs of the first of them."""
    shared: list[Any] = []
    for run in runs:
        same = next((other for other in shared if _same_functions(other, run)), None)
        shared.append(run if same is None else run.sharing(same))
    return tuple(shared)


def _same_functions(one: Any, other: Any) -> bool:
    parts: tuple[Callable[[Any], Any], ...] = (
        lambda run: run.model.encoder,
        lambda run: run.model.decoder,
        lambda run: run.model.bottleneck,
        lambda run: run.model.likelihood,
        lambda run: run.model.corruption,
        lambda run: run.preprocessing,
    )
    known = lambda run: (
        run.model.compute_dtype,
        run.spec,
        run.data_shape,
        run.config.parallel,
        config_lib.evaluation_batch_size(run.config),
    )
    return known(one) == known(other) and all(_alike(part(one), part(other)) for part in parts)


def _alike(one: Any, other: Any) -> bool:
    """Whether two parts are one object, or built from one node."""
    node = getattr(one, "node", None)
    return one is other or (node is not None and node == getattr(other, "node", None))
