"""`peftrec monitor` from options to lines, figure and exit status: over a stand-in for the run, and over a run."""

import io
import json
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import peftrec, put
from shop import write_csv
from tiny import make_tiny_shop
from typer.testing import CliRunner

from peftrec.cli.verbs import app
from peftrec.recipe import load_recipe
from peftrec.recipe.shipped import find_recipe
from peftrec.serving.monitor.webhook import Webhook
from peftrec.tasks.classification import CLASSIFICATION, SEVERAL
from peftrec.training.loop import train

START = datetime(2026, 5, 1, tzinfo=UTC).timestamp()
KINDS = {"mood": CLASSIFICATION, "topic": CLASSIFICATION, "tags": SEVERAL}


class Predictor:
    """A text is bad where it says so; its topic is its first word."""

    tasks = tuple(KINDS)
    run = SimpleNamespace(
        tasks={name: SimpleNamespace(kind=kind) for name, kind in KINDS.items()},
        described={"mood": {"classes": ["bad", "good"]}, "topic": {"classes": ["oil", "tech"]}},
    )

    @classmethod
    def load(cls, run, **_):
        return cls()

    def predict(self, task, rows):
        texts = [row["text"] for row in rows]
        return [{"label": of.split()[0] if task == "topic" else "bad" if "bad" in of else "good"} for of in texts]


@pytest.fixture(autouse=True)
def stand_in(request, monkeypatch):
    if "trained" not in request.fixturenames:
        put(monkeypatch, "serving.predictor", Predictor=Predictor)


def rows(hours=60, surge=50, seed=0):
    """Ten texts an hour and topic, a tenth of them bad, and of tech nine tenths in hour `surge`."""
    random = np.random.default_rng(seed)
    rates = {(surge, "tech"): 0.9}
    return [
        {
            "time": START + 3600 * hour + 300 * n,
            "text": f"{topic} {'bad' if random.random() < rates.get((hour, topic), 0.1) else 'fine'}",
        }
        for hour in range(hours)
        for n in range(10)
        for topic in ("oil", "tech")
    ]


def monitor(*options, stdin=None):
    given = None if stdin is None else "".join(json.dumps(row) + "\n" for row in stdin)
    return CliRunner().invoke(app, ["monitor", ".", "--task", "mood", "--label", "bad", *map(str, options)], given)


def test_a_surge_is_told_by_lines_address_figure_and_status(tmp_path, monkeypatch):
    posted = []
    monkeypatch.setattr(Webhook, "post", lambda self, alarm: posted.append(alarm))
    file = tmp_path / "texts.csv"
    write_csv(file, rows()[::-1])
    options = ["--by", "topic", "--figure", tmp_path / "day.png", "--webhook", "https://example.org/x"]
    options += ["--alarms-per-day", 0.1]
    done = monitor("--input", file, *options, "--fail-on-alarm")
    assert (done.exit_code, done.stderr) == (3, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 120
    first = {"window": "2026-05-01T00:00:00Z", "topic": "oil", "texts": 10, "label": "bad"}
    assert lines[0].items() >= (first | {"expected": None, "p": None, "alarm": False}).items()
    (alarm,) = (line for line in lines if line["alarm"])
    assert (alarm["window"], alarm["topic"], posted) == ("2026-05-03T02:00:00Z", "tech", [alarm])
    assert alarm["count"] >= 7 and 0.5 < alarm["expected"] < 1.6 and alarm["p"] < 0.1 / 48
    assert (tmp_path / "day.png").read_bytes().startswith(b"\x89PNG")
    again = monitor("--input", file, *options[:2], *options[-2:])
    assert (again.exit_code, again.stdout) == (0, done.stdout)


def test_a_stream_has_its_own_topics_or_none():
    given = [row | {"topic": row["text"].split()[0]} for row in rows()]
    by_task, own = monitor("--by", "topic", stdin=rows()), monitor(stdin=given)
    assert by_task.exit_code == own.exit_code == 0 and by_task.stdout == own.stdout
    done = monitor("--window", "1d", "--alarms-per-day", 0.1, stdin=rows())
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["topic"], line["texts"]) for line in lines] == [(None, 480), (None, 480), (None, 240)]


def test_late_texts_are_told():
    given = rows(3)
    done = monitor(stdin=[*given, given[0], given[1]])
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 3)
    assert "2 texts came when their window was over and are not counted: stdin: row 61 first" in done.stderr


def test_an_interruption_shows_what_is_over(tmp_path, monkeypatch):
    class Interrupted(io.BytesIO):
        def readline(self, size=-1):
            line = super().readline(size)
            if not line:
                raise KeyboardInterrupt
            return line

    stream = Interrupted("".join(json.dumps(row) + "\n" for row in rows(3)).encode())
    printed = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
        patch.setattr(sys, "stdout", printed)
        with pytest.raises(SystemExit) as ended:
            app(["monitor", ".", "--task", "mood", "--label", "bad", "--figure", str(tmp_path / "day.png")])
    assert ended.value.code == 130
    assert len(printed.getvalue().splitlines()) == 2 and (tmp_path / "day.png").exists()


def test_a_wrong_row_ends_it_after_the_windows_before():
    done = monitor(stdin=[*rows(2), {"time": "soon", "text": "x"}])
    assert (done.exit_code, len(done.stdout.splitlines())) == (2, 1)
    said = "peftrec: stdin: row 41: 'time' must be seconds since 1970 or an ISO date; found 'soon'\n"
    assert done.stderr == said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--window", "1w"], "--window must be a length such as 30m, 1h or 1d; found '1w'"),
        (["--window", "0h"], "--window must be a length such as 30m, 1h or 1d; found '0h'"),
        (["--alarms-per-day", "0"], "--alarms-per-day must be above 0 and at most 12, one in every other window of 1h"),
        (["--alarms-per-day", "nan"], "--alarms-per-day must be above 0 and at most 12"),
        (["--baseline", "23"], "--baseline must be 24 or more; found 23"),
        (["--webhook", "file:///x"], "--webhook must be an address that begins with https:// or http://; found 'file"),
        (["--figure", "day.pdf"], "--figure: name a file that ends in .png; found day.pdf"),
        (["--figure", __file__ + "/x.png", "--by", "moo"], "--by: no task 'moo' in this run; did you mean 'mood'?"),
        (["--by", "tags"], "--by must be a task of kind classification, one class a text; found tags"),
        (["--label", "bat"], "--label: no class 'bat' of mood; did you mean 'bad'?"),
        (["--input", "nowhere.csv"], "no such file: nowhere.csv"),
    ],
)
def test_what_cannot_be_asked_is_one_message(options, message):
    done = monitor(*options, stdin=[])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"peftrec: {message}")


def test_a_figure_is_never_written_over(tmp_path):
    (tmp_path / "day.png").write_text("mine")
    done = monitor("--figure", tmp_path / "day.png", stdin=rows(2))
    assert (done.exit_code, done.stdout) == (2, "") and "exists already" in done.stderr
    assert (tmp_path / "day.png").read_text() == "mine"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, quick):
    """The shipped recipe over two files of the form of its data, in words of the tiny tokenizer."""
    folder, random = make_tiny_shop(tmp_path_factory.mktemp("finance")), np.random.default_rng(0)
    topics = [{"text": f"w{n % 3} w{random.integers(10, 90)}", "label": n % 3} for n in range(240)]
    moods = [{"text": f"w{3 + n % 2} w{random.integers(10, 90)}", "label": 2 * (n % 2)} for n in range(240)]
    pq.write_table(pa.Table.from_pylist(topics), folder / "topic_train.parquet")
    write_csv(folder / "sentiment_train.csv", moods)
    changes = [f"backbone.name={folder}/model", "train.epochs=2", "train.batch_size=32"]
    changes += [f"data.tables.topics.path={folder}/topic_train.parquet"]
    changes += [f"data.tables.opinions.path={folder}/sentiment_train.csv"]
    return train(load_recipe(find_recipe("finance"), changes), folder / "run")


def test_the_shipped_recipe_is_trained_and_finds_a_surge(trained, tmp_path):
    random, given = np.random.default_rng(1), []
    for hour in range(40):
        for _ in range(12):
            bearish = random.random() < (0.95 if hour == 33 else 0.15)
            words = f"w{random.integers(3)} w{3 if bearish else 4} w{random.integers(10, 90)}"
            given.append({"time": START + 3600 * hour + random.integers(3600), "text": words})
    write_csv(tmp_path / "texts.csv", given)
    options = ["--task", "sentiment", "--label", "0", "--input", tmp_path / "texts.csv", "--no-cache"]
    done = peftrec("monitor", trained, *options)
    assert done.exit_code == 0, done.stderr
    alarms = [line["window"] for line in map(json.loads, done.stdout.splitlines()) if line["alarm"]]
    assert alarms == ["2026-05-02T09:00:00Z"]
    by = peftrec("monitor", trained, *options, "--by", "topic")
    assert {json.loads(line)["topic"] for line in by.stdout.splitlines()} == {"0", "1", "2"}
