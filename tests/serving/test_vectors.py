"""Items and users as vectors: what FAISS and numpy find with them is what `recommend` names."""

import os
import re
import sys

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from command import peftrec
from tiny import LORA, make_tiny_shop, tiny_recipe

from peftrec.data.signals import SHARED, SIGNALS
from peftrec.errors import UserError
from peftrec.runs.folder import digest_run
from peftrec.serving.predictor import Predictor
from peftrec.serving.vectors import compare, export_vectors, write_vectors
from peftrec.training.loop import train

pytestmark = pytest.mark.usefixtures("quick")

TASKS = {
    "next": {"kind": "next-item"},
    "like": {"kind": "interest", "column": "stars", "threshold": 4},
    "search": {"kind": "match-query"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    shop = make_tiny_shop(tmp_path_factory.mktemp("tiny"))
    recipe = tiny_recipe(shop, adapter=LORA, fusion={"items": True, "dim": 4, "least": 2}, tasks=TASKS)
    data = recipe.data.model_copy(update={"queries": recipe.data.queries.model_copy(update={"label": None})})
    return train(recipe.model_copy(update={"data": data}), tmp_path_factory.mktemp("runs") / "one")


@pytest.fixture
def predictor(run):
    return Predictor.load(run, cache=False)


def read(folder, name):
    table = pq.read_table(folder / f"{name}.parquet")
    assert pa.types.is_fixed_size_list(table.schema.field("vector").type)
    assert table.schema.field("vector").type.value_type == pa.float32()
    return table, np.stack(table["vector"].to_numpy())


def found_by(folder, asked, k):
    """The ids and scores of the k best for each vector by FAISS, once numpy has found the same."""
    table, vectors = read(folder, "items")
    scores, rows = faiss.read_index(str(folder / "items.faiss")).search(asked, k)
    products = asked @ vectors.T
    assert np.array_equal(rows, np.argsort(-products, axis=1, kind="stable")[:, :k])
    assert scores == pytest.approx(np.take_along_axis(products, rows, 1), abs=1e-5)
    ids = np.array(table["id"].to_pylist())
    return ids[rows].tolist(), scores


def check(found, scores, recommended):
    """The items are those that were recommended, but for the order of scores that are equal to rounding."""
    for own, said, answer in zip(found, scores, recommended, strict=True):
        assert said.tolist() == pytest.approx([of["score"] for of in answer], abs=1e-4)
        given = {of["item"]: of["score"] for of in answer}
        assert [given.get(item, np.nan) for item in own] == pytest.approx(said.tolist(), abs=1e-4)


def first_of(found, scores, had, k):
    """The first k of each list that its user had not."""
    places = [[n for n, item in enumerate(own) if item not in of][:k] for own, of in zip(found, had, strict=True)]
    items = [[own[n] for n in some] for own, some in zip(found, places, strict=True)]
    return items, [own[some] for own, some in zip(scores, places, strict=True)]


def test_users_find_in_the_index_what_is_recommended_to_them(predictor, tmp_path):
    with torch.no_grad():
        predictor.model.head("next").signals[SHARED:] = 0  # what no vector holds
    write_vectors(predictor, "next", tmp_path)
    table, asked = read(tmp_path, "users")
    users = table["id"].to_pylist()
    assert sorted(users) == sorted(f"u{n}" for n in range(16)) and table.schema.names == ["id", "vector"]
    rows = [{"user": user} for user in users]
    assert np.array_equal(asked, predictor.query_vectors("next", rows)) and (asked[:, -1] == 1).all()
    log, ids = predictor.run.logs["next"], predictor.run.items["items"].ids
    had = {
        user: {ids[n] for n in log.log.items[slice(*log.log.user_start[u : u + 2])]}
        for u, user in enumerate(log.user_ids)
    }
    found, scores = found_by(tmp_path, asked, 20)
    check(*first_of(found, scores, [had[user] for user in users], 5), predictor.recommend_all("next", rows, 5))
    new = [{"history": []}, {"history": ["i3", "i7"]}]
    found, scores = found_by(tmp_path, predictor.query_vectors("next", new), 20)
    check(*first_of(found, scores, [set(), {"i3", "i7"}], 5), predictor.recommend_all("next", new, 5))
    compared = compare(predictor, "next")
    assert (compared.rows, compared.agree) == (16, 1) and compared.added < 1e-5


def test_an_item_s_vector_is_of_its_text_and_of_what_was_learned_of_it(predictor):
    before = predictor.item_vectors("next")
    with torch.no_grad():
        assert (predictor.model.fusion.parts["shared"].table != 0).any()
        predictor.model.fusion.parts["shared"].table[:] = 0
    text_alone = Predictor(predictor.run).item_vectors("next")
    learned = np.unique(predictor.model.fusion.parts["shared"].items)
    moved = np.flatnonzero((before != text_alone).any(1))
    assert len(moved) and set(moved) <= set(learned.tolist())


def test_what_the_past_adds_is_told(predictor):
    weights = [0.5, 0.25, 2.0, 0.0, 0.0, 0.0]
    with torch.no_grad():
        predictor.model.head("next").signals[:] = torch.tensor(weights)
    users = [{"user": user} for user in predictor.users("next")]
    products = predictor.query_vectors("next", users) @ predictor.item_vectors("next").T
    examples = predictor.recommender.examples("next", users)
    said = predictor.model.of_past("next", examples)
    row, item = examples.met()
    products[row, item] = -np.inf
    ten = np.argsort(-(products + said), axis=1, kind="stable")[:, :10]
    plain = np.argsort(-products, axis=1, kind="stable")[:, :10]
    compared = compare(predictor, "next")
    assert compared.added == pytest.approx(np.abs(np.take_along_axis(said, ten, 1)).mean(), rel=1e-3)
    agree = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ten.tolist(), plain.tolist(), strict=True)])
    assert compared.agree == pytest.approx(agree) and compared.agree < 1 and compared.within == 1  # of 20 items
    total = np.take_along_axis(products + said, ten, 1)
    assert compared.spread == pytest.approx((total[:, 0] - total[:, -1]).mean(), rel=1e-3)


def test_features_of_items_users_and_events_are_in_the_vectors(featured):
    rows = [{"user": "u3"}, {"history": ["i4", "i9"], "user_features": {"age": 31}, "features": {"hour": 3}}]
    products = featured.query_vectors("next", rows) @ featured.item_vectors("next").T
    said = featured.model.of_past("next", featured.recommender.examples("next", rows))
    for scores, found in zip(products + said, featured.recommend_all("next", rows, 20), strict=True):
        named = [int(of["item"][1:]) for of in found]
        assert [of["score"] for of in found] == pytest.approx(scores[named].tolist(), abs=1e-4)
    assert np.abs(np.subtract(*featured.query_vectors("next", [rows[1], {"history": ["i4", "i9"]}]))).max() > 1e-3


def test_queries_find_in_the_index_what_is_recommended_for_them(predictor, tmp_path):
    predictor.run.starts["search"].lexical = 0.0  # BM25, which no vector holds
    write_vectors(predictor, "search", tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["items.faiss", "items.parquet"]
    rows = [{"query": text} for text in ("w1 w2", "w50", "w3 w119 w7")]
    found, scores = found_by(tmp_path, predictor.query_vectors("search", rows), 6)
    check(found, scores, predictor.recommend_all("search", rows, 6))
    predictor.run.starts["search"].lexical = 30.0
    compared = compare(predictor, "search")
    assert compared.rows == 20 and compared.added > 1


def test_an_export_is_the_same_to_the_byte_and_its_card_says_how_to_ask(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for task, files in (("next", ["users.parquet"]), ("search", [])):
        done = peftrec("export", run, "--task", task, "--format", "vectors")
        assert (done.exit_code, done.stdout) == (0, f"one-{task}-vectors\n"), done.output
        again = export_vectors(run, task, tmp_path / f"again-{task}")
        names = sorted(["README.md", "items.faiss", "items.parquet", *files])
        assert sorted(os.listdir(again)) == names
        for name in names:
            assert (again / name).read_bytes() == (tmp_path / f"one-{task}-vectors" / name).read_bytes()
        table, vectors = read(again, "items")
        assert table.schema.names == ["id", "text", "vector"] and table["id"].to_pylist()[:2] == ["i0", "i1"]
        text = (again / "README.md").read_text()
        assert digest_run(run) in text and f"| {vectors.shape[1]} float32" in text.replace("`vector`: ", "| ")
        names = {}
        monkeypatch.chdir(again)
        (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
        exec(code.replace('load("one")', f'load("{run}")'), names)
        assert len(names["rows"][0]) == 10
        monkeypatch.chdir(tmp_path)
    card = (tmp_path / "again-next" / "README.md").read_text()
    weights = Predictor.load(run).model.head("next").signals.tolist()
    for name, weight in zip(SIGNALS[SHARED:], weights[SHARED:], strict=True):
        assert (f"{weight:.3g} * `{name}`" in card) == bool(weight)
    assert "of what was learned of the item itself" in card and "`recommend` leaves out what the user had" in card


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(run, tmp_path, monkeypatch):
    for task, message in (
        ("like", "vectors: the score of task 'like' is no dot product of two vectors; tasks with one: next, search"),
        ("nxet", "no task 'nxet' in this run; did you mean 'next'?"),
    ):
        done = peftrec("export", run, "--task", task, "--format", "vectors", "--output", tmp_path / "out")
        assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"peftrec: {message}\n")
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="there: exists already and is never written over; name another folder"):
        export_vectors(run, "next", tmp_path / "there")
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match=r"^export --format vectors needs faiss: pip install 'peftrec\[faiss\]'$"):
        export_vectors(run, "next", tmp_path / "out")
    assert os.listdir(tmp_path) == ["there"]


def test_rows_are_checked_as_those_of_recommend_are(predictor):
    with pytest.raises(UserError, match="row 2: no user 'u99' in the run's log; for a new user give 'history'"):
        predictor.query_vectors("next", [{"user": "u1"}, {"user": "u99"}])
    with pytest.raises(UserError, match="row 1: 'exclude' is no key of a row to recommend for"):
        predictor.query_vectors("next", [{"user": "u1", "exclude": ["i1"]}])
    with pytest.raises(UserError, match="rows must be a list of dicts, one a row; found a dict"):
        predictor.query_vectors("next", {"user": "u1"})
    assert predictor.query_vectors("next", []).shape == (0, predictor.item_vectors("next").shape[1])
    assert predictor.users("search") == []
