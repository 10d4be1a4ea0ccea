"""One run as data: strict models of a recipe, its YAML loader, dotted overrides, JSON schema.

A recipe is complete and flat; it states everything a run depends on except the weights and the data files themselves.
"""

from peftrec.recipe.adapter import AUTO, AdapterConfig, Sharing
from peftrec.recipe.fusion import FusionConfig
from peftrec.recipe.joint import OwnTrainConfig, SamplingConfig, WeightingConfig
from peftrec.recipe.load import (
    apply_overrides,
    dump_recipe,
    json_schema,
    load_recipe,
    make_recipe,
    mend_recipe,
)
from peftrec.recipe.models import (
    BackboneConfig,
    CheckpointConfig,
    EarlyStopping,
    LabelConfig,
    Recipe,
    Schedule,
    TaskConfig,
    TrainConfig,
)
from peftrec.recipe.split import SplitConfig
from peftrec.recipe.syntax import parse_yaml, read_yaml
from peftrec.recipe.tables import (
    DataConfig,
    EventsConfig,
    FileConfig,
    ItemsConfig,
    QueriesConfig,
    TableConfig,
    TextsConfig,
    TimedConfig,
    UsersConfig,
)

__all__ = [
    "AUTO",
    "AdapterConfig",
    "BackboneConfig",
    "CheckpointConfig",
    "DataConfig",
    "EarlyStopping",
    "EventsConfig",
    "FileConfig",
    "FusionConfig",
    "ItemsConfig",
    "LabelConfig",
    "OwnTrainConfig",
    "QueriesConfig",
    "Recipe",
    "SamplingConfig",
    "Schedule",
    "Sharing",
    "SplitConfig",
    "TableConfig",
    "TaskConfig",
    "TextsConfig",
    "TimedConfig",
    "TrainConfig",
    "UsersConfig",
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
