"""Which latents carry information: posterior collapse, dimension by dimension."""

import math
from typing import Any, NamedTuple

import numpy as np

from ae_jax.checks import require_seed
from ae_jax.distributions import DiagonalGaussian
from ae_jax.errors import PartError

ACTIVE = 0.01
"""The variance of a latent's posterior mean above which it is active (Burda et al. 2016)."""
BLOCK = 2**22  # pairs of an example and a posterior held at once: 32 MiB


class Usage(NamedTuple):
    """What the latents of some examples tell of them; `[d]` runs over flattened dimensions.

    Attributes:
      variance_of_means: Var_x(E[z_j | x]), `[d]`.
      kl: the mean over examples of KL(q(z_j | x) ‖ p(z_j)), `[d]`, nats.
      mutual_information: I(x; z) under q, nats, estimated from below: it cannot exceed
        `information_limit`, and near it is a lower bound, as `information_note` says.
      examples: n, how many there were.
    """

    variance_of_means: np.ndarray
    kl: np.ndarray
    mutual_information: float
    examples: int

    @property
    def active(self) -> np.ndarray:
        """Which dimensions are active units: A_u = Var_x(E[z_j | x]) > 0.01, bool `[d]`."""
        return self.variance_of_means > ACTIVE

    @property
    def information_limit(self) -> float:
        """The most mutual information that n examples can show, log n nats."""
        return math.log(self.examples)

    @property
    def information_note(self) -> str | None:
        """That the mutual information is a lower bound, where the limit binds, else None.

        It binds within one nat: there a code's own posterior is more than 1/e of q(z), whose rest
        is too sparse to tell how much more of it there is.
        """
        if self.mutual_information < self.information_limit - 1:
            return None
        return (
            f"a lower bound: {self.examples} examples can show no more than "
            f"log {self.examples} = {self.information_limit:.4g} nats"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for evaluation.json."""
        return {
            "active_units": int(self.active.sum()),
            "units": len(self.kl),
            "kl": float(self.kl.sum()),
            "mutual_information": self.mutual_information,
            "mutual_information_limit": self.information_limit,
            "mutual_information_note": self.information_note,
            "kl_per_dimension": self.kl.tolist(),
            "variance_of_means": self.variance_of_means.tolist(),
        }


def latent_usage(posterior: Any, prior: Any, seed: int = 0) -> Usage:
    """Active units, KL by dimension and mutual information of a split's posteriors.

    A unit whose posterior is its prior whatever x is has KL 0 and a mean that does not vary. The
    mutual information is E_x KL(q(z | x) ‖ p(z)) - KL(q(z) ‖ p(z)) (Hoffman & Johnson 2016), here
    the mean of log q(z | x) - log q(z) over one sample an example, with q(z) the mixture of the
    posteriors of all n examples. In expectation that is a lower bound on I(x; z), for it saturates
    at log n (as of contrastive bounds: Poole et al. 2019, "On variational bounds of mutual
    information"); `Usage.information_note` says when it has.

    Args:
      posterior: q(z | x) of n examples, a DiagonalGaussian with leaves `[n, *latent]`.
      prior: p(z), a DiagonalGaussian over `[*latent]`.
      seed: seed of the samples.

    Returns:
      A Usage.

    Raises:
      PartError: one of them is not a diagonal Gaussian.
    """
    require_seed(seed=seed)
    require_gaussians(posterior, prior)
    rows = lambda leaf: np.asarray(leaf, np.float64).reshape(len(posterior.loc), -1)
    loc, log_var = rows(posterior.loc), rows(posterior.log_var)
    prior_loc, prior_log_var = (np.asarray(leaf, np.float64).ravel() for leaf in prior)
    wider = log_var - prior_log_var
    kl = 0.5 * (np.expm1(wider) - wider + (loc - prior_loc) ** 2 * np.exp(-prior_log_var))
    noise = np.random.default_rng(seed).standard_normal(loc.shape)
    z = loc + np.exp(0.5 * log_var) * noise
    log_q = -0.5 * (noise**2 + log_var + math.log(2 * math.pi)).sum(axis=1)
    information = float(np.mean(log_q - _log_mixture(z, loc, log_var)))
    return Usage(loc.var(axis=0), kl.mean(axis=0), information, len(loc))


def require_gaussians(posterior: Any, prior: Any) -> None:
    """Raises PartError unless both are diagonal Gaussians; leaves may be shapes alone."""
    for name, density in (("posterior", posterior), ("prior", prior)):
        if not isinstance(density, DiagonalGaussian):
            raise PartError(
                "active units and KL by dimension need a diagonal-Gaussian posterior and prior "
                f"(ae.bottlenecks.gaussian), but the {name} is {type(density).__name__}"
            )


def _log_mixture(z: np.ndarray, loc: np.ndarray, log_var: np.ndarray) -> np.ndarray:
    """Log 1/n Σ_j N(z_i; μ_j, diag σ_j²) for every row of z, in float64, some rows at a time."""
    precision = np.exp(-log_var)
    constant = (loc**2 * precision + log_var + math.log(2 * math.pi)).sum(axis=1)
    step = max(1, BLOCK // len(loc))
    log_densities = []
    for start in range(0, len(z), step):
        part = z[start : start + step]
        square = part**2 @ precision.T - 2 * part @ (loc * precision).T + constant
        least = square.min(axis=1, keepdims=True)
        total = np.exp(-0.5 * (square - least)).mean(axis=1)
        log_densities.append(np.log(total) - 0.5 * least[:, 0])
    return np.concatenate(log_densities)
