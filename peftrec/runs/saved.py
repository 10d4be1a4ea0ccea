"""What a run folder holds, and how a model comes back from it.

run.yaml              the complete recipe; `peftrec train run.yaml` repeats the run
model.json            backbone digest; each task's slots, classes, features, and the parts its adapter is composed of
adapters/<task>/      adapter_config.json, adapter_model.safetensors: shared and private composed
parts/<part>.safetensors   the same apart, as they were trained: what another run may start from (`init_from`)
heads/<task>.safetensors
catalogue.parquet     item ids and texts, and log.parquet, who did what when: for recommending by user
report.json  metrics.jsonl  README.md  manifest.json        README.md (`peftrec.runs.cards`) also in adapters/<task>/
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from torch import Tensor

from peftrec.data.catalogue import Catalogue
from peftrec.data.examples import Dataset, TaskData
from peftrec.data.log import Log
from peftrec.data.rates import RATE_FEATURES, Rates
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.machine.files import read_json, reading, to_json, write_json
from peftrec.machine.parquet import read_columns
from peftrec.machine.tensors import misfit, write_tensors
from peftrec.model.adapters.base import WEIGHTS, as_saved
from peftrec.model.adapters.full import FullFineTuning
from peftrec.model.backbone import Backbone, load_backbone, share_backbone
from peftrec.model.co_learner import CoLearner, assemble
from peftrec.recipe import Recipe, dump_recipe, make_recipe, read_yaml
from peftrec.recipe.names import refuse_foreign
from peftrec.runs.folder import NEEDED, verify_run
from peftrec.runs.schemas import Described, checked
from peftrec.tasks.heads import HeadShape
from peftrec.tasks.kind import Task
from peftrec.tasks.kinds import KINDS, resolve

LATEST = 1e11  # seconds since 1970: beyond are milliseconds, or nothing
# Options of methods that say how many numbers an adapter has.
_SIZES = ("r", "init_r", "target_r", "rank", "size", "expansion", "num_virtual_tokens")


@dataclass(frozen=True)
class LoadedRun:
    """A trained model and what it was trained on.

    tasks      name -> its kind, loss and method
    described  name -> {"slots", "history", "classes", "features", "scale", "base", "catalogue"}
    item_ids   the catalogue; item i is row item_rows[i] of the model's text table
    user_ids   users of the log, in user-number order
    logs       task -> its Log, for tasks with histories
    rates      task -> how items were received, for tasks that read it
    catalogues task -> which items were chosen when, for tasks that rank them
    """

    recipe: Recipe
    model: CoLearner
    tasks: dict[str, Task]
    described: dict[str, dict[str, Any]]
    item_ids: list[str]
    item_rows: np.ndarray
    user_ids: list[str]
    logs: dict[str, Log]
    rates: dict[str, Rates]
    catalogues: dict[str, Catalogue]


def save_run(
    folder: Path,
    recipe: Recipe,
    dataset: Dataset,
    model: CoLearner,
    report: dict[str, Any],
    history: list[dict[str, Any]],
) -> None:
    """Write everything but the manifest into `folder`; `report["cost"]` gains the bytes of the adapters."""
    (folder / "run.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    described = {
        name: {**describe_task(data), "parts": model.encoder.adapter_of(name).owners_of(name)}
        for name, data in dataset.tasks.items()
    }
    write_json(folder / "model.json", {"backbone_digest": model.encoder.backbone.digest, "tasks": described})
    (folder / "heads").mkdir()
    for task in model.tasks:
        adapter = folder / "adapters" / task
        model.encoder.adapter_of(task).save(task, adapter)
        write_tensors(folder / "heads" / f"{task}.safetensors", model.head(task).state_dict())
        sizes = report["cost"].setdefault("adapter_bytes", {})
        sizes[task] = sum(f.stat().st_size for f in adapter.iterdir())
    _save_parts(folder, model)
    _save_catalogue(folder, dataset)
    write_json(folder / "report.json", report)
    (folder / "metrics.jsonl").write_text("".join(to_json(line, indent=None) + "\n" for line in history))


def describe_task(data: TaskData) -> dict[str, Any]:
    """What of a task's data its predictions depend on, as plain values."""
    described = {
        "slots": list(data.train.slots),
        "history": data.train.log is not None,
        "classes": data.classes,
        "features": data.feature_names,
        "scale": data.scale,
        "base": None if data.train.rates is None else data.train.rates.base,
        "catalogue": data.train.catalogue is not None,
    }
    plain: dict[str, Any] = json.loads(to_json(described))
    return plain


def _save_parts(folder: Path, model: CoLearner) -> None:
    (folder / "parts").mkdir()
    adapters = {task: model.encoder.adapter_of(task) for task in model.tasks}
    reader = {owner: task for task, adapter in adapters.items() for owner in adapter.owners_of(task)}
    for owner, task in reader.items():
        file = folder / "parts" / f"{owner}.safetensors"
        if isinstance(adapters[task], FullFineTuning):  # the one part is the whole model: stored once
            file.hardlink_to(folder / "adapters" / task / WEIGHTS)
        else:
            write_tensors(file, adapters[task].part(owner))


def _save_catalogue(folder: Path, dataset: Dataset) -> None:
    texts = [dataset.texts.texts[row] for row in dataset.item_rows]
    columns = {"id": pa.array(dataset.item_ids, pa.string()), "text": pa.array(texts, pa.string())}
    pq.write_table(pa.table(columns), folder / "catalogue.parquet")
    logs = {name: data.train.log for name, data in dataset.tasks.items() if data.train.log is not None}
    if logs:
        first = next(iter(logs.values()))
        user = np.repeat(np.arange(len(dataset.user_ids)), np.diff(first.user_start))
        columns = {"user": pa.array(dataset.user_ids, pa.string()).take(pa.array(user)).dictionary_encode()}
        columns |= {"item": pa.array(first.items), "time": pa.array(first.times)}
        columns |= {f"feedback {name}": pa.array(log.feedback) for name, log in logs.items()}
        pq.write_table(pa.table(columns), folder / "log.parquet")


def read_recipe(folder: Path, trust_code: bool = False) -> Recipe:
    """The recipe of a run, once every file of the run is verified.

    Raises UserError, before anything of it is imported, where the recipe names code from outside peftrec, unless
    `trust_code`: the run may be a stranger's.
    """
    verify_run(folder, NEEDED)
    place = folder / "run.yaml"
    with reading(place):
        recipe = make_recipe(read_yaml(place), str(place))
    if not trust_code:
        refuse_foreign(recipe, str(place))
    return recipe


def load_run(
    folder: Path, backbone: str | Backbone | None = None, texts: TextTable | None = None, trust_code: bool = False
) -> LoadedRun:
    """Verify a run and rebuild its model; nothing is trained and no data file of the recipe is read.

    `backbone` names another place of the same weights, or is a loaded one, which several runs may share; `texts` is a
    table to use, to which the catalogue is added. Raises UserError for a damaged run, for weights that differ from
    those the run was trained on, and for a run that cannot share its backbone.
    """
    recipe = read_recipe(folder, trust_code)
    if isinstance(backbone, str):
        recipe = recipe.model_copy(update={"backbone": recipe.backbone.model_copy(update={"name": backbone})})
    described = read_described(folder, recipe)
    base = backbone if isinstance(backbone, Backbone) else load_backbone(recipe.backbone)
    if not base.is_the_one(described["backbone_digest"]):
        raise UserError(
            f"{folder}: trained on a backbone with digest {described['backbone_digest'][:12]}, but {base.origin} has "
            f"{base.digest[:12]}; give the original weights as `backbone`"
        )
    texts = TextTable() if texts is None else texts
    ids, item_texts = _load_catalogue(folder)
    item_rows = np.array([texts.add(text) for text in item_texts], np.int32)
    tasks, of = resolve(recipe), described["tasks"]
    with base.lock, reading(folder):
        _check_rows(folder / "model.json", tasks, of)
        _check_sizes(folder, tasks, of)
        if isinstance(backbone, Backbone):
            base = share_backbone(backbone, recipe.backbone)
        model = _rebuild(folder, recipe, tasks, base, texts, of)
    user_ids, logs = _load_logs(folder, item_rows, [name for name, task in of.items() if task["history"]])
    rates = {name: Rates(log, of[name]["base"]) for name, log in logs.items() if of[name]["base"] is not None}
    catalogues = {
        name: Catalogue(item_rows, log.items[log.feedback > 0], log.times[log.feedback > 0])
        for name, log in logs.items()
        if of[name].get("catalogue")
    }
    return LoadedRun(recipe, model, tasks, of, ids, item_rows, user_ids, logs, rates, catalogues)


def read_described(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """The `model.json` of a verified run: what it says of the recipe's tasks. Raises UserError."""
    file = folder / "model.json"
    described: dict[str, Any] = checked(Described, read_json(file), file)
    if described["tasks"].keys() != recipe.tasks.keys():
        found, wanted = (", ".join(names)[:200] for names in (described["tasks"], recipe.tasks))
        raise UserError(f"{file}: damaged: tasks: {found or 'none'}; run.yaml has {wanted}")
    return described


def _check_rows(file: Path, tasks: Mapping[str, Task], described: dict[str, dict[str, Any]]) -> None:
    """What is said of a task's rows is what its kind makes of them; of kinds of one's own the fields are known."""
    for name, task in tasks.items():
        of, kind = described[name], task.kind
        joint = task.config.input == "joint"
        wanted = [slot for slot in kind.fields if (slot == "pair") == joint]
        if not of["slots"] or not set(of["slots"]) <= set(kind.fields):
            raise UserError(f"{file}: damaged: tasks.{name}.slots: found {of['slots'][:9]}; a row has {wanted}")
        if task.config.kind not in KINDS:
            continue
        if sorted(of["slots"]) != sorted(wanted):
            raise UserError(f"{file}: damaged: tasks.{name}.slots: found {of['slots'][:9]}; a row has {wanted}")
        for key, found, right in (
            ("history", of["history"], kind.feedback is not None),
            ("base", of["base"] is not None, of["features"] == RATE_FEATURES),
            ("catalogue", bool(of.get("catalogue")), "choice" in kind.metrics),
        ):
            if found != right:
                raise UserError(
                    f"{file}: damaged: tasks.{name}.{key}: found {of.get(key)}, which is not so of {task.config.kind}"
                )


def _check_sizes(folder: Path, tasks: Mapping[str, Task], described: dict[str, dict[str, Any]]) -> None:
    """Nothing is made that is far larger than the files that fill it: a rank, a class has its numbers there."""
    for name, task in tasks.items():
        head, adapter = folder / "heads" / f"{name}.safetensors", folder / "adapters" / name
        for key in ("classes", "features"):
            if (found := len(described[name][key])) * 4 > head.stat().st_size:
                raise UserError(
                    f"{folder / 'model.json'}: damaged: tasks.{name}.{key}: {found:,} are more than {head} has"
                )
        config = read_json(adapter / "adapter_config.json")
        if not isinstance(config, dict):
            raise UserError(
                f"{adapter / 'adapter_config.json'}: damaged: expected an object; found {repr(config)[:60]}"
            )
        if config.get("megatron_config") is not None:
            raise UserError(
                f"{adapter / 'adapter_config.json'}: megatron_config: names code to import; a run names none"
            )
        most = sum(file.stat().st_size for file in adapter.iterdir())
        for file, options in ((folder / "run.yaml", task.adapter.options), (adapter / "adapter_config.json", config)):
            ranks = {key: options.get(key) for key in _SIZES} | dict(options.get("rank_pattern") or {})
            for key, rank in ranks.items():
                if isinstance(rank, int) and rank > most:
                    raise UserError(f"{file}: damaged: {key}: {rank:,} is more than {adapter} has")


def _rebuild(
    folder: Path,
    recipe: Recipe,
    tasks: Mapping[str, Task],
    base: Backbone,
    texts: TextTable,
    described: dict[str, dict[str, Any]],
) -> CoLearner:
    configs = {name: as_saved(task.adapter) for name, task in tasks.items()}
    shapes = {n: HeadShape(base.hidden_size, len(t["classes"]), len(t["features"]), 0.0) for n, t in described.items()}
    model = assemble(recipe, tasks, base, texts, configs, shapes)
    with reading(folder / "adapters"):
        model.encoder.load({name: folder / "adapters" / name for name in model.tasks})
    for name in model.tasks:
        head, file = model.head(name), folder / "heads" / f"{name}.safetensors"
        with reading(file):
            stored = load_file(file)
        found, wanted = ({n: tuple(t.shape) for n, t in of.items()} for of in (stored, head.state_dict()))
        if problem := misfit(found, wanted, "file"):
            raise UserError(f"{file}: does not fit: {problem}")
        head.load_state_dict(stored)
        _check_finite(file, head.state_dict())
    for parameters in model.encoder.parameters_by_owner().values():
        _check_finite(folder / "adapters", parameters)
    return model.eval()


def _check_finite(place: Path, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise UserError(f"{place}: {name} holds numbers that are not finite")


def _load_catalogue(folder: Path) -> tuple[list[str], list[str]]:
    """Ids and texts of the items."""
    file = folder / "catalogue.parquet"
    table = read_columns(file, {"id": "texts", "text": "texts"})
    ids, texts = (table[name].cast(pa.string()).to_pylist() for name in ("id", "text"))
    if len(set(ids)) < len(ids):
        raise UserError(f"{file}: damaged: an item stands in it twice")
    return ids, texts


def _load_logs(folder: Path, item_rows: np.ndarray, tasks: list[str]) -> tuple[list[str], dict[str, Log]]:
    """The users of the log, and the log of each of the `tasks`: those with histories."""
    if not tasks:
        return [], {}
    file = folder / "log.parquet"
    feedback = {name: f"feedback {name}" for name in tasks}
    kinds = {"user": "texts", "item": "whole numbers", "time": "numbers", **dict.fromkeys(feedback.values(), "numbers")}
    table = read_columns(file, kinds)
    with reading(file):
        users = table["user"].combine_chunks()
        if isinstance(users, pa.ChunkedArray):
            users = users.chunk(0)
        codes, names = users.indices.to_numpy(), users.dictionary.to_pylist()
        start = np.append(np.flatnonzero(np.diff(codes, prepend=-1)), len(codes)).astype(np.int64)
        if not np.array_equal(codes[start[:-1]], np.arange(len(names))) or len(set(names)) < len(names):
            raise UserError(f"{file}: damaged: the rows of a user do not stand together")
        items, times = table["item"].to_numpy(), table["time"].to_numpy()
        if len(items) and not 0 <= items.min() <= items.max() < len(item_rows):
            raise UserError(f"{file}: damaged: item: the catalogue has the numbers 0 to {len(item_rows) - 1}")
        if len(times) and not times.max() < LATEST:
            raise UserError(f"{file}: damaged: time: {times.max():g} is no time in seconds since 1970")
        if not np.isfinite(times).all() or (np.diff(times) < 0)[np.diff(codes) == 0].any():
            raise UserError(f"{file}: damaged: time: each user's are finite and in order")
        logs = {}
        for name, column in feedback.items():
            said = table[column].to_numpy()
            if not np.isfinite(said).all():
                raise UserError(f"{file}: damaged: {column}: holds numbers that are not finite")
            logs[name] = Log(item_rows[items], items, times, start, said)
    return names, logs
