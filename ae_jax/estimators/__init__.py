"""Estimators with scikit-learn's interface, for tables of numbers `[n, d]`.

Imported by name, `from ae_jax.estimators import AutoencoderTransformer`, as scikit-learn comes with
them. What they train is an ordinary `Run` (`estimator.run_`), saved as an ordinary workdir.
"""

from ae_jax.estimators.outlier_detector import AutoencoderOutlierDetector
from ae_jax.estimators.transformer import AutoencoderTransformer

__all__ = ["AutoencoderOutlierDetector", "AutoencoderTransformer"]
