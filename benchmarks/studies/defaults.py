"""Which rules `train` goes by where a recipe says nothing: rules chosen on all data sets but one, tried on that one.

Run from the folder that holds the data sets' folders (docs/results/defaults.md says whose they are). Each is thinned,
so that all of it takes minutes: texts to some rows, logs to the events of some users.
"""

import tempfile
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

USERS = 20
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


def texts(path: str, text: str, label: str, rows: int, kind: str = "classification") -> dict[str, Any]:
    """A table of texts, thinned to `rows` beside those of test."""
    table = pd.read_parquet(path) if path.endswith("parquet") else pd.read_csv(path)
    some = table.iloc[np.random.default_rng(0).permutation(len(table))[: rows + 1000]][[text, label]]
    share = 1000 / len(some)
    return {
        "files": {"texts": some},
        "data": {
            "texts": {"text": f"{{{text}}}", "label": label},
            "split": {"kind": "by-text", "test": share, "valid": 0.1 * (1 - share)},
        },
        "tasks": {"label": {"kind": kind}},
    }


def events(table: pd.DataFrame, items: pd.DataFrame, text: str, task: dict[str, Any], column: str) -> dict[str, Any]:
    """A log (user, item, time, `column`) of some users, and the items that they met."""
    users = table.user.drop_duplicates()
    chosen = users.iloc[np.random.default_rng(0).permutation(len(users))[:USERS]]
    some = table[table.user.isin(chosen)]
    return {
        "files": {"events": some, "items": items[items.item.isin(some.item)]},
        "data": {
            "items": {"id": "item", "text": text},
            "events": {"user": "user", "item": "item", "time": "time", "columns": [column]},
            "history": 20,
        },
        "tasks": {"task": {**task, "column": column}},
    }


def clinc() -> dict[str, Any]:
    """150 intents, of which each has 20 texts."""
    import json

    said = json.loads(Path("clinc150/data_full.json").read_text())
    rows = pd.DataFrame(said["train"] + said["val"] + said["test"], columns=["text", "label"])
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        rows.to_parquet(file.name)
        return texts(file.name, "text", "label", 3000)


def films() -> dict[str, Any]:
    """Likes of films."""
    ratings = pd.read_csv("ml-latest-small/ratings.csv", names=["user", "item", "rating", "time"], header=0)
    movies = pd.read_csv("ml-latest-small/movies.csv", names=["item", "title", "genres"], header=0)
    return events(ratings, movies, "{title}. {genres}", {"kind": "interest", "threshold": 4}, "rating")


def tweeted() -> dict[str, Any]:
    """Ratings as numbers."""
    columns = {"sep": "::", "engine": "python", "encoding": "utf-8", "header": None}
    ratings = pd.read_csv(
        "movietweetings-100k/ratings.dat.gz", names=["user", "item", "rating", "time"], **columns, dtype={"item": str}
    )
    movies = pd.read_csv(
        "movietweetings-100k/movies.dat.gz", names=["item", "title", "genres"], **columns, dtype={"item": str}
    ).fillna("")
    busy = ratings.user.value_counts()
    ratings = ratings[ratings.user.isin(busy[busy >= 10].index)]
    return events(ratings, movies, "{title}. {genres}", {"kind": "regression"}, "rating")


def orders() -> dict[str, Any]:
    """Orders of a dozen or more."""
    log = pd.read_parquet("online-retail/events.parquet").rename(columns={"user_id": "user", "item_id": "item"})
    items = pd.read_parquet("online-retail/items.parquet").rename(columns={"item_id": "item"})
    log["time"] = log.time.astype("datetime64[s]").astype("int64")
    log = log.drop_duplicates(["user", "item", "time"])[["user", "item", "time", "quantity"]]
    return events(log, items[["item", "title"]], "{title}", {"kind": "interest", "threshold": 12}, "quantity")


def plays() -> dict[str, Any]:
    """Artists heard often."""
    columns = {"sep": "\t", "encoding": "latin-1", "header": 0}
    log = pd.read_csv("lastfm-hetrec2011/user_artists.dat.gz", names=["user", "item", "weight"], **columns)
    artists = pd.read_csv(
        "lastfm-hetrec2011/artists.dat.gz", names=["item", "title", "url", "picture"], **columns, quoting=3
    )
    made = events(log, artists[["item", "title"]], "{title}", {"kind": "interest", "threshold": 500}, "weight")
    del made["data"]["events"]["time"]
    return {**made, "data": {**made["data"], "split": "random"}}


SETS = {
    "clinc150, 3,000 of 151 intents": clinc,
    "bitext, 300 of 27 intents": lambda: texts("bitext-support/support.csv.gz", "instruction", "intent", 300),
    "bitext, 60 of 11 categories": lambda: texts("bitext-support/support.csv.gz", "instruction", "category", 60),
    "finance topics, 3,000 of 20": lambda: texts("twitter-finance/topic_train.parquet", "text", "label", 3000),
    "finance sentiment, 1,500 of 3": lambda: texts("twitter-finance/sentiment_train.csv", "text", "label", 1500),
    "ml-latest-small, likes": films,
    "movietweetings, ratings": tweeted,
    "online-retail, dozens": orders,
    "lastfm, heard often": plays,
}


def measure(seeds: int = 1) -> dict[str, Any]:
    """The rules that `train` chooses by, against others, each data set by those that the others choose."""
    return {"seeds": seeds, "sets": {name: measure_set(made(), seeds) for name, made in SETS.items()}}


def measure_set(made: dict[str, Any], seeds: int) -> dict[str, Any]:
    """Rule -> what it came to on validation and test rows, over seeds; and where it began."""
    with tempfile.TemporaryDirectory() as folder:
        data = dict(made["data"])
        for name, table in made["files"].items():
            table.to_parquet(f"{folder}/{name}.parquet")
            data[name] = {**data[name], "path": f"{folder}/{name}.parquet"}
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
