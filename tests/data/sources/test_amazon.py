"""Amazon reviews in the forms of 2018 and of 2023."""

import gzip
import json

import pytest

from peftrec.data.load import load_tables
from peftrec.errors import UserError
from peftrec.recipe import DataConfig


def of_2018(user, item, rating, time, **more):
    return {"reviewerID": user, "asin": item, "overall": rating, "unixReviewTime": time, **more}


def of_2023(user, item, rating, time, **more):
    return {"user_id": user, "asin": "C1", "parent_asin": item, "rating": rating, "timestamp": time, **more}


OF_2018 = [
    of_2018("A2", "B1", 5.0, 1400000000, summary="Good", reviewText="It\nis", image=["x"], style={"Color:": "red"}),
    of_2018("A1", "B1", 2.0, 1400000300, verified=True),
    of_2018("A1", "B9", 1.0, 1400000200, reviewText="Bad"),
    of_2018("A1", "B2", 4.0, 1400000100, reviewText="Fine"),
]
PRODUCTS_2018 = [
    {"asin": "B1", "title": "Lamp", "brand": "Lux", "category": ["Home", "Light"], "price": "$5.98", "rank": {"a": 1}},
    {"asin": "B2", "title": "Rug", "brand": "", "details": {"x": 1}},
    {"asin": "B1", "title": "Lamp again"},
    {"asin": "B3", "title": "", "price": ""},
]
OF_2023 = [
    of_2023("U1", "P1", 4.0, 1588687728923, title="So", text="so", images=[{"a": "b"}]),
    of_2023("U1", "P2", 5.0, 1588687728000, title="", text=""),
]
PRODUCTS_2023 = [
    {
        "parent_asin": "P1",
        "title": "Lamp",
        "store": "Lux",
        "main_category": "Home",
        "categories": ["A", "B"],
        "price": 3,
    },
    {"parent_asin": "P2", "title": "Rug", "store": None, "main_category": None, "categories": [], "features": ["soft"]},
]


def write(folder, reviews, products, suffix="json", gz=False):
    for name, rows in (("Home_5", reviews), ("meta_Home", products)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        with gzip.open(folder / f"{name}.{suffix}.gz", "wt") if gz else (folder / f"{name}.{suffix}").open("w") as out:
            out.write(text)
    return DataConfig(source="amazon", path=str(folder))


def test_reviews_as_of_2018(tmp_path):
    tables = load_tables(write(tmp_path, OF_2018, PRODUCTS_2018))
    items, events, reviews = (tables.named[name] for name in ("items", "events", "reviews"))
    assert (items.ids, items.texts) == (["B1", "B2"], ["Lamp. Lux. Home, Light", "Rug"])
    assert (events.user_ids, events.user.tolist(), events.item.tolist()) == (["A2", "A1"], [0, 1, 1], [0, 1, 0])
    assert events.time.tolist() == [1400000000, 1400000100, 1400000300]
    assert events.columns["rating"].tolist() == [5, 4, 2]
    assert reviews.text == ["Good. It is", "Bad", "Fine"]  # that of a product without a title too
    assert reviews.rows.numbers("rating").tolist() == [5, 1, 4] and reviews.label == "rating"
    assert reviews.time.tolist() == [1400000000, 1400000200, 1400000100]
    file, meta = tmp_path / "Home_5.json", tmp_path / "meta_Home.json"
    assert tables.notes == [
        f"{meta}: 1 of 4 items have no text, and are left out",
        f"{meta}: 1 rows repeat an item's id; its first row is taken",
        f"{file}: 1 of 4 rows are of 1 items without a text, such as 'B9', and are left out",
        f"{file}: 1 of 4 reviews have no text",
    ]


def test_reviews_as_of_2023_packed(tmp_path):
    tables = load_tables(write(tmp_path, OF_2023, PRODUCTS_2023, "jsonl", gz=True))
    items, events, reviews = (tables.named[name] for name in ("items", "events", "reviews"))
    assert (items.ids, items.texts) == (["P1", "P2"], ["Lamp. Lux. A, B. Home", "Rug"])
    assert (events.item.tolist(), events.time.tolist()) == ([1, 0], [1588687728.0, 1588687728.923])
    assert (reviews.text, events.columns["rating"].tolist()) == (["So. so"], [5, 4])


def test_reviews_without_any_text_are_events_alone(tmp_path):
    bare = [{key: row[key] for key in ("reviewerID", "asin", "overall", "unixReviewTime")} for row in OF_2018]
    assert list(load_tables(write(tmp_path, bare, PRODUCTS_2018)).named) == ["items", "events"]


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(UserError, match=r"data\.path: amazon needs the folder of a category's reviews and its meta_"):
        load_tables(DataConfig(source="amazon"))
    with pytest.raises(UserError, match=r"must hold one file of reviews \(\.json or \.jsonl\); there is none"):
        load_tables(DataConfig(source="amazon", path=str(tmp_path)))
    (tmp_path / "Home_5.json").write_text('{"id": 1}\n')
    with pytest.raises(
        UserError, match=r"Home_5\.json: no file of reviews, whose rows have reviewerID, asin, .*found 'id'"
    ):
        load_tables(DataConfig(source="amazon", path=str(tmp_path)))
    write(tmp_path, OF_2018, PRODUCTS_2018)
    (tmp_path / "meta_Home.json").unlink()
    with pytest.raises(UserError, match=r"must hold one file meta_\* \(\.json or \.jsonl\); there is none"):
        load_tables(DataConfig(source="amazon", path=str(tmp_path)))
    (tmp_path / "meta_Home.json").write_text("{'asin': 'B1', 'title': 'as of 2014'}\n")
    with pytest.raises(UserError, match=r"meta_Home\.json: cannot be read as json: line 1"):
        load_tables(DataConfig(source="amazon", path=str(tmp_path)))
