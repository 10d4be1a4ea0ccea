"""A training that starts from another run (`init_from`): its adapters' parts and its heads, and which of them stay.

What the recipe has in common with the run must be the same: the weights of the backbone, and each common task's kind
and method. A part is taken over for every task that the run has, and the shared one also for new tasks of its method.
A task with `frozen: true` predicts as in the run, to the bit: its head and every part that it reads stay as they are,
so of its siblings only what is their own is trained.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from peftrec.data.catalogue import ItemTexts
from peftrec.data.dataset import Dataset
from peftrec.data.features import Encoding, same_columns
from peftrec.data.texts import TextTable
from peftrec.errors import Problems, UserError
from peftrec.machine.files import reading
from peftrec.model.adapters.base import WEIGHTS, Adapter, read_tensors
from peftrec.model.adapters.peft import PeftAdapter
from peftrec.model.co_learner import CoLearner
from peftrec.model.fusion import SHARED, Place, item_rows, new_fusion
from peftrec.recipe import Recipe
from peftrec.recipe.names import foreign_names
from peftrec.runs.fusion import FILE, read_fusion
from peftrec.runs.saved import describe_task, read_described, read_recipe
from peftrec.runs.starts import load_starts
from peftrec.runs.tables import encodings_of, load_catalogues
from peftrec.tasks.kind import Task
from peftrec.tasks.kinds import resolve
from peftrec.tasks.starts import Start
from peftrec.training.fingerprint import differences

_ELSE = {"parts", "log", "rated", "start"}  # of what model.json says of a task, what is not of its data
# Keys of a task that do not change what it predicts.
_FREE = {"weight", "share", "frozen", "adapter"}


@dataclass(frozen=True)
class EarlierRun:
    """The run to start from: its folder, its recipe, and what its model.json says of each task, and of how features
    that join items' vectors are read."""

    folder: Path
    recipe: Recipe
    backbone_digest: str
    tasks: dict[str, dict[str, Any]]
    features: dict[str, Any]

    def take_over(
        self, recipe: Recipe, tasks: Mapping[str, Task], dataset: Dataset, model: CoLearner
    ) -> tuple[list[str], dict[str, Start | None]]:
        """Fill the model's parts and heads from the run, freeze what the recipe freezes.

        Returns lines for the user, and what the heads that were taken began at in the run.

        Raises UserError listing whatever in recipe, data or backbone keeps the run from fitting.
        """
        common = {name: task for name, task in self.recipe.tasks.items() if name in tasks}
        theirs = resolve(self.recipe.model_copy(update={"tasks": common}))
        if problems := list(self._problems(recipe, tasks, theirs, dataset, model)):
            listed = "\n".join(f"  {line}" for line in problems)
            raise UserError(
                f"init_from: {self.folder} does not fit this recipe:\n{listed}\n"
                "change the recipe back, or start from another run"
            )
        with reading(self.folder):
            parts = self._fill_parts(recipe, model)
            heads, notes = self._fill_heads(tasks, theirs, dataset, model)
            notes += self._fill_fusion(recipe, dataset, model)
        if not parts and not heads:
            raise UserError(f"init_from: {self.folder} has neither a task nor a method of this recipe; leave it out")
        frozen = [name for name in recipe.tasks if name not in recipe.trained]
        model.freeze(frozen)
        said = [f"from {self.folder}: adapter parts {_listed(parts)}; heads {_listed(heads)}", *notes]
        return [*said, *_frozen_lines(frozen, recipe, model)], self._starts(tasks, heads, dataset, model)

    def _starts(
        self, tasks: Mapping[str, Task], heads: Sequence[str], dataset: Dataset, model: CoLearner
    ) -> dict[str, Start | None]:
        """What these heads begin at, with items' numbers as the dataset has them."""
        described = {name: self.tasks[name] for name in heads}
        known = load_starts(self.folder, tasks, described, model)
        items = load_catalogues(self.folder, TextTable(), self.tasks)
        for name, start in known.items():
            starting = tasks[name].kind.start
            if starting is not None and starting.renumber is not None:
                now = {item: number for number, item in enumerate(dataset.items_of(name).ids)}
                then = items[self.tasks[name]["items"]].ids
                known[name] = starting.renumber(start, np.array([now.get(item, -1) for item in then], np.int64))
        return {name: known.get(name) for name in heads}

    def _problems(
        self,
        recipe: Recipe,
        tasks: Mapping[str, Task],
        theirs: Mapping[str, Task],
        dataset: Dataset,
        model: CoLearner,
    ) -> Iterator[str]:
        for name, task in recipe.tasks.items():
            if task.frozen and name not in self.tasks:
                yield f"tasks.{name}.frozen: the run has no such task; it has {', '.join(self.tasks)}"
        common = [name for name in recipe.tasks if name in self.tasks]
        frozen = any(task.frozen for task in recipe.tasks.values())
        now = {name: describe_task(dataset.tasks[name]) for name in common}
        then = _what_matters(self.recipe, theirs, self.tasks, recipe, common, frozen)
        changed, _ = differences(then, _what_matters(recipe, tasks, now, recipe, common, frozen))
        yield from changed
        base, digest = model.encoder.backbone, model.encoder.backbone.digest
        if not base.is_the_one(self.backbone_digest) and not any(line.startswith("backbone.") for line in changed):
            name, found = recipe.backbone.name, f"digest {digest[:12]}, the run's has {self.backbone_digest[:12]}"
            yield f"backbone.name: {name} has other weights: {found}"

    def _fill_parts(self, recipe: Recipe, model: CoLearner) -> list[str]:
        """Copy the run's parts into the model's; returns the names of those taken."""
        theirs, taken = self.recipe.adapters, []
        for adapter in model.encoder.methods:
            of_the_method = [name for name, config in theirs.items() if config == adapter.config]
            for owner in adapter.owners:
                source = owner if owner in self.tasks else None
                if owner == adapter.shared and of_the_method:
                    source = self.tasks[of_the_method[0]]["parts"][0]
                if source is not None:
                    into = adapter.part(owner)
                    with torch.no_grad():
                        tensors = read_tensors(self.folder / "parts", dict(into), f"{source}.safetensors")
                        for name, tensor in tensors.items():
                            into[name].copy_(tensor)
                    taken.append(source)
        for task in recipe.tasks:
            if task in self.tasks:
                self._check_export(task, model.encoder.adapter_of(task))
        return taken

    def _check_export(self, task: str, adapter: Adapter) -> None:
        """Whether a method's trained tensors are all there is to it: it must export what the run exported."""
        if not isinstance(adapter, PeftAdapter):
            return
        state, _ = adapter.export(task)
        stored = load_file(self.folder / "adapters" / task / WEIGHTS)
        if state.keys() != stored.keys() or not all(torch.equal(t, stored[name]) for name, t in state.items()):
            raise UserError(
                f"init_from: {adapter.config.method} does not come back from the tensors that it trains: with these "
                f"options something else in it is random; task {task} cannot start from {self.folder}"
            )

    def _fill_heads(
        self, tasks: Mapping[str, Task], theirs: Mapping[str, Task], dataset: Dataset, model: CoLearner
    ) -> tuple[list[str], list[str]]:
        """Copy the heads of common tasks; returns whose, and a line for each that begins anew all the same."""
        taken, notes = [], []
        for task in [name for name in tasks if name in self.tasks]:
            head = model.head(task)
            stored = load_file(self.folder / "heads" / f"{task}.safetensors")
            own = head.state_dict()
            if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in stored.items()}:
                notes.append(f"{task}: its head begins anew: classes or features are not as many as in the run")
            elif not same_columns(encodings_of(self.tasks[task]), dataset.tasks[task].encodings):
                notes.append(f"{task}: its head begins anew: features or their levels are others than in the run")
            elif tasks[task].loss != theirs[task].loss:
                notes.append(f"{task}: its head begins anew: the run trained it with another loss")
            else:
                head.load_state_dict(stored)
                taken.append(task)
        return taken, notes

    def _fill_fusion(self, recipe: Recipe, dataset: Dataset, model: CoLearner) -> list[str]:
        """Take over what the run learned of items, by their ids, those that training does not name too, of items that
        it did not know nothing; and what features add, with how the run reads them. Returns lines for the user."""
        then, now = self.recipe.fusion, recipe.fusion
        if not (self.folder / FILE).exists():
            return []
        if then.sharing != now.sharing:
            return ["what joins items' texts begins anew: fusion.sharing is another than in the run"]
        width = model.encoder.backbone.hidden_size
        items = load_catalogues(self.folder, TextTable(), self.tasks)
        of_tasks = {name: task["items"] for name, task in self.tasks.items()}
        stored = read_fusion(self.folder, then, items, of_tasks, self.features, width)
        learned = {owner: of for owner, of in stored.learned.items() if owner == SHARED or owner in recipe.tasks}
        notes = []
        if now.items and learned and then.dim != now.dim:
            notes.append("what is learned of items begins anew: fusion.dim is another than in the run")
        if not now.items or then.dim != now.dim:
            learned = {}
        place_of = {owner: _places(items, dataset.items, of["items"].numpy()) for owner, of in learned.items()}
        more = {owner: np.flatnonzero(place >= 0) for owner, place in place_of.items()}
        fusion = new_fusion(now, dataset, width, more, _still_read(stored.encodings, dataset))
        for place, described in fusion.described.items():
            said = f"what features of {place[1]} add to its items"
            if described.encoding is stored.encodings.get(place):
                described.layer.load_state_dict(stored.layers[place])
                notes.append(f"{said}, as the run reads them")
            elif place in stored.encodings:
                notes.append(f"{said} begins anew: they are others than in the run")
        taken = 0
        for owner, of in learned.items():
            if (part := fusion.parts.get(owner)) is None:
                continue
            place = place_of[owner][part.items]
            with torch.no_grad():
                part.table[place >= 0] = of["table"][place[place >= 0]]
                part.out.copy_(of["out"])
            taken += int((place >= 0).sum())
        model.fusion = fusion.to(model.encoder.backbone.device)
        if learned:
            notes.append(
                f"what was learned of {taken:,} items" if taken else "nothing that was learned of items: none is here"
            )
        return notes


def _still_read(encodings: Mapping[Place, Encoding], dataset: Dataset) -> dict[Place, Encoding]:
    """How features are read of catalogues that still have just these."""
    return {
        (owner, of): encoding
        for (owner, of), encoding in encodings.items()
        if of in dataset.items
        and set(encoding.numbers) == set(dataset.items[of].features.numbers)
        and set(encoding.categories) == set(dataset.items[of].features.categories)
    }


def _places(then: Mapping[str, ItemTexts], now: Mapping[str, ItemTexts], items: np.ndarray) -> np.ndarray:
    """Where each item of the catalogues `now` stands among `items`, numbers of the catalogues `then`, by its id; -1 of
    one that does not, int64 (I,)."""
    rows = item_rows(then)
    of_text = np.full(rows.max() + 1, -1, np.int64)
    of_text[rows[items]] = np.arange(len(items))  # items of one text are one
    of_id = {(name, item): number for number, (name, item) in enumerate(_ids(then))}
    numbers = np.array([of_id.get(key, -1) for key in _ids(now)], np.int64)
    return np.where(numbers < 0, -1, of_text[rows[numbers]])


def _ids(items: Mapping[str, ItemTexts]) -> Iterator[tuple[str, str]]:
    return ((name, item) for name, of in items.items() for item in of.ids)


def read_start(recipe: Recipe) -> EarlierRun | None:
    """The run that the recipe starts from, verified; None without `init_from`. Raises UserError."""
    if recipe.init_from is None:
        return None
    folder, problems = Path(recipe.init_from), Problems()
    with problems.collect("init_from: "):
        theirs = read_recipe(folder, trust_code=True)  # of which only what this recipe names too is looked up
        known = foreign_names(recipe).values()
        common = {name: theirs.tasks[name] for name in recipe.tasks if name in theirs.tasks}
        for key, name in foreign_names(theirs.model_copy(update={"tasks": common})).items():
            if key.startswith("tasks.") and name not in known:
                raise UserError(f"{folder}: {key} is {name}, code that this recipe does not name; write the same here")
    problems.stop()
    described = read_described(folder, theirs)
    if not all("parts" in of for of in described["tasks"].values()):
        raise UserError(
            f"init_from: {folder} was written by an earlier peftrec, which kept no shared and private parts apart; "
            f"train it again: peftrec train {folder}/run.yaml"
        )
    features = described.get("fusion") or {}
    return EarlierRun(folder, theirs, described["backbone_digest"], described["tasks"], features)


def _what_matters(
    of: Recipe,
    resolved: Mapping[str, Task],
    described: dict[str, dict[str, Any]],
    recipe: Recipe,
    common: list[str],
    frozen: bool,
) -> dict[str, Any]:
    """What must be the same in both: for frozen tasks all that their predictions depend on. `of` is either recipe."""
    backbone = of.backbone.model_dump(mode="json")
    keys = set(backbone) - {"name"} if frozen else {"quantize", "double_quant", "dtype", "pooling"}
    tasks: dict[str, Any] = {}
    for name in common:
        task, adapter = of.tasks[name].model_dump(mode="json"), of.adapters[name].model_dump(mode="json")
        if recipe.tasks[name].frozen:
            task["loss"] = resolved[name].config.loss
            own = {key: value for key, value in described[name].items() if key not in _ELSE}
            own["history"] = of.data.history if own["history"] else None
            own |= {key: bool(own.get(key)) for key in ("log_scale", "untimed", "apart")}
            own["levels"] = list(own.get("levels") or [])
            tasks[name] = {**{k: v for k, v in task.items() if k not in _FREE}, "adapter": adapter, **own}
        else:
            scale = "log" if described[name].get("log_scale") else "linear"  # which a head's numbers are on
            tasks[name] = {"kind": task["kind"], "adapter": adapter, "scale": scale}
    matters = {"backbone": {key: backbone[key] for key in sorted(keys)}, "tasks": tasks}
    return {**matters, "fusion": of.fusion.model_dump(mode="json", exclude={"dropout", "least"})} if frozen else matters


def _frozen_lines(frozen: list[str], recipe: Recipe, model: CoLearner) -> list[str]:
    """What freezing leaves to the others."""
    lines = [f"frozen: {', '.join(frozen)}, and every adapter part that they read"] if frozen else []
    for task in recipe.trained:
        adapter = model.encoder.adapter_of(task)
        owners = adapter.owners_of(task)
        held = [owner for owner in owners if adapter.is_frozen(owner)]
        if owners and held == owners:
            lines.append(
                f"{task}: only its head is trained: sharing is {adapter.config.sharing}, and the adapter is frozen"
            )
        elif held:
            lines.append(f"{task}: its own part and its head are trained, over the frozen shared part")
    return lines


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"
