"""What a run's config may hold, and how it is written, checked and compared."""

from ae_jax.config.config import (
    DEFAULTS,
    PARTS,
    complete,
    config_dict,
    differences,
    evaluation_batch_size,
    for_recipe,
    replaced,
    sizes,
    to_plain,
    variant,
    with_model,
    with_recipe,
)
from ae_jax.config.migration import of_older
from ae_jax.config.sections import CUSTOM, Config, ConfigLike

__all__ = [
    "CUSTOM",
    "DEFAULTS",
    "PARTS",
    "Config",
    "ConfigLike",
    "complete",
    "config_dict",
    "differences",
    "evaluation_batch_size",
    "for_recipe",
    "of_older",
    "replaced",
    "sizes",
    "to_plain",
    "variant",
    "with_model",
    "with_recipe",
]
