"""Whether what a run's files say of its tasks can be so: a run may be damaged, or a stranger's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peftrec.data.catalogue import ItemTexts
from peftrec.data.rates import RATE_FEATURES
from peftrec.errors import UserError, shown
from peftrec.machine.files import read_json
from peftrec.runs.tables import encodings_of
from peftrec.tasks.features import SIZE
from peftrec.tasks.kind import Task
from peftrec.tasks.kinds import KINDS

# Options of methods that say how many numbers an adapter has.
_SIZES = ("r", "init_r", "target_r", "rank", "size", "expansion", "num_virtual_tokens")


def check_rows(
    file: Path, tasks: Mapping[str, Task], described: dict[str, dict[str, Any]], items: Mapping[str, ItemTexts]
) -> None:
    """What is said of a task's rows is what its kind makes of them; of kinds of one's own the fields are known."""
    for name, task in tasks.items():
        of, kind = described[name], task.kind
        wanted = sorted(kind.fields)
        if not of["slots"] or not set(of["slots"]) <= set(wanted):
            raise UserError(f"{file}: damaged: tasks.{name}.slots: found {of['slots'][:9]}; a row has {wanted}")
        if of["items"] and of["items"] not in items:
            raise UserError(f"{file}: damaged: tasks.{name}.items: no catalogue {shown(of['items'])} in the run")
        _check_features(file, name, of)
        if task.config.kind not in KINDS:
            continue
        if sorted(of["slots"]) != wanted:
            raise UserError(f"{file}: damaged: tasks.{name}.slots: found {of['slots'][:9]}; a row has {wanted}")
        for key, found, right in (
            ("history", of["history"], kind.feedback is not None),
            ("base", of["base"] is not None, of["features"] == RATE_FEATURES),
            ("catalogue", bool(of.get("catalogue")), "choice" in kind.metrics),
            ("log_scale", bool(of.get("log_scale")), bool(of.get("log_scale")) and "scale" in kind.reads),
            ("levels", bool(of.get("levels")), bool(of.get("levels")) and task.config.loss == "mae"),
            ("levels", of.get("levels") or [], _levels(of.get("levels") or [])),
            ("tables", bool(of["tables"]), kind.feedback is not None),
            ("tables", of["tables"], task.config.history or of["tables"][:1]),
            ("apart", bool(of.get("apart")), bool(of.get("apart")) and len(of["tables"]) > 1),
            ("hides", of["hides"], [table for table in of["tables"] if table in of["hides"]]),
            ("rated", of["rated"] is not None, of["base"] is not None and (of["impressions"] or bool(of["hides"]))),
        ):
            if found != right:
                raise UserError(
                    f"{file}: damaged: tasks.{name}.{key}: found {of.get(key)}, which is not so of {task.config.kind}"
                )


def _levels(found: list[float]) -> list[float]:
    """The numbers as levels are: two or more, ascending, each once."""
    return sorted(set(found)) if len(set(found)) != 1 else []


def _check_features(file: Path, task: str, described: Mapping[str, Any]) -> None:
    """Features can be encoded as it is said, and are of those whom the task's rows name."""
    for of, encoding in (described.get("encodings") or {}).items():
        place = f"{file}: damaged: tasks.{task}.encodings.{of}"
        needs = {"item": "items", "user": "items", "event": "history"}[of]  # who likes, asks for, or acts on an item
        if not described[needs]:
            raise UserError(f"{place}: the task's rows name none")
        check_encoding(place, encoding)


def check_encoding(place: str, encoding: Mapping[str, Any]) -> None:
    """Features can be encoded as it is said; what is wrong is told at `place`."""
    for name, (_, spread) in encoding["numbers"].items():
        if spread <= 0:
            raise UserError(f"{place}.{name}: a spread is above 0; found {spread:g}")
    for name, levels in encoding["categories"].items():
        if len(set(levels)) < len(levels) or name in encoding["numbers"]:
            raise UserError(f"{place}.{name}: it, or one of its levels, stands there twice")


def check_sizes(folder: Path, tasks: Mapping[str, Task], described: dict[str, dict[str, Any]]) -> None:
    """Nothing is made that is far larger than the files that fill it: a rank, a class has its numbers there."""
    for name, task in tasks.items():
        head, adapter = folder / "heads" / f"{name}.safetensors", folder / "adapters" / name
        counts = {key: len(described[name][key]) for key in ("classes", "features")}
        for encoding in encodings_of(described[name]).values():
            counts["encodings"] = counts.get("encodings", 0) + sum(encoding.columns) * SIZE + len(encoding.numbers)
        for key, found in counts.items():
            if found * 4 > head.stat().st_size:
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
