"""A transformer of tables of numbers into codes and back, with scikit-learn's interface."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from ae_jax.errors import ShapeError
from ae_jax.estimators import _keeping
from ae_jax.estimators._training import train


class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """The codes of an autoencoder trained on a table, in a pipeline or a search.

    Args:
      recipe: a recipe's name (`"vae"`) or `ae.recipes.vae(…)`.
      arguments: of the named recipe; None: `{"latent_dim": 8}`.
      steps: optimizer steps.
      batch_size: rows a step; at most all there are.
      optimizer: the config section `{"name": …, "learning_rate": …}`; None: Adam at 1e-3.
      random_state: seed of parameters, data order and noise.

    Attributes:
      run_: the trained Run.
      n_features_in_: columns.
      feature_names_in_: of a data frame.

    Example:
      >>> x = np.random.default_rng(0).normal(size=(64, 3))
      >>> codes = AutoencoderTransformer("vae", {"latent_dim": 2}, steps=5).fit_transform(x)
      >>> codes.shape
      (64, 2)
    """

    def __init__(
        self,
        recipe: Any = "autoencoder",
        arguments: Mapping[str, Any] | None = None,
        *,
        steps: int = 1000,
        batch_size: int = 128,
        optimizer: Mapping[str, Any] | None = None,
        random_state: Any = 0,
    ):
        self.recipe = recipe
        self.arguments = arguments
        self.steps = steps
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "AutoencoderTransformer":
        """Trains on all rows.

        Args:
          X: `[n, d]`, finite numbers.
          y: ignored.

        Returns:
          The estimator itself.

        Raises:
          ConfigError: a parameter out of range.
          DataError: fewer rows than devices.
        """
        del y
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        self.run_ = train(self, X)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The code of each row, float32 `[n, k]`, flat where the recipe's have a shape.

        Args:
          X: `[n, d]`.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self.run_.encode(X).reshape(len(X), -1)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The mean of p(x | z) for each code, float64 `[n, d]`, in the data's units.

        Args:
          X: `[n, k]`, codes.

        Raises:
          ShapeError: codes of another width.
        """
        check_is_fitted(self)
        X = check_array(X, dtype="float32")
        if X.shape[1] != self._n_features_out:
            raise ShapeError(f"codes must be [n, {self._n_features_out}], got {X.shape}")
        return self.run_.decode(X.reshape(len(X), *self._latent_shape))

    def score(self, X: Any, y: Any = None) -> float:
        """Explained variance, 1 - Σ (x - x̂)² / Σ (x - mean)², of standardised columns.

        Args:
          X: `[n, d]`.
          y: ignored.

        Returns:
          At most 1; 0 for what the training mean alone explains.
        """
        del y
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        apply = self.run_.preprocessing.apply
        x, again = (np.asarray(apply(v), np.float64) for v in (X, self.run_.reconstruct(X)))
        return float(1 - ((x - again) ** 2).sum() / (x**2).sum())

    @property
    def _latent_shape(self) -> tuple[int, ...]:
        return tuple(self.run_.model.bottleneck.latent_shape)

    @property
    def _n_features_out(self) -> int:
        return math.prod(self._latent_shape)

    def __sklearn_tags__(self) -> Any:
        tags: Any = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def save(self, workdir: Any) -> None:
        """Writes the fitted estimator without pickle: an ordinary workdir and JSON beside it.

        Args:
          workdir: a folder that holds no run yet.

        Raises:
          WorkdirError: the folder holds a run, or cannot be written.
          ConfigError: the recipe holds Python objects without a config form.
        """
        check_is_fitted(self)
        _keeping.save(self, workdir)

    @classmethod
    def load(cls, workdir: Any) -> "AutoencoderTransformer":
        """The estimator that `save` wrote.

        Args:
          workdir: where.

        Raises:
          MissingFileError: no estimator was saved there.
          WorkdirError: one of another class was.
        """
        return _keeping.load(cls, workdir)[0]

    def __getstate__(self) -> dict[str, Any]:
        before: Any = super().__getstate__()
        state = dict(before)
        if "run_" in state:
            state["run_"] = _keeping.run_to_plain(state["run_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "run_" in state:
            self.run_ = _keeping.run_of_plain(state["run_"])
