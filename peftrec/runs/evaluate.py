"""A run measured again: `peftrec evaluate`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from peftrec.data.features import same_columns
from peftrec.data.joined import train_on_all
from peftrec.data.signals import with_neighbours
from peftrec.errors import UserError
from peftrec.evaluation.evaluate import evaluate, text_rows
from peftrec.evaluation.values import Report
from peftrec.machine.progress import track_rows
from peftrec.recipe import Recipe
from peftrec.runs.folder import read_report
from peftrec.runs.saved import load_run, read_described, read_recipe
from peftrec.tasks.dataset import load_data
from peftrec.tasks.kinds import resolve
from peftrec.tasks.starts import Started, with_start


def evaluate_run(run: Path, split: str, cache: bool = True, trust_code: bool = False) -> Report:
    """Measure a trained run on a split of its recipe's data, which is read again. Raises UserError.

    `cache`: whether the frozen part's states are looked for, and kept, on disk. `trust_code`: see `read_recipe`.
    """
    recipe, refitted = read_recipe(run, trust_code), "refit" in read_report(run)
    if refitted and split == "valid":
        raise UserError(
            f"{run}: has no valid rows left: it was trained on them too (train.refit); take --split test, or train it "
            "with train.refit=false"
        )
    dataset = load_data(_as_decided(recipe, read_described(run, recipe)["tasks"]))
    dataset = train_on_all(dataset) if refitted else dataset
    loaded = load_run(run, texts=dataset.texts, trust_code=trust_code)
    model, tasks = loaded.model, loaded.tasks
    for name, data in dataset.tasks.items():
        if not same_columns(data.encodings, loaded.encodings[name]):
            raise UserError(
                f"{run}: task {name} was trained on other features, or levels of them, than the data have now"
            )
    known = {  # neighbours that the run kept, not such as are fitted to the data now
        name: with_neighbours(dataset.tasks[name], of.alike, of.known)
        for name, of in loaded.catalogues.items()
        if of.known is not None
    }
    dataset = replace(dataset, tasks={**dataset.tasks, **known})
    model.encoder.disk = cache
    ranking = split == "test"
    model.encoder.update(text_rows(dataset, tasks, [split], ranking), track_rows)
    begun = {name: with_start(dataset.tasks[name], Started(of), [split]) for name, of in loaded.starts.items()}
    dataset = replace(dataset, tasks={**dataset.tasks, **begun})
    return evaluate(model, dataset, tasks, split, ranking=ranking)


def _as_decided(recipe: Recipe, described: Mapping[str, Mapping[str, Any]]) -> Recipe:
    """The recipe with what the training's data chose, so that what was trained for is measured."""
    rules: dict[str, dict[str, str]] = {}
    for name, task in resolve(recipe).items():
        rules[name] = {}
        if "repeats" in task.kind.reads and "repeats" in described[name]:
            rules[name]["repeats"] = "allow" if described[name]["repeats"] else "exclude"
        if "scale" in task.kind.reads:
            rules[name]["scale"] = "log" if described[name].get("log_scale") else "linear"
    tasks = {name: config.model_copy(update=rules.get(name, {})) for name, config in recipe.tasks.items()}
    return recipe.model_copy(update={"tasks": tasks})
