"""A field from its files to its lines and costs, with a tiny recipe; what the command takes is that of its process."""

import sys
from pathlib import Path

import pytest
from tiny import make_tiny_shop

from benchmarks.fields import one
from benchmarks.fields.files import FIELDS, Field
from peftrec.machine.files import read_json
from peftrec.recipe.shipped import load_recipe
from peftrec.training.loop import train

# Tasks of one log, of a table of users as a catalogue, of queries and of texts, as the shipped recipes have them.
RECIPE = """
backbone: {name: MODEL, max_length: 16}
adapter: {method: head_only}
data:
  items: {path: items.csv, id: id, text: "{title}"}
  events: {path: events.csv, user: user, item: item, time: time, columns: [stars]}
  queries: {path: queries.csv, text: "{query}", item: item}
  tables:
    people: {kind: users, path: friends.csv, id: user, text: "user {user}"}
    friends: {kind: events, path: friends.csv, user: user, item: friend, items: people}
    topics: {kind: texts, path: topics.csv, text: "{said}", label: topic}
  split: {kind: random, test: 0.2, valid: 0.1}
tasks:
  like: {kind: interest, column: stars, threshold: 4, table: events}
  friend: {kind: next-item, table: friends}
  answer: {kind: match-query}
  topic: {kind: classification}
train: {max_steps: 12}
"""


@pytest.fixture
def shop(tmp_path, monkeypatch, quick):
    """The data; the field `video` is then a tiny one over them, trained in this process."""
    folder = make_tiny_shop(tmp_path)
    pairs = [f"u{u},u{(u + n) % 16}\n" for u in range(16) for n in (1, 2, 4, 8, 12)]
    (folder / "friends.csv").write_text("user,friend\n" + "".join(pairs))
    topics = [f"w{n % 3} w{n},{'abc'[n % 3]}\n" for n in range(100)]
    (folder / "topics.csv").write_text("said,topic\n" + "".join(topics))
    (folder / "tiny.yaml").write_text(RECIPE.replace("MODEL", str(folder / "model")))

    def files(data, to):
        short = {f"data.{table}.path": data / f"{table}.csv" for table in ("items", "events", "queries")}
        names = {"people": "friends", "friends": "friends", "topics": "topics"}
        return short | {f"data.tables.{table}.path": data / f"{name}.csv" for table, name in names.items()}

    def trained(command, **environment):
        assert command[:4] == [sys.executable, "-m", "peftrec", "train"] and command[-2] == "--run"
        assert not list(Path(environment["PEFTREC_CACHE"]).iterdir())
        train(load_recipe(command[4], command[5:-2]), run=Path(command[-1]))
        return 12.5

    monkeypatch.setitem(FIELDS, "video", Field(str(folder / "tiny.yaml"), "made rows", files))
    monkeypatch.setattr(one, "spent", trained)
    return folder


def test_every_task_of_a_field_is_judged(shop, tmp_path):
    (out := tmp_path / "out").mkdir()
    found = one.work({"field": "video", "data": str(shop)}, out)
    assert list(found["tasks"]) == ["like", "friend", "answer", "topic"]
    for of in found["tasks"].values():
        assert of["n"] > 5 and of["verdict"] in ("win", "level", "loss")
    names = {task: set(of["baseline"]["all"]) for task, of in found["tasks"].items()}
    assert names["answer"] == {"tfidf cosine", "vectors cosine"} and "item-kNN" in names["friend"]
    report = read_json(out / "run/report.json")
    assert (found["cpu_seconds"], found["said"]) == (12.5, "made rows")
    assert found["peak_mb"] == report["cost"]["peak_memory_mb"] and 0 < found["adapter_mb"] < 1


def test_seconds_are_those_of_the_command_alone():
    assert one.spent([sys.executable, "-c", "import time\nwhile time.process_time() < 0.2: pass"]) >= 0.2
    with pytest.raises(SystemExit, match="its last words"):
        one.spent([sys.executable, "-c", "import os; exit(os.environ['SAID'])"], SAID="its last words")
