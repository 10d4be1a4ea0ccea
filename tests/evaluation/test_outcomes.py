"""Outcomes on disk: what a run predicted comes back as it was, row by row."""

import csv
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from several import make_several, several_recipe
from shop import write_csv

from peftrec.errors import UserError
from peftrec.evaluation.outcomes import Outcome, make_outcome, read_outcome, write_outcomes
from peftrec.recipe.shipped import load_recipe
from peftrec.tasks.dataset import load_data


def made(classes=None):
    shape = 3 if classes is None else (3, classes)
    prediction = np.random.default_rng(0).random(shape, np.float32)
    ids = np.array(["u1", "u2", "u1"], object), np.array(["i1", "", "é"], object)
    return Outcome(*ids, np.array([1.5, np.nan, 3.0]), np.array([0, 1, 1]), prediction)


@pytest.mark.parametrize("classes", [None, 2])
@pytest.mark.parametrize("ranked", [False, True])
def test_what_is_written_is_read_back(tmp_path, classes, ranked):
    given = made(classes)
    if ranked:
        given = replace(given, ranked=np.array(["u1", "u2"], object), rank=np.array([1.0, 2.5]))
    write_outcomes(tmp_path, {"query": given})
    found = read_outcome(tmp_path, "query")
    assert found.same_rows(given)
    np.testing.assert_array_equal(found.prediction, given.prediction)
    assert found.prediction.dtype == np.float32
    if ranked:
        assert found.ranked.tolist() == ["u1", "u2"] and found.rank.tolist() == [1.0, 2.5]
    else:
        assert found.rank is None


def test_several_labels_a_row_come_back(tmp_path):
    given = replace(made(2), label=np.array([[0, 1], [1, 1], [0, 0]], np.float32))
    write_outcomes(tmp_path, {"tags": given})
    found = read_outcome(tmp_path, "tags")
    assert found.same_rows(given) and found.label.dtype == np.float32
    assert not found.same_rows(replace(given, label=given.label[:, ::-1]))


@pytest.mark.parametrize(
    "change",
    [{"group": np.array(["u1", "u2", "u2"], object)}, {"label": np.array([0, 1, 0])}, {"time": np.arange(3.0)}],
)
def test_other_rows_are_not_the_same(change):
    assert made().same_rows(made())  # a time that is missing equals itself
    assert not made().same_rows(replace(made(), **change))


def test_a_run_that_kept_none_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"query\.parquet: missing: .*train it again"):
        read_outcome(tmp_path, "query")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_several(tmp_path_factory.mktemp("several"))


def kept(folder, tmp_path, task, part="test", **tables):
    """The rows that a run would keep of one task, and the file's lines by their number."""
    tmp_path.mkdir(exist_ok=True)
    data = load_data(several_recipe(folder, {"it": task}, tables))
    examples = data.tasks["it"].split(part)
    write_outcomes(tmp_path, {"it": make_outcome(data, "it", examples, np.zeros(len(examples), np.float32))})
    return pq.read_table(tmp_path / "test" / "it.parquet").to_pylist()


def lines(folder, name):
    with (folder / f"{name}.csv").open() as file:
        return dict(enumerate(csv.DictReader(file), 1))


@pytest.mark.parametrize("part", ["train", "valid", "test"])
def test_rows_have_their_number_in_the_user_s_file(folder, tmp_path, part):
    clicks, texts, searches = (lines(folder, name) for name in ("clicks", "news", "searches"))
    again = kept(folder, tmp_path / "again", {"kind": "next-gap", "table": "clicks"}, part)
    for row in again:  # sorted by user and time, last events left out: the file is in order of time
        line = clicks[row["row"]]
        assert (line["who"], line["what"], float(line["at"])) == (row["group"], row["item"], row["time"])
    moods = kept(folder, tmp_path / "mood", {"kind": "classification", "label": "mood"}, part)
    assert all(["bad", "good"][row["label"]] == texts[row["row"]]["mood"] for row in moods)
    prices = kept(folder, tmp_path / "price", {"kind": "regression", "label": "price"}, part)
    assert all(row["label"] == float(texts[row["row"]]["price"]) for row in prices)  # some texts have none
    found = kept(folder, tmp_path / "match", {"kind": "match-query"}, part)
    assert all(
        (str(row["label"]), row["item"]) == tuple(searches[row["row"]][c] for c in ("grade", "what")) for row in found
    )
    for rows in (again, moods, prices, found):
        assert len({row["row"] for row in rows}) == len(rows) > 5 and "file" not in rows[0]


def test_rows_of_several_files_have_the_file_too(folder, tmp_path):
    for name, of in {"loans-a": slice(0, 50), "loans-b": slice(50, None)}.items():
        write_csv(folder / f"{name}.csv", list(lines(folder, "loans").values())[of])
    task = {"kind": "interest", "table": "loans", "column": "stars", "threshold": 3}
    found = kept(folder, tmp_path, task, "train", loans={"path": str(folder / "loans-*.csv")})
    seen = {str(folder / f"{name}.csv"): lines(folder, name) for name in ("loans-a", "loans-b")}
    for row in found:
        line = seen[row["file"]][row["row"]]
        assert (line["who"], line["what"], float(line["at"])) == (row["group"], row["item"], row["time"])
    assert {row["file"] for row in found} == set(seen)


def test_queries_without_grades_have_their_number_and_rows_of_a_source_have_none(folder, tmp_path):
    searches = {"kind": "queries", "text": "{q}", "item": "what", "items": "goods", "label": None}
    found, file = kept(folder, tmp_path, {"kind": "match-query"}, searches=searches), lines(folder, "searches")
    assert all(file[row["row"]]["what"] == row["item"] for row in found) and len(found) > 5
    movielens = load_data(load_recipe("movielens-100k"))
    examples = movielens.tasks["interest"].test.take(np.arange(3))
    assert make_outcome(movielens, "interest", examples, np.zeros(3)).row is None
