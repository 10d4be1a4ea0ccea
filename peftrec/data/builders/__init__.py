"""From tables to examples: one builder a task kind, all `(tables, texts, task, data, seed) -> TaskData`."""

from peftrec.data.builders.dataset import Builder, build_dataset
from peftrec.data.builders.events import GAP_FEATURES, interest, next_gap, next_gap_features, next_item, regression
from peftrec.data.builders.labelled import classification, match_query

__all__ = [
    "GAP_FEATURES",
    "Builder",
    "build_dataset",
    "classification",
    "interest",
    "match_query",
    "next_gap",
    "next_gap_features",
    "next_item",
    "regression",
]
