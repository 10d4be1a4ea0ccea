"""A stranger's run: whatever its files hold, reading it is one message, runs nothing, opens nothing beside it.

Each case changes a whole run and then makes its manifest fit, as a stranger would.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from command import peftrec
from safetensors.torch import load_file, save_file
from tiny import make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.machine.files import sha256, write_json, write_manifest
from peftrec.runs.compare import compare_runs
from peftrec.runs.folder import describe_run
from peftrec.runs.report import write_report
from peftrec.runs.saved import load_run
from peftrec.training.init_from import read_start
from peftrec.training.loop import train

TASKS = {
    "query": {"kind": "match-query"},
    "interest": {"kind": "interest", "column": "stars", "threshold": 4},
    "gap": {"kind": "next-gap"},
    "next": {"kind": "next-item", "column": "stars", "threshold": 4},
}
SECRET = "of the victim"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def whole(shop, tmp_path_factory, quick):
    recipe = tiny_recipe(shop, tasks=TASKS, train={"epochs": 1})
    return train(recipe, tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def seal(run: Path) -> None:
    """A manifest that fits what the folder holds now."""
    (run / "manifest.json").unlink()
    write_manifest(run)


def refused(call: Callable[[], object], *told: object) -> str:
    """The one message with which a call ends."""
    with pytest.raises(UserError) as error:
        call()
    message = str(error.value)
    assert all(str(one) in message for one in told), message
    assert message.count("\n") == 0 and len(message) < 1000
    return message


def changed_json(run: Path, file: str, change: Callable[[Any], Any]) -> None:
    value = json.loads((run / file).read_text())
    made = change(value)
    (run / file).write_text(json.dumps(value if made is None else made))
    seal(run)


def changed_table(run: Path, file: str, **columns: Any) -> None:
    table = pq.read_table(run / file)
    for name, values in columns.items():
        values = values(table[name].to_pylist()) if callable(values) else values
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, run / file)
    seal(run)


def changed_tensors(run: Path, file: str, change: Callable[[dict], dict]) -> None:
    made = change(load_file(run / file))
    save_file({name: tensor.contiguous() for name, tensor in made.items()}, run / file, {"format": "pt"})
    seal(run)


# The manifest and the folder


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "{secret}",
        "/etc/hostname",
        "adapters/../../secret",
        "./run.yaml",
        "adapters//x",
        "",
        ".",
        "..",
        "x" * 5000,
        "x/" * 100 + "x",
        "é" * 128,
        "a\0b",
        "a\x1b[31m",
        "a\nb",
        "\ud800",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused_and_says_nothing_of_that_file(run, tmp_path, name):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    name = name.format(secret=secret)
    listed = json.loads((run / "manifest.json").read_text())
    listed["files"][name] = {"bytes": len(SECRET), "sha256": "0" * 64}
    text = json.dumps(listed, indent=2, ensure_ascii=False) + "\n"
    (run / "manifest.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    message = refused(lambda: load_run(run), run / "manifest.json", "damaged")
    assert sha256(secret) not in message and "\x1b" not in message and "\0" not in message
    assert str(len(SECRET)) not in message.replace(str(tmp_path), "")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"files": {}}', "does not list it"),
        ("[" * 100_000, "not JSON"),
        ('{"files": ' + '{"a": ' * 300 + "1" + "}" * 301, "nested more than 64 deep"),
        ("[]", "expected files"),
        ('{"files": {"run.yaml": {"bytes": "1", "sha256": 1}}}', "damaged"),
        ('{"files": {"run.yaml": {"bytes": NaN, "sha256": "0"}}}', "NaN is no number of JSON's"),
        (b"\xff\xfe", "not JSON"),
        ("1" * 5000, "not JSON"),
    ],
)
def test_a_manifest_of_another_form_is_refused(run, content, told):
    if isinstance(content, str) and content.startswith('{"files": {}}'):
        write_json(run / "manifest.json", {"files": {}})
    else:
        (run / "manifest.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    for call in (lambda: load_run(run), lambda: describe_run(run)):
        refused(call, told)


def test_an_empty_manifest_alone_is_no_run(tmp_path):
    write_json(tmp_path / "manifest.json", {"files": {}})
    refused(lambda: describe_run(tmp_path), "lists no run.yaml, model.json, report.json, metrics.jsonl")


@pytest.mark.parametrize("file", ["run.yaml", "model.json", "report.json", "metrics.jsonl", "catalogue.parquet"])
def test_every_run_has_these_files(run, file):
    (run / file).unlink()
    seal(run)
    refused(lambda: load_run(run), f"lists no {file}")
    refused(lambda: describe_run(run), f"lists no {file}")


@pytest.mark.parametrize("file", ["adapters/gap/x.safetensors", "adapter_config.json", "test/x.ranks.parquet"])
def test_a_file_that_we_would_read_is_refused_where_it_is_not_listed(run, file):
    (run / file).write_bytes(b"x")
    refused(lambda: load_run(run), run / file, "manifest.json does not list it")


def link(place, target):
    place.unlink(missing_ok=True)
    place.symlink_to(target)


@pytest.mark.parametrize("file", ["adapters/query/README.md", "metrics.jsonl", "manifest.json", "adapters/query/new"])
@pytest.mark.parametrize("kind", ["file", "missing", "device", "itself", "pipe", "folder"])
def test_links_pipes_and_devices_are_refused_and_not_opened(run, tmp_path, file, kind):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    place = run / file
    if kind == "pipe":
        place.unlink(missing_ok=True)
        os.mkfifo(place)  # opening it would hang
    else:
        to = {"file": secret, "missing": tmp_path / "no", "device": "/dev/zero", "itself": place.name, "folder": "/etc"}
        link(place, to[kind])
    listed = run / "manifest.json"
    if file not in ("manifest.json",):
        listed_files = json.loads(listed.read_text())
        listed_files["files"][file] = {"bytes": len(SECRET), "sha256": sha256(secret)}
        write_json(listed, listed_files)
    for verb in (["verify", run], ["export", run, "--task", "query", "--output", tmp_path / "out"]):
        done = peftrec(*verb)
        assert (done.exit_code, done.stdout) == (2, ""), done
        assert f"{place}: neither file nor folder but a link, a pipe or a device, which is not opened" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_linked_folder_is_not_entered(run, tmp_path):
    shutil.move(run / "adapters" / "gap", tmp_path / "gap")
    (run / "adapters" / "gap").symlink_to(tmp_path / "gap")
    refused(lambda: load_run(run), run / "adapters" / "gap", "neither file nor folder")


def test_export_copies_what_is_listed_and_nothing_else(run, tmp_path):
    (run / "adapters" / "query" / "more.py").write_text("not listed")
    (run / "adapters" / "query" / "deep").mkdir()
    (run / "adapters" / "query" / "deep" / "more.txt").write_text("not listed either")
    done = peftrec("export", run, "--task", "query", "--output", tmp_path / "out")
    assert done.exit_code == 0
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*"))
    assert found == ["README.md", "adapter_config.json", "adapter_model.safetensors"]


# What the files hold


def setting(*path: Any, to: Any) -> Callable[[Any], None]:
    """A change of one value in JSON."""

    def change(value: Any) -> None:
        *way, last = path
        for key in way:
            value = value[key]
        value[last] = to

    return change


HUGE = 10**400
MODEL = {
    "a list": lambda value: [],
    "a text": lambda value: "x",
    "null": lambda value: {"backbone_digest": None, "tasks": value["tasks"]},
    "no tasks": lambda value: {"backbone_digest": value["backbone_digest"]},
    "tasks a list": setting("tasks", to=[]),
    "a task missing": lambda value: value["tasks"].pop("gap") and None,
    "a task more": lambda value: value["tasks"].update(other=value["tasks"]["gap"]),
    "a task of null": setting("tasks", "gap", to=None),
    "digest a number": setting("backbone_digest", to=5),
    "slots a text": setting("tasks", "gap", "slots", to="item"),
    "slots of no kind": setting("tasks", "gap", "slots", to=["nowhere"]),
    "slots of another kind": setting("tasks", "query", "slots", to=["item"]),
    "no slots": setting("tasks", "gap", "slots", to=[]),
    "history false": setting("tasks", "interest", "history", to=False),
    "history of queries": setting("tasks", "query", "history", to=True),
    "base missing": setting("tasks", "interest", "base", to=None),
    "base of another kind": setting("tasks", "gap", "base", to=0.5),
    "catalogue false": setting("tasks", "next", "catalogue", to=False),
    "hides no table of its": setting("tasks", "interest", "hides", to=["others"]),
    "hides and rates nothing": setting("tasks", "interest", "hides", to=["events"]),
    "rates what it lacks": setting("tasks", "interest", "rated", to=1),
    "lists of nothing rated": setting("tasks", "interest", "impressions", to=True),
    "impressions a number": setting("tasks", "interest", "impressions", to=1),
    "history a number": setting("tasks", "gap", "history", to=1),
    "classes numbers": setting("tasks", "query", "classes", to=[0, 1]),
    "a class more": setting("tasks", "query", "classes", to=["0", "1", "2"]),
    "very many classes": setting("tasks", "query", "classes", to=["a"] * 100_000),
    "features null": setting("tasks", "gap", "features", to=None),
    "a feature less": setting("tasks", "gap", "features", to=["x"]),
    "scale short": setting("tasks", "gap", "scale", to=[1.0]),
    "scale texts": setting("tasks", "gap", "scale", to=["a", "b"]),
    "scale huge": setting("tasks", "gap", "scale", to=[1.0, HUGE]),
    "base a text": setting("tasks", "interest", "base", to="0.5"),
    "catalogue null": setting("tasks", "next", "catalogue", to=None),
    "deep": setting("tasks", to=json.loads("[" * 70 + "]" * 70)),
}


@pytest.mark.parametrize("case", MODEL)
def test_a_model_json_of_other_types_is_one_message(run, case):
    changed_json(run, "model.json", MODEL[case])
    told = refused(lambda: load_run(run))
    assert str(run) in told and ("model.json" in told or "heads/" in told)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe{}", b"[" * 100_000, b'{"tasks": NaN}', b"1e999", b"{}"])
@pytest.mark.parametrize("file", ["model.json", "report.json", "adapters/gap/adapter_config.json"])
def test_what_is_no_json_of_ours_is_one_message(run, tmp_path, file, content):
    (run / file).write_bytes(content)
    seal(run)
    if file == "report.json":
        refused(lambda: write_report(run, tmp_path / "page.html"), run / file)
    else:
        refused(lambda: load_run(run), run)


TASK = ("tasks", "interest")
PART = {"n": 1, "metrics": {"auc": 0.5}, "intervals": {}, "priors": {}, "gains": {}, "undefined": {}}
REPORT = {
    "a list": lambda value: [],
    "no cost": lambda value: {"tasks": value["tasks"]},
    "tasks a list": setting("tasks", to=[]),
    "a task a text": setting(*TASK, to="x"),
    "an unknown task": lambda value: value["tasks"].update(other=value["tasks"]["gap"]),
    "n negative": setting(*TASK, "n", to=-1),
    "n a text": setting(*TASK, "n", to="3"),
    "n huge": setting(*TASK, "n", to=HUGE),
    "a metric a text": setting(*TASK, "metrics", "auc", to="good"),
    "a metric too large": setting(*TASK, "metrics", "auc", to=HUGE),
    "an interval short": setting(*TASK, "intervals", "auc", to=[1.0]),
    "an interval missing": lambda value: value["tasks"]["interest"]["intervals"].pop("auc") and None,
    "priors a list": setting(*TASK, "priors", to=[]),
    "a gain over nobody": setting(*TASK, "gains", "auc", to={"prior": "nobody", "by": 1.0}),
    "a gain without by": setting(*TASK, "gains", "auc", to={"prior": "random"}),
    "undefined a list": setting(*TASK, "undefined", to=["auc"]),
    "slices a list": setting(*TASK, "slices", to=["cold_items"]),
    "a part a number": setting(*TASK, "slices", to={"cold_items": {"cold": 1}}),
    "a part without priors": setting(*TASK, "slices", to={"x": {"y": {k: PART[k] for k in PART if k != "priors"}}}),
    "a part's gain over nobody": setting(
        *TASK, "slices", to={"x": {"y": PART | {"gains": {"auc": {"prior": "nobody", "by": 1.0}}}}}
    ),
    "a part's interval missing": setting(*TASK, "slices", to={"x": {"y": PART | {"intervals": {"x": None}}}}),
    "relevant a number": setting(*TASK, "relevant", to=1),
    "a cost a list": setting("cost", "train_seconds", to=[1]),
    "a cost a text": setting("cost", "train_seconds", to="1"),
    "bytes a list": setting("cost", "adapter_bytes", to=[1]),
    "environment a text": setting("environment", to="x"),
}


@pytest.mark.parametrize("case", REPORT)
def test_a_report_json_of_other_types_is_one_message(run, whole, tmp_path, case):
    changed_json(run, "report.json", REPORT[case])
    told = refused(lambda: write_report(run, tmp_path / "page.html"))
    assert str(run) in told
    if case != "environment a text":
        refused(lambda: compare_runs([run, whole], resamples=2), run)


LINES = {
    "none": "",
    "a list": "[]\n",
    "no step": '{"epoch": 1, "train_loss": {}}\n',
    "step a text": '{"step": "1", "epoch": 1, "train_loss": {}}\n',
    "epoch negative": '{"step": 1, "epoch": -1, "train_loss": {}}\n',
    "epoch too large": '{"step": 1, "epoch": 1e999, "train_loss": {}}\n',
    "losses a list": '{"step": 1, "epoch": 1, "train_loss": [1]}\n',
    "a loss a text": '{"step": 1, "epoch": 1, "train_loss": {"query": "x"}}\n',
    "valid a number": '{"step": 1, "epoch": 1, "train_loss": {}, "valid": 3}\n',
    "weight a text": '{"step": 1, "epoch": 1, "train_loss": {}, "weight": "x"}\n',
    "deep": "[" * 100_000,
    "no text": b"\xff\xfe\n",
}


@pytest.mark.parametrize("case", LINES)
def test_a_metrics_jsonl_of_other_types_is_one_message(run, tmp_path, case):
    content = LINES[case]
    (run / "metrics.jsonl").write_bytes(content if isinstance(content, bytes) else content.encode())
    seal(run)
    refused(lambda: write_report(run, tmp_path / "page.html"), run / "metrics.jsonl")


LOG = {
    "an item beyond": {"item": lambda items: [20, *items[1:]]},
    "an item below": {"item": lambda items: [-1, *items[1:]]},
    "an item far beyond": {"item": lambda items: [2**62, *items[1:]]},
    "items texts": {"item": lambda items: [str(item) for item in items]},
    "items fractions": {"item": lambda items: [item + 0.5 for item in items]},
    "an item missing": {"item": lambda items: [None, *items[1:]]},
    "times texts": {"time": lambda times: [str(time) for time in times]},
    "times NaN": {"time": lambda times: [np.nan, *times[1:]]},
    "times too late": {"time": lambda times: [*times[:-1], 1e12]},
    "times infinite": {"time": lambda times: [np.inf, *times[1:]]},
    "times out of order": {"time": lambda times: times[::-1]},
    "users apart": {"user": lambda users: [users[-1], *users[1:]]},
    "users numbers": {"user": lambda users: list(range(len(users)))},
    "a user missing": {"user": lambda users: [None, *users[1:]]},
    "feedback texts": {"feedback interest": lambda values: ["x"] * len(values)},
    "feedback infinite": {"feedback next": lambda values: [np.inf, *values[1:]]},
}


@pytest.mark.parametrize("case", LOG)
def test_a_log_that_no_training_writes_is_one_message(run, case):
    changed_table(run, "log.parquet", **LOG[case])
    refused(lambda: load_run(run), run / "log.parquet")


CATALOGUE = {
    "ids numbers": {"id": lambda ids: list(range(len(ids)))},
    "an id twice": {"id": lambda ids: [ids[1], *ids[1:]]},
    "an id missing": {"id": lambda ids: [None, *ids[1:]]},
    "texts numbers": {"text": lambda texts: [1.5] * len(texts)},
    "a text missing": {"text": lambda texts: [None, *texts[1:]]},
    "texts bytes": {"text": lambda texts: [b"\xff"] * len(texts)},
}


@pytest.mark.parametrize("case", CATALOGUE)
def test_a_catalogue_that_no_training_writes_is_one_message(run, case):
    changed_table(run, "catalogue.parquet", **CATALOGUE[case])
    refused(lambda: load_run(run), run / "catalogue.parquet")


def test_a_smaller_catalogue_leaves_the_log_s_items_nowhere(run):
    pq.write_table(pq.read_table(run / "catalogue.parquet").slice(0, 3), run / "catalogue.parquet")
    seal(run)
    refused(lambda: load_run(run), run / "log.parquet", "item: the catalogue has the numbers 0 to 2")


@pytest.mark.parametrize("file", ["catalogue.parquet", "log.parquet", "test/interest.parquet"])
@pytest.mark.parametrize("content", ["text", "empty", "cut", "bomb"])
def test_what_is_no_table_or_far_too_large_is_one_message(run, whole, file, content):
    place = run / file
    before = place.read_bytes()
    if content == "bomb":
        table = pq.read_table(place).slice(0, 1)
        name = table.column_names[0]
        long = pa.DictionaryArray.from_arrays(np.zeros(100_000, np.int32), pa.array(["x" * 66_000]))
        others = {of: table[of].take(pa.array(np.zeros(100_000, np.int64))) for of in table.column_names[1:]}
        pq.write_table(pa.table({name: long, **others}), place)
        assert place.stat().st_size < 150_000
    else:
        place.write_bytes({"text": b"x" * 1000, "empty": b"", "cut": before[: len(before) // 2]}[content])
    seal(run)
    if file.startswith("test"):
        told = refused(lambda: compare_runs([whole, run], resamples=2), place)
    else:
        told = refused(lambda: load_run(run), place)
    assert ("would unpack to 6,600," in told) == (content == "bomb")


OUTCOME = {
    "labels texts": {"label": lambda labels: ["x"] * len(labels)},
    "labels NaN": {"label": lambda labels: [np.nan] * len(labels)},
    "predictions texts": {"prediction": lambda values: ["x"] * len(values)},
    "predictions infinite": {"prediction": lambda values: [np.inf] * len(values)},
    "predictions of several lengths": {"prediction": lambda values: [[0.5], [0.5, 0.5], *[[0.5]] * (len(values) - 2)]},
    "users numbers": {"group": lambda groups: list(range(len(groups)))},
}


@pytest.mark.parametrize("case", OUTCOME)
def test_test_predictions_that_no_training_writes_are_one_message(run, whole, case):
    changed_table(run, "test/interest.parquet", **OUTCOME[case])
    refused(lambda: compare_runs([whole, run], resamples=2), run / "test/interest.parquet")
    refused(lambda: compare_runs([run, whole], resamples=2), run / "test/interest.parquet")


def first_filled(value: float) -> Callable[[dict], dict]:
    def change(tensors: dict) -> dict:
        name = next(name for name, tensor in tensors.items() if tensor.numel() > 1)
        return {**tensors, name: torch.full_like(tensors[name], value)}

    return change


TENSORS = {
    "NaN": first_filled(float("nan")),
    "infinite": first_filled(float("inf")),
    "none": lambda tensors: {},
    "one less": lambda tensors: dict(list(tensors.items())[1:]),
    "one more": lambda tensors: {**tensors, "more": torch.zeros(1)},
    "other shapes": lambda tensors: {name: torch.zeros(*tensor.shape, 2) for name, tensor in tensors.items()},
}


@pytest.mark.parametrize("file", ["heads/gap.safetensors", "adapters/gap/adapter_model.safetensors"])
@pytest.mark.parametrize("case", TENSORS)
def test_weights_that_no_training_writes_are_one_message(run, file, case):
    changed_tensors(run, file, TENSORS[case])
    told = refused(lambda: load_run(run), run)
    assert ("not finite" in told) == (case in ("NaN", "infinite"))


@pytest.mark.parametrize("file", ["heads/gap.safetensors", "adapters/gap/adapter_model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\xff" * 16, b"\x02\0\0\0\0\0\0\0{}"])
def test_what_is_no_safetensors_is_one_message(run, file, content):
    (run / file).write_bytes(content)
    seal(run)
    refused(lambda: load_run(run), run)


CONFIG = {
    "a list": lambda value: [],
    "a text": lambda value: "LORA",
    "no type": lambda value: value.pop("peft_type") and None,
    "an unknown type": setting("peft_type", to="EVIL"),
    "a type a list": setting("peft_type", to=["LORA"]),
    "r a text": setting("r", to="many"),
    "r negative": setting("r", to=-1),
    "r enormous": setting("r", to=10**9),
    "r of one module enormous": setting("rank_pattern", to={"query": 10**9}),
    "patterns a list": setting("rank_pattern", to=[1]),
    "modules a number": setting("target_modules", to=5),
    "modules that there are not": setting("target_modules", to=["nowhere"]),
    "code to import": lambda value: value.update(megatron_config={"a": 1}, megatron_core="evil_core"),
}


@pytest.mark.parametrize("case", CONFIG)
def test_an_adapter_config_that_no_training_writes_is_one_message(run, case, tmp_path, monkeypatch):
    (tmp_path / "evil_core.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    changed_json(run, "adapters/gap/adapter_config.json", CONFIG[case])
    refused(lambda: load_run(run), run)
    assert not (tmp_path / "ran").exists() and "evil_core" not in sys.modules


@pytest.mark.parametrize("file", ["heads/gap.safetensors", "adapters/gap/adapter_config.json", "log.parquet"])
def test_a_file_that_a_task_needs_is_named_where_it_is_missing(run, file):
    (run / file).unlink()
    seal(run)
    refused(lambda: load_run(run), run)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[" * 5000, b"a: [", b"tasks: {}\n", b"!!python/object:os.x {}\n"]
)
def test_a_run_yaml_that_is_no_recipe_is_told(run, content):
    (run / "run.yaml").write_bytes(content)
    seal(run)
    with pytest.raises(UserError, match=r"run\.yaml: "):
        load_run(run)


@pytest.mark.parametrize(
    ("file", "content"),
    [("model.json", b"[]"), ("model.json", b'{"backbone_digest": "a", "tasks": {}}'), ("run.yaml", b"\xff")],
)
def test_a_training_that_starts_from_it_says_the_same(run, shop, file, content):
    (run / file).write_bytes(content)
    seal(run)
    recipe = tiny_recipe(shop, tasks=TASKS, init_from=str(run))
    refused(lambda: read_start(recipe), run / file)


# The run as it was


def test_the_whole_run_is_read_by_all(whole, tmp_path):
    assert load_run(whole).logs["interest"].user_ids[:2] == ["u0", "u1"]
    assert write_report(whole, tmp_path / "page.html").exists()
    assert peftrec("recommend", whole, "--task", "next", "--user", "u1", "--json").exit_code == 0


def test_verify_prints_the_digest_and_holds_it_against_the_expected(whole):
    digest = sha256(whole / "manifest.json")
    done = peftrec("verify", whole)
    assert (done.exit_code, done.stdout) == (0, f"{digest}\n")
    listed = json.loads((whole / "manifest.json").read_text())["files"]
    expected = {
        "run": str(whole),
        "digest": digest,
        "files": len(listed),
        "bytes": sum(o["bytes"] for o in listed.values()),
    }
    assert json.loads(peftrec("verify", whole, "--expect", digest.upper(), "--json").stdout) == expected
    for other in ("0" * 64, digest[:12], ""):
        done = peftrec("verify", whole, "--expect", other)
        assert (done.exit_code, done.stdout) == (2, "")
        assert f"{whole}: its digest is {digest}; expected {other}: it is another run" in done.stderr


def test_a_title_commands_no_terminal(run):
    changed_table(run, "catalogue.parquet", text=lambda texts: ["\x1b]0;mine[/x]"] * len(texts))
    done = peftrec("recommend", run, "--task", "next", "--user", "u1", "-k", "2")
    assert done.exit_code == 0 and "\x1b" not in done.stdout
    assert done.stdout.count("\\u001b]0;mine[/x]") == 2
