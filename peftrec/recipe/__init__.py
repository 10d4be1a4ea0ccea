"""One run as data: strict models of a recipe, its YAML loader, dotted overrides, JSON schema.

A recipe is complete and flat; it states everything a run depends on except the weights and the data files themselves.
"""

from peftrec.recipe.load import (
    apply_overrides,
    dump_recipe,
    json_schema,
    load_recipe,
    make_recipe,
    mend_recipe,
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
from peftrec.recipe.syntax import parse_yaml, read_yaml

__all__ = [
    "AdapterConfig",
    "BackboneConfig",
    "CheckpointConfig",
    "DataConfig",
    "EarlyStopping",
    "EventsConfig",
    "ItemsConfig",
    "QueriesConfig",
    "Recipe",
    "Sharing",
    "SplitConfig",
    "TaskConfig",
    "TextsConfig",
    "TrainConfig",
    "WeightingConfig",
    "apply_overrides",
    "dump_recipe",
    "json_schema",
    "load_recipe",
    "make_recipe",
    "mend_recipe",
    "parse_yaml",
    "read_yaml",
]
