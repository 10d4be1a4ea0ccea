"""One run as data: strict models of a recipe, its YAML loader, dotted overrides, JSON schema.

A recipe is complete and flat; it states everything a run depends on except the weights and the data files themselves.
"""

from peftrec.recipe.errors import Diverged, Problems, RowError, UserError, UserErrors, check_texts, looked_in, nearest
from peftrec.recipe.load import (
    apply_overrides,
    dump_recipe,
    json_schema,
    load_recipe,
    make_recipe,
    mend_recipe,
    parse_yaml,
)
from peftrec.recipe.models import (
    AdapterConfig,
    BackboneConfig,
    CheckpointConfig,
    DataConfig,
    EarlyStopping,
    EventsConfig,
    ItemsConfig,
    QueriesConfig,
    Recipe,
    Sharing,
    SplitConfig,
    TaskConfig,
    TextsConfig,
    TrainConfig,
    WeightingConfig,
)

__all__ = [
    "AdapterConfig",
    "BackboneConfig",
    "CheckpointConfig",
    "DataConfig",
    "Diverged",
    "EarlyStopping",
    "EventsConfig",
    "ItemsConfig",
    "Problems",
    "QueriesConfig",
    "Recipe",
    "RowError",
    "Sharing",
    "SplitConfig",
    "TaskConfig",
    "TextsConfig",
    "TrainConfig",
    "UserError",
    "UserErrors",
    "WeightingConfig",
    "apply_overrides",
    "check_texts",
    "dump_recipe",
    "json_schema",
    "load_recipe",
    "looked_in",
    "make_recipe",
    "mend_recipe",
    "nearest",
    "parse_yaml",
]
