"""`predict` and `recommend`: what they take, what they ask the predictor, and where the answers go."""

import json
import os
from pathlib import Path

import pytest
from command import peftrec, put

from peftrec.errors import RowError, UserError


class Predictor:
    """Stands in for the trained one: answers with what it was asked."""

    @classmethod
    def load(cls, run, cache, trust_code, keep=False):
        if not Path(run).exists():
            raise UserError(f"{run}: no such run folder")
        made = cls()
        made.cache = cache
        return made

    def predict(self, task, rows):
        return [{"task": task, "score": row.get("x", float("nan"))} for row in rows]

    def recommend_all(self, task, rows, k, **options):
        assert list(options) == ["candidates", "exclude", "where", "include_seen", "diversity"]
        for number, row in enumerate(rows, 1):
            if row.get("user") == "nobody":
                raise RowError(number, "no user 'nobody'")
        given = {key: value for key, value in options.items() if value is not None}
        told = {"cache": self.cache, "options": given}
        return [[{"item": str(n), "asked": [task, row], **told} for n in range(k)] for row in rows]

    def rank(self, weights, rows, k, **options):
        return [
            [{"item": f"i{n}", "text": "a, b", "score": n / 2, "scores": dict(weights)} for n in range(k)] for _ in rows
        ]


def test_predict_reads_and_writes_json_lines_in_order(tmp_path, monkeypatch):
    put(monkeypatch, "serving.predictor", Predictor=Predictor)
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows.write_text('{"x": 2}\n\n{"x": 1}\n{}\n')
    expected = '{"task": "t", "score": 2}\n{"task": "t", "score": 1}\n{"task": "t", "score": null}\n'
    assert peftrec("predict", tmp_path, "--task", "t", "--input", rows).stdout == expected
    done = peftrec("predict", tmp_path, "--task", "t", "--input", rows, "--output", out)
    assert (done.exit_code, done.stdout, out.read_text()) == (0, "", expected)
    for taken in (rows, out):
        before = taken.read_text()
        done = peftrec("predict", tmp_path, "--task", "t", "--input", rows, "--output", taken)
        assert (done.exit_code, taken.read_text()) == (2, before)
        assert done.stderr == f"peftrec: {taken}: exists already and is never written over; name another file\n"


def test_predict_hands_rows_to_ray_s_workers_and_names_the_line_that_is_wrong(tmp_path, monkeypatch):
    asked = []

    def predict(run, task, rows, workers, cache, trust_code):
        asked.append((run, task, rows, workers, cache, trust_code))
        if len(asked) == 2:
            raise RowError(2, "x is wrong")
        return [{"score": row["x"]} for row in rows]

    put(monkeypatch, "serving.predictor", Predictor=Predictor)
    put(monkeypatch, "serving.ray", predict=predict)
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows.write_text('{"x": 2}\n\n{"x": 1}\n')
    given = ("predict", tmp_path, "--task", "t", "--input", rows, "--engine", "ray")
    assert peftrec(*given).stdout == '{"score": 2}\n{"score": 1}\n'
    done = peftrec(*given, "--workers", 3, "--no-cache", "--trust-code", "--output", out)
    assert (done.exit_code, done.stderr) == (2, f"peftrec: {rows}, line 3: x is wrong\n")
    both = [{"x": 2}, {"x": 1}]
    assert asked == [(tmp_path, "t", both, 2, True, False), (tmp_path, "t", both, 3, False, True)]
    assert not out.exists()


def test_workers_are_of_ray(tmp_path):
    done = peftrec("predict", tmp_path, "--task", "t", "--input", tmp_path / "rows", "--workers", 3)
    said = "peftrec: predict: --workers is for --engine ray; without it one process predicts\n"
    assert (done.exit_code, done.stderr) == (2, said)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"x": 1}\n{"x": \n', "line 2: not JSON: "),
        ('{"x": 1}\n[1]\n', "line 2: a row is a JSON object, found [1]"),
        (None, "cannot be read: "),
    ],
)
def test_predict_names_the_line_that_is_wrong(tmp_path, monkeypatch, text, message):
    put(monkeypatch, "serving.predictor", Predictor=Predictor)
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    if text is not None:
        rows.write_text(text)
    done = peftrec("predict", tmp_path, "--task", "t", "--input", rows, "--output", out)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.startswith(f"peftrec: {rows}")
    assert not out.exists()


def asked_of(*arguments):
    """What the predictor was asked in each answer."""
    done = peftrec("recommend", *arguments)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def run(tmp_path, monkeypatch):
    put(monkeypatch, "serving.predictor", Predictor=Predictor)
    return tmp_path


def test_recommend_is_for_a_user_a_history_or_a_query(run):
    def asked(*arguments):
        return [row["asked"] for row in asked_of(run, "--task", "t", "--json", *arguments)]

    nothing = {"user": None, "history": None, "query": None}
    assert asked("--user", "7") == [["t", nothing | {"user": "7"}]] * 10
    for history in ("a,b", " a, b "):
        assert asked("--history", history, "-k", "2") == [["t", nothing | {"history": ["a", "b"]}]] * 2
    for history in ("", " "):
        assert asked("--history", history, "-k", "1") == [["t", nothing | {"history": []}]]
    assert asked("--query", "space", "-k", "1") == [["t", nothing | {"query": "space"}]]
    both = ["--query", "space", "--user", "7", "-k", "1"]
    assert asked(*both) == [["t", nothing | {"query": "space", "user": "7"}]]
    for more, cache in ([], True), (["--no-cache"], False):
        assert asked_of(run, "--task", "t", "--json", "--user", "7", "-k", "1", *more)[0]["cache"] is cache
    rule = "peftrec: recommend: give --user or --history, --query, or --input, for a new user --history ''; found"
    for arguments, found in (
        ([], "none of them"),
        (["--user", "7", "--history", "a"], "--user and --history"),
        (["--query", "b", "--input", "rows.jsonl"], "--query and --input"),
    ):
        done = peftrec("recommend", run, "--task", "t", *arguments)
        assert (done.exit_code, done.stderr) == (2, f"{rule} {found}\n")


def test_what_may_be_named_goes_to_the_predictor(run):
    def options(*arguments):
        return asked_of(run, "--task", "t", "--user", "7", "-k", "1", "--json", *arguments)[0]["options"]

    assert options() == {}
    assert options("--candidates", "a, b", "--exclude", "") == {"candidates": ["a", "b"], "exclude": []}
    assert options("--where", "price < 3", "--diversity", "0.3") == {"where": "price < 3", "diversity": 0.3}
    assert options("--include-seen") == {"include_seen": True}
    assert options("--leave-out-seen") == {"include_seen": False}


def test_weights_are_shown_with_each_score(run):
    done = peftrec("recommend", run, "--weights", "a=1, b = -0.5", "--user", "7", "-k", "1")
    headings, row = done.stdout.splitlines()
    assert headings.split() == ["item", "text", "score", "scores.a", "scores.b"]
    assert row.split() == ["i0", "a,", "b", "0", "1", "-0.5"]
    found = asked_of(run, "--weights", "a=1,b=-0.5", "--user", "7", "-k", "1", "--json")
    assert found == [{"item": "i0", "text": "a, b", "score": 0, "scores": {"a": 1, "b": -0.5}}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "recommend: give one of --task and --weights; found none of them"),
        (["--task", "t", "--weights", "t=1"], "recommend: give one of --task and --weights; found both"),
        (["--weights", "t"], "--weights are NAME=NUMBER,..., such as interest=1,price=-0.1; found 't'"),
        (["--weights", "t=1,"], "--weights are NAME=NUMBER,..., such as interest=1,price=-0.1; found ''"),
        (["--weights", "t=x"], "--weights are NAME=NUMBER,..., such as interest=1,price=-0.1; found 't=x'"),
        (["--weights", "t=inf"], "--weights are NAME=NUMBER,..., such as interest=1,price=-0.1; found 't=inf'"),
        (["--weights", "=1"], "--weights are NAME=NUMBER,..., such as interest=1,price=-0.1; found '=1'"),
        (["--weights", "t=1,t=2"], "--weights name 't' twice"),
        (
            ["--task", "t", "--output", "o.csv"],
            "recommend: --output is for the rows of --input; without it stdout has the answer",
        ),
    ],
)
def test_options_that_do_not_go_together_are_one_message(run, monkeypatch, arguments, message):
    monkeypatch.chdir(run)
    done = peftrec("recommend", run, "--user", "7", *arguments)
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"peftrec: {message}\n")
    assert os.listdir(run) == []


def test_rows_of_a_file_are_answered_on_stdout_or_in_a_file(run):
    rows = run / "rows.csv"
    rows.write_text("user\n7\n8\n")
    done = peftrec("recommend", run, "--task", "t", "--input", rows, "-k", "1")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["row"], line["user"], line["items"][0]["asked"]) for line in lines] == [
        (1, "7", ["t", {"user": "7"}]),
        (2, "8", ["t", {"user": "8"}]),
    ]
    out = run / "out.jsonl"
    wrote = peftrec("recommend", run, "--task", "t", "--input", rows, "-k", "1", "--output", out)
    assert (wrote.exit_code, wrote.stdout, out.read_text()) == (0, "", done.stdout)
    table = run / "out.csv"
    assert peftrec("recommend", run, "--weights", "a=1", "--input", rows, "-k", 2, "--output", table).exit_code == 0
    assert table.read_text().splitlines() == [
        "row,user,rank,item,text,score,scores.a",
        '1,7,1,i0,"a, b",0.0,1.0',
        '1,7,2,i1,"a, b",0.5,1.0',
        '2,8,1,i0,"a, b",0.0,1.0',
        '2,8,2,i1,"a, b",0.5,1.0',
    ]


def test_a_wrong_row_is_named_and_nothing_is_written(run):
    for name, text, place in (
        ("rows.csv", "user\n7\nnobody\n", "row 2"),
        ("rows.jsonl", '{"user": "7"}\n\n{"user": "nobody"}\n', "line 3"),
    ):
        (run / name).write_text(text)
        done = peftrec("recommend", run, "--task", "t", "--input", run / name, "--output", run / "out.parquet")
        assert (done.exit_code, done.stderr) == (2, f"peftrec: {run / name}, {place}: no user 'nobody'\n")
        assert not (run / "out.parquet").exists()
    done = peftrec("recommend", run, "--task", "t", "--user", "nobody")
    assert (done.exit_code, done.stderr) == (2, "peftrec: no user 'nobody'\n")


def test_a_file_to_write_is_refused_before_anything_is_asked(run, monkeypatch):
    monkeypatch.setattr(Predictor, "load", lambda *_, **__: pytest.fail("loaded"))
    (run / "rows.csv").write_text("user\n7\n")
    for output, message in (
        (run / "rows.csv", "exists already and is never written over; name another file"),
        (run, "a folder; name the file to write"),
        (run / "x.xlsx", "name a file that ends in .jsonl, .csv or .parquet, which says how it is written"),
    ):
        done = peftrec("recommend", run, "--task", "t", "--input", run / "rows.csv", "--output", output)
        assert (done.exit_code, done.stderr) == (2, f"peftrec: {output}: {message}\n")
    assert (run / "rows.csv").read_text() == "user\n7\n"
