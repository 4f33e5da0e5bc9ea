"""What a run's config may hold, and how it is written, checked and compared.

A config is written as nested mappings of plain values (in config files, an ml_collections
ConfigDict), of which `complete` makes a `Config`. A part is a node
`{"name": …, argument: value, …}`; None leaves it to be chosen from the data.
"""

from ae_jax.config.complete import complete, evaluation_batch_size, replaced, with_model
from ae_jax.config.differences import differences
from ae_jax.config.migration import of_older
from ae_jax.config.of_recipe import PARTS, config_dict, for_recipe, with_recipe
from ae_jax.config.plain import DEFAULTS, to_plain
from ae_jax.config.sections import CUSTOM, Config, ConfigLike
from ae_jax.config.variants import sizes, variant

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
