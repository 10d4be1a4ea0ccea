"""Which rules `train` goes by where a recipe says nothing: rules chosen on all data sets but one, tried on that one.

Run from the folder that holds the data sets' folders (docs/results/defaults.md says whose they are). Each is thinned,
so that all of it takes minutes.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from peftrec.evaluation.evaluate import evaluate
from peftrec.recipe import TrainConfig, make_recipe
from peftrec.training.defaults import settled
from peftrec.training.loop import fit
from peftrec.training.prepare import Setup, prepare
from peftrec.training.starts import begin
from peftrec.training.stopping import error
from peftrec.training.validation import validate

TEST = 1000  # rows
BITEXT = "bitext-support/support.csv.gz"
TOPICS, SENTIMENT = "twitter-finance/topic_train.parquet", "twitter-finance/sentiment_train.csv"
MINILM = {"name": "sentence-transformers/all-MiniLM-L6-v2", "dtype": "fp32", "quantize": None, "max_length": 48}
# Rules: what is said instead of the chosen values, as factors of these or as values.
RULES: dict[str, dict[str, Any]] = {
    "as chosen": {},
    "rates / 3": {"lr": 1 / 3, "head_lr": 1 / 3},
    "rates x 3": {"lr": 3.0, "head_lr": 3.0},
    "by its first metric": {"early_stopping": {}},
    "before": {
        **{"epochs": 3, "batch_size": 1024, "lr": 5e-4, "head_lr": 2e-3, "schedule": "linear"},
        **{"early_stopping": None},
    },
}
FACTORS = {"lr", "head_lr", "batch_size"}


def texts(table: pd.DataFrame, text: str, label: str, rows: int, kind: str = "classification") -> dict[str, Any]:
    """A table of texts, thinned to `rows` beside those of test."""
    some = table.iloc[np.random.default_rng(0).permutation(len(table))[: rows + TEST]][[text, label]]
    share = TEST / len(some)
    return {
        "table": some,
        "data": {
            "texts": {"text": f"{{{text}}}", "label": label},
            "split": {"kind": "by-text", "test": share, "valid": 0.1 * (1 - share)},
        },
        "tasks": {"label": {"kind": kind, "label": label}},
    }


def clinc() -> pd.DataFrame:
    """Utterances of 150 intents, and others."""
    said = json.loads(Path("clinc150/data_full.json").read_text())
    return pd.DataFrame(said["train"] + said["val"] + said["test"], columns=["text", "label"])


def films(path: str, **columns: Any) -> pd.DataFrame:
    """Those of one genre."""
    table = pd.read_csv(path, names=["item", "title", "genre"], **columns).dropna()
    return table[~table.genre.str.contains("|", regex=False)]


SETS: dict[str, Callable[[], dict[str, Any]]] = {
    "clinc150, 3,000 of 151 intents": lambda: texts(clinc(), "text", "label", 3000),
    "bitext, 300 of 27 intents": lambda: texts(pd.read_csv(BITEXT), "instruction", "intent", 300),
    "bitext, 60 of 11 categories": lambda: texts(pd.read_csv(BITEXT), "instruction", "category", 60),
    "finance topics, 3,000 of 20": lambda: texts(pd.read_parquet(TOPICS), "text", "label", 3000),
    "finance sentiment, 1,500 of 3": lambda: texts(pd.read_csv(SENTIMENT), "text", "label", 1500),
    "ml-latest-small, genre of 400": lambda: texts(
        films("ml-latest-small/movies.csv", header=0), "title", "genre", 400
    ),
    "movietweetings, genre of 1,000": lambda: texts(
        films("movietweetings-100k/movies.dat.gz", sep="::", engine="python", header=None), "title", "genre", 1000
    ),
    "online-retail, price of 1,000": lambda: texts(
        pd.read_parquet("online-retail/items.parquet"), "title", "price", 1000, "regression"
    ),
}


def measure(seeds: int = 1) -> dict[str, Any]:
    """The rules that `train` chooses by, against others, each data set by those that the others choose."""
    return {"seeds": seeds, "sets": {name: measure_set(made(), seeds) for name, made in SETS.items()}}


def measure_set(made: dict[str, Any], seeds: int) -> dict[str, Any]:
    """Rule -> what it came to on validation and test rows, over seeds; and where it began."""
    with tempfile.TemporaryDirectory() as folder:
        data = dict(made["data"])
        made["table"].to_parquet(f"{folder}/texts.parquet")
        data["texts"] = {**data["texts"], "path": f"{folder}/texts.parquet"}
        adapter = {"method": "side", "sharing": "shared"}
        recipe = make_recipe({"backbone": MINILM, "data": data, "tasks": made["tasks"], "adapter": adapter})
        setup = prepare(recipe)
        begin(setup)
        first = {name: p.detach().clone() for name, p in setup.model.trainable().items()}
        (task,) = setup.tasks
        rows = len(setup.dataset.tasks[task].train)
        found: dict[str, Any] = {"rows": rows, "begins": _errors(setup, task), "rules": {}}
        for rule, changes in RULES.items():
            found["rules"][rule] = [_train(setup, task, changes, first, seed) for seed in range(seeds)]
    return found


def _train(setup: Setup, task: str, changes: dict[str, Any], first: dict[str, torch.Tensor], seed: int) -> Any:
    chosen = settled(setup.recipe, setup.dataset)
    said = {
        key: type(getattr(chosen, key))(getattr(chosen, key) * value)
        if key in FACTORS and "epochs" not in changes
        else value
        for key, value in changes.items()
    }
    if said.get("early_stopping") == {}:
        metric = (setup.tasks[task].metrics or ("ndcg@10",))[0]
        said["early_stopping"] = {"metric": f"{task}.{metric}"}
    recipe = setup.recipe.model_copy(update={"train": TrainConfig(**said, seed=seed)})
    setup.config = settled(recipe, setup.dataset)
    with torch.no_grad():
        for name, p in setup.model.trainable().items():
            p.copy_(first[name])
    for module in setup.model.head(task).modules():
        if isinstance(module, nn.Dropout):
            module.p = setup.config.dropout
    progress = fit(setup)
    return {"steps": progress.step, "seconds": progress.seconds, **_errors(setup, task)}


def _errors(setup: Setup, task: str) -> dict[str, Any]:
    valid = validate(setup)[task]
    report = evaluate(setup.model, setup.dataset, setup.tasks, "test", resamples=0, priors=False)["tasks"][task]
    own = setup.tasks[task]
    return {"valid": error(own, valid), "test": error(own, report["metrics"]), "metrics": report["metrics"]}
