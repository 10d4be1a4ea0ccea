import re
import sys
from collections import Counter

import numpy as np
import pytest
from made import made

from peftrec.data.load import load_tables
from peftrec.data.sources.movielens import compose_queries, load
from peftrec.data.tables import Events, Items
from peftrec.errors import UserError
from peftrec.recipe import DataConfig
from peftrec.tasks.dataset import build_dataset

DATA = DataConfig(source="movielens-100k")


@pytest.fixture(scope="module")
def tables():
    return load_tables(DATA)


def facets(items: Items, number: int) -> set[str]:
    year = items.columns["year"][number].strip(" ()")
    return {*items.columns["genres"][number].split(", "), *([year, f"the {year[:3]}0s"] if year else [])}


def test_counts(tables):
    assert (len(tables.named["events"]), len(tables.named["items"]), len(tables.named["events"].user_ids)) == (
        100_000,
        1_682,
        943,
    )
    assert Counter(tables.named["events"].columns["rating"].tolist()) == {
        1: 6110,
        2: 11370,
        3: 27145,
        4: 34174,
        5: 21201,
    }
    assert tables.named["items"].texts[0] == "Toy Story (1995). Animation, Children's, Comedy"
    assert all(text.strip() for text in tables.named["items"].texts)
    assert "recbole" not in sys.modules


def test_queries_are_many_balanced_and_distinct(tables):
    queries = tables.named["queries"]
    assert 5_000 <= len(queries) <= 20_000
    assert queries.label.mean() == 0.5
    assert len(set(zip(queries.text, queries.item.tolist(), strict=True))) == len(queries)
    changes = 1 + sum(a != b for a, b in zip(queries.text, queries.text[1:], strict=False))
    assert changes == len(set(queries.text)) > 1000  # no two sets of facets have the same words


def test_matches_have_all_facets_and_the_others_do_not(tables):
    items, queries = tables.named["items"], tables.named["queries"]
    hard = easy = 0
    for text in sorted(set(queries.text))[::20]:
        rows = [n for n, other in enumerate(queries.text) if other == text]
        own = [facets(items, queries.item[n]) for n in rows]
        matching = [f for f, n in zip(own, rows, strict=True) if queries.label[n]]
        shared = set.intersection(*matching)  # contains the query's own facets
        assert len(shared) >= 2 and len(matching) * 2 == len(rows)
        years = re.findall(r"(?:the )?(\d{4}s?)", text)
        assert all(any(year in facet for facet in shared) for year in years)
        for f, n in zip(own, rows, strict=True):
            if not queries.label[n]:
                assert not shared <= f
                hard, easy = hard + bool(shared & f), easy + (not shared & f)
    assert (
        0.4 < hard / (hard + easy) < 0.75
    )  # a film without the query's facets can still have others that matches share


def test_queries_do_not_depend_on_chance(tables):
    again = compose_queries(tables.named["items"])
    assert again.text == tables.named["queries"].text and (again.item == tables.named["queries"].item).all()


def test_three_tasks_load_and_split_by_time():
    tasks = {
        "query": made("query", kind="match-query"),
        "interest": made("interest", kind="interest", threshold=4),
        "time": made("time", kind="next-gap"),
    }
    data = build_dataset(load_tables(DATA), tasks, DATA, 0)
    task = data.tasks["interest"]
    assert (len(task.train) + len(task.valid), len(task.test)) == (80_003, 19_997)
    assert task.train.time.max() < task.valid.time.min() <= task.valid.time.max() < task.test.time.min()
    assert round(float(task.test.label.mean()), 3) == 0.565
    past = task.test.history()
    rows, feedback = past.rows, past.feedback
    assert rows.shape == feedback.shape == (19_997, 20)
    query = data.tasks["query"]
    texts = [
        {data.texts.texts[row] for row in np.unique(query.split(part).slots["query"])} for part in ("train", "test")
    ]
    assert not texts[0] & texts[1]
    notes = " | ".join(data.notes)
    assert "MovieLens-100k has no query log" in notes and "time: 943 moments left out" in notes


def write(folder, items, events):
    folder.joinpath("ml-100k.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n" + items
    )
    folder.joinpath("ml-100k.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + events
    )


def test_a_folder_of_ones_own(tmp_path):
    write(tmp_path, '1\tThe "Best\t1995\tWar Drama\n2\tOther\tV\tunknown\n', "7\t2\t3\t881250949\n7\t1\t4\t881250940\n")
    tables = load(tmp_path)
    assert tables.named["items"].texts == ['The "Best (1995). War, Drama', "Other. unknown"]
    events = tables.one(Events)
    assert events.item.tolist() == [0, 1] and events.columns["rating"].tolist() == [
        4,
        3,
    ]
    assert len(tables.named["queries"]) == 0


def test_a_wrong_folder_or_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"data\.path: the folder .* holds no file ml-100k\.item"):
        load(tmp_path)
    write(tmp_path, "1\tA\t1995\tWar\n", "7\t2\t3\t881250949\n")
    with pytest.raises(
        UserError, match=r"ml-100k\.inter: row 1, column 'item_id': must be an id of data\.items; found '2'"
    ):
        load(tmp_path)
    write(tmp_path, "1\tA\t1995\n", "")
    with pytest.raises(UserError, match=r"ml-100k\.item: not a tab-separated file"):
        load(tmp_path)


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install --no-deps recbole==1\.2\.1"):
        load(None)
