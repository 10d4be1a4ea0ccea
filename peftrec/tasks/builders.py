"""From tables to examples: one builder a task kind, all `(tables, texts, task, data, seed) -> TaskData`."""

from peftrec.tasks.dataset import Builder, build_dataset
from peftrec.tasks.events import GAP_FEATURES, interest, next_gap, next_gap_features, next_item, regression
from peftrec.tasks.labelled import classification, match_query

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
