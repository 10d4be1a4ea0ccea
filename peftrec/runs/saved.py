"""What a run folder holds, and how a model comes back from it.

run.yaml              the complete recipe; `peftrec train run.yaml` repeats the run
model.json            backbone digest; each task's slots, classes, features, and the parts its adapter is composed of
adapters/<task>/      adapter_config.json, adapter_model.safetensors: shared and private composed
parts/<part>.safetensors   the same apart, as they were trained: what another run may start from (`init_from`)
fusion.safetensors    what joins items' texts: what was learned of each, what features add (`peftrec.runs.fusion`)
heads/<task>.safetensors    and starts/<task>.safetensors, what the head begins at (`peftrec.runs.starts`), and
neighbours/<task>.safetensors, which items of a catalogue go together or have texts alike (`peftrec.runs.neighbours`)
catalogue.parquet     item ids, texts and features, and log.parquet, who did what when (`peftrec.runs.tables`)
catalogue.safetensors      what the tasks' encoders made of the items' texts (`peftrec.runs.encoded`)
report.json  metrics.jsonl  README.md  manifest.json        README.md (`peftrec.runs.cards`) also in adapters/<task>/
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from peftrec.data.catalogue import Catalogue, ItemTexts
from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.features import Encoding, columns
from peftrec.data.log import Log
from peftrec.data.rates import Counts, Rates, counts_beside
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.machine.files import read_json, reading, to_json, write_json
from peftrec.machine.tensors import finite, misfit, write_tensors
from peftrec.model.adapters.base import WEIGHTS, as_saved
from peftrec.model.adapters.full import FullFineTuning
from peftrec.model.backbone import Backbone, load_backbone, share_backbone
from peftrec.model.cache.kept import KeptVectors
from peftrec.model.co_learner import CoLearner, assemble
from peftrec.recipe import Recipe, dump_recipe, make_recipe, read_yaml
from peftrec.recipe.names import refuse_foreign
from peftrec.runs.damage import check_rows, check_sizes
from peftrec.runs.encoded import load_encoded, save_encoded
from peftrec.runs.folder import NEEDED, verify_run
from peftrec.runs.fusion import describe_fusion, load_fusion, save_fusion
from peftrec.runs.neighbours import load_neighbours, save_neighbours
from peftrec.runs.schemas import Described, checked
from peftrec.runs.starts import load_starts, save_start
from peftrec.runs.tables import (
    KnownUsers,
    UserLog,
    describe_encoding,
    encodings_of,
    load_catalogues,
    load_logs,
    load_users,
    log_numbers,
    save_catalogues,
    save_logs,
)
from peftrec.tasks.heads import CatalogueHead, Head, HeadShape
from peftrec.tasks.kind import Task
from peftrec.tasks.kinds import resolve
from peftrec.tasks.starts import Start


class UnlikeBackbone(UserError):
    """The run cannot be loaded over the backbone that was given."""


@dataclass(frozen=True)
class LoadedRun:
    """A trained model and what it was trained on.

    tasks      name -> its kind, loss and method
    described  name -> its entry in model.json, see `schemas.DescribedTask`
    items      the catalogues by name
    users      those whose features tasks read
    encodings  task -> how features of its items, users and events are encoded
    logs       task -> its log and whose it is, for tasks with histories
    received   task -> the same of the events of its own table, that say how items were received
    rates      task -> how items were received, for tasks that read it
    catalogues task -> its items, and which were chosen when, for tasks that rank them
    starts     task -> what its head begins at, for tasks that begin at something
    encoded    task -> what its encoder made of its items' texts, where the run has that; None -> what the backbone did
    """

    recipe: Recipe
    model: CoLearner
    tasks: dict[str, Task]
    described: dict[str, dict[str, Any]]
    items: dict[str, ItemTexts]
    users: KnownUsers
    encodings: dict[str, dict[str, Encoding]]
    logs: dict[str, UserLog]
    received: dict[str, UserLog]
    rates: dict[str, Rates]
    catalogues: dict[str, Catalogue]
    starts: dict[str, Start]
    encoded: dict[str | None, KeptVectors]

    def items_of(self, task: str) -> ItemTexts:
        """The catalogue that a task's items are of."""
        return self.items[self.described[task]["items"]]


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
    logs = {key: log_numbers(dataset, key) for key in ("log", "rated")}
    described = {
        name: {
            **describe_task(data),
            **save_start(folder, name, data),
            **{key: numbers.get(name) for key, numbers in logs.items()},
            "parts": model.encoder.adapter_of(name).owners_of(name),
        }
        for name, data in dataset.tasks.items()
    }
    of_all = {"backbone_digest": model.encoder.backbone.digest, "tasks": described, **describe_fusion(model.fusion)}
    write_json(folder / "model.json", of_all)
    (folder / "heads").mkdir()
    for task in model.tasks:
        adapter = folder / "adapters" / task
        model.encoder.adapter_of(task).save(task, adapter)
        write_tensors(folder / "heads" / f"{task}.safetensors", model.head(task).state_dict())
        sizes = report["cost"].setdefault("adapter_bytes", {})
        sizes[task] = sum(f.stat().st_size for f in adapter.iterdir())
    _save_parts(folder, model)
    save_fusion(folder, model.fusion)
    save_neighbours(folder, dataset)
    save_catalogues(folder, dataset)
    save_logs(folder, dataset)
    save_encoded(folder, dataset, model)
    write_json(folder / "report.json", report)
    (folder / "metrics.jsonl").write_text("".join(to_json(line, indent=None) + "\n" for line in history))


def describe_task(data: TaskData) -> dict[str, Any]:
    """What of a task's data its predictions depend on, as plain values."""
    described = {
        "slots": list(data.train.slots),
        "history": data.train.log is not None,
        "untimed": data.train.own is not None,
        "classes": data.classes,
        "features": data.feature_names,
        "scale": data.scale,
        "log_scale": data.log_scale,
        "levels": data.levels,
        "base": None if data.test.rates is None else data.test.rates.base,
        "catalogue": data.train.catalogue is not None,
        # Of what an asker did before nothing is left out where matches are ranked.
        "repeats": data.train.repeats or (data.train.matches is not None and bool(data.history)),
        "items": data.items,
        "tables": data.history,
        "apart": len(data.history) > 1,
        "impressions": data.impressions,
        "hides": data.hides,
        "encodings": {of: describe_encoding(encoding) for of, encoding in data.encodings.items()},
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


def read_recipe(folder: Path, trust_code: bool = False) -> Recipe:
    """The recipe of a run, once every file of the run is verified.

    Raises UserError, before anything of it is imported, where the recipe names code from outside peftrec, unless
    `trust_code`: the run may be a stranger's.
    """
    verify_run(folder, NEEDED)
    place = folder / "run.yaml"
    with reading(place):
        raw = read_yaml(place)
        if isinstance(raw, dict):
            raw.pop("specialise", None)  # says how an earlier peftrec trained; nothing that is loaded depends on it
        recipe = make_recipe(raw, str(place))
    if not trust_code:
        refuse_foreign(recipe, str(place))
    return recipe


def _as_learnt(task: Task, described: Mapping[str, Any]) -> Task:
    return task.on_scale(bool(described.get("log_scale")), tuple(described.get("levels") or ()))


def load_run(
    folder: Path, backbone: str | Backbone | None = None, texts: TextTable | None = None, trust_code: bool = False
) -> LoadedRun:
    """Verify a run and rebuild its model; nothing is trained and no data file of the recipe is read.

    `backbone` names another place of the same weights, or is a loaded one, which several runs may share: those whose
    catalogues have the same texts then share these with their frozen states, too. `texts` is a table to use instead, to
    which the catalogue is added. Raises UserError for a damaged run, and UnlikeBackbone for weights that differ from
    those the run was trained on, and for a run that cannot share its backbone.
    """
    recipe = read_recipe(folder, trust_code)
    if isinstance(backbone, str):
        recipe = recipe.model_copy(update={"backbone": recipe.backbone.model_copy(update={"name": backbone})})
    described = read_described(folder, recipe)
    base = backbone if isinstance(backbone, Backbone) else load_backbone(recipe.backbone)
    if not base.is_the_one(described["backbone_digest"]):
        remedy = "" if isinstance(backbone, Backbone) else "; give the original weights as `backbone`"
        raise UnlikeBackbone(
            f"{folder}: trained on a backbone with digest {described['backbone_digest'][:12]}, but {base.origin} has "
            f"{base.digest[:12]}{remedy}"
        )
    read = TextTable() if texts is None else texts
    of = described["tasks"]
    tasks = {name: _as_learnt(task, of[name]) for name, task in resolve(recipe).items()}
    items = load_catalogues(folder, read, of)
    with base.lock, reading(folder):
        check_rows(folder / "model.json", tasks, of, items)
        check_sizes(folder, tasks, of)
        if isinstance(backbone, Backbone):
            base = _shared(folder, backbone, recipe)
        texts = base.common(read) if texts is None else texts
        encodings = {name: encodings_of(task) for name, task in of.items()}
        model = _rebuild(folder, recipe, tasks, base, texts, of, encodings)
        catalogues = {name: task["items"] for name, task in of.items()}
        said = described.get("fusion") or {}
        fusion = load_fusion(folder, recipe.fusion, items, catalogues, said, len(texts), base.hidden_size)
        model.fusion = fusion.to(base.device).eval()
    logs = load_logs(folder, items, of)
    received = {name: _own_log(of[name], found, tasks[name]) for name, found in logs.items()}
    received |= load_logs(folder, items, of, "rated")
    own = {name: found.log for name, found in received.items()}
    rates = {
        name: Rates(log, of[name]["base"], _beside(logs[name].log, of[name], tasks[name]))
        for name, log in own.items()
        if of[name]["base"] is not None
    }
    catalogues = {}
    for name, log in own.items():
        if of[name].get("catalogue") and _counts_choices(model.head(name)):
            rows, chosen = items[of[name]["items"]].rows, log.feedback > 0
            known, alike = load_neighbours(folder, name, len(rows))
            catalogues[name] = Catalogue(rows, log.items[chosen], log.times[chosen], known=known, alike=alike)
    catalogues |= {
        name: Catalogue(items[task["items"]].rows)
        for name, task in of.items()
        if task.get("catalogue") and name not in catalogues
    }
    users, starts = load_users(folder, of), load_starts(folder, tasks, of, model)
    encoded = load_encoded(folder, of, items, model)
    return LoadedRun(
        *(recipe, model, tasks, of, items, users, encodings, logs, received, rates, catalogues, starts, encoded)
    )


def _shared(folder: Path, backbone: Backbone, recipe: Recipe) -> Backbone:
    """A loaded backbone for this run, too. Raises UnlikeBackbone."""
    methods = {recipe.adapter.method} | {task.adapter.method for task in recipe.tasks.values() if task.adapter}
    if "full" in methods:
        raise UnlikeBackbone(f"{folder}: method full has a backbone of its own, which no other run shares")
    try:
        return share_backbone(backbone, recipe.backbone)
    except UserError as error:
        raise UnlikeBackbone(f"{folder}: {error}") from None


def _counts_choices(head: Head) -> bool:
    """Whether what was chosen before counts for what a catalogue's items score."""
    return isinstance(head, CatalogueHead) and head.signals is not None


def _own_log(described: Mapping[str, Any], of: UserLog, task: Task) -> UserLog:
    """The events of the task's own table, which it names where there are several; all where it is none of them."""
    if of.log.marks is None or task.config.table not in described["tables"]:
        return of
    return UserLog(of.log.only(_place(described, task)), of.user_ids)


def _beside(log: Log, described: Mapping[str, Any], task: Task) -> Counts | None:
    """What the other tables of its histories count for its rates, as they did where it was trained."""
    return counts_beside(log, _place(described, task), bool(described.get("apart")))


def _place(described: Mapping[str, Any], task: Task) -> int:
    """The place of the task's own table among those of its histories; the first where it is none of them."""
    tables, own = described["tables"], task.config.table
    return tables.index(own) if own in tables else 0


def read_described(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """The `model.json` of a verified run: what it says of the recipe's tasks. Raises UserError."""
    file = folder / "model.json"
    described: dict[str, Any] = checked(Described, read_json(file), file)
    if described["tasks"].keys() != recipe.tasks.keys():
        found, wanted = (", ".join(names)[:200] for names in (described["tasks"], recipe.tasks))
        raise UserError(f"{file}: damaged: tasks: {found or 'none'}; run.yaml has {wanted}")
    return described


def _rebuild(
    folder: Path,
    recipe: Recipe,
    tasks: Mapping[str, Task],
    base: Backbone,
    texts: TextTable,
    described: dict[str, dict[str, Any]],
    encodings: Mapping[str, Mapping[str, Encoding]],
) -> CoLearner:
    configs = {name: as_saved(task.adapter) for name, task in tasks.items()}
    shapes = {
        name: HeadShape(
            *(base.hidden_size, len(of["classes"]), len(of["features"]), 0.0, max(1, len(of["tables"]))),
            *columns(encodings[name]),
        )
        for name, of in described.items()
    }
    model = assemble(recipe, tasks, base, texts, configs, shapes, filled=True)
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
        if not finite(tensor):
            raise UserError(f"{place}: {name} holds numbers that are not finite")
