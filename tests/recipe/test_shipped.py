"""The shipped recipes on tiny files of the same form as the data they are for."""

import gzip
import json
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from front import make_mind
from lastfm import make_lastfm

from peftrec.recipe import load_recipe
from peftrec.tasks.dataset import load_data

RECIPES = Path(__file__).parents[2] / "recipes"


def latest_small(folder):
    (folder / "movies.csv").write_text(
        "movieId,title,genres\n" + "".join(f'{m},"Film, The {m} (19{m})",Drama|War\n' for m in range(50, 60))
    )
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n"
        + "".join(f"{n % 3},{50 + n % 10},{1 + n % 9 / 2},{900_000_000 - 50 * n - (n % 6 == 1)}\n" for n in range(60))
    )
    (folder / "tags.csv").write_text(
        "userId,movieId,tag,timestamp\n" + "".join(f"{n},{50 + n},tag {n},{900_000_000 - 300 * n}\n" for n in range(10))
    )
    return [f"data.{table}.path={folder}/{name}.csv" for table, name in
            (("items", "movies"), ("events", "ratings"), ("queries", "tags"))]  # fmt: skip


def esci(folder):
    with gzip.open(folder / "esci_us_products.jsonl.gz", "wt") as out:
        for n in range(4):
            row = {"asin": f"B{n}", "title": f"Lamp {n}", "brand": "Lux", "color": None, "bullet_points": ""}
            out.write(json.dumps(row) + "\n")
    ratings = [{"docId": f"B{n}", "rating": grade} for n, grade in enumerate(("100.0", "10.0", "1.0", "0.0"))]
    judged = {"judgmentRatings": [{"query": f"lamp {q}", "ratings": ratings} for q in range(10)]}
    (folder / "esci_us_judgments.json").write_text(json.dumps(judged))
    return [f"data.path={folder}"]


def clinc150(folder):
    rows = [[f"text {n}", f"class {n % 3}"] for n in range(6)]
    content = {f"{oos}{name}": rows for oos in ("", "oos_") for name in ("train", "val", "test")}
    (folder / "data_full.json").write_text(json.dumps(content))
    return [f"data.path={folder}"]


def finance(folder):
    pq.write_table(pa.table({"text": [f"text {n}" for n in range(40)], "label": [n % 4 for n in range(40)]}),
                   folder / "topic_train.parquet")  # fmt: skip
    (folder / "sentiment_train.csv").write_text("text,label\n" + "".join(f'"Up, {n}",{n % 3}\n' for n in range(30)))
    return [f"data.tables.topics.path={folder}/topic_train.parquet",
            f"data.tables.opinions.path={folder}/sentiment_train.csv"]  # fmt: skip


def support(folder):
    rows = "".join(f'say {n},intent {n % 3},"Answer {n // 2}:\nso"\n' for n in range(40))
    (folder / "support.csv").write_text("instruction,intent,response\n" + rows)
    return [f"data.{table}.path={folder}/support.csv" for table in ("texts", "items", "queries")]


def shop(folder):
    items = pa.table(
        {"item_id": [f"a{n}" for n in range(70)], "title": [f"lamp {n}" for n in range(70)], "price": [1.5] * 70}
    )
    pq.write_table(items, folder / "items.parquet")
    (folder / "users.csv").write_text("user_id,country\n" + "".join(f"{n},Peru\n" for n in range(4)))
    lines = [{"user_id": n // 2 % 4, "item_id": f"a{n // 3}", "quantity": 1 + n % 24, "price": 1,
              "time": datetime(2011, 1, 1) + timedelta(days=(n // 2) ** 2 / 9)} for n in range(200)]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(lines), folder / "events.parquet")
    files = {
        "events": "events.parquet",
        "tables.orders": "events.parquet",
        "items": "items.parquet",
        "users": "users.csv",
    }
    return [f"data.{table}.path={folder}/{name}" for table, name in files.items()]


def news(folder):
    return [f"data.path={make_mind(folder, readers=2)}"]


def video(folder):
    (folder / "movies.dat").write_text("".join(f"{n:03}::Film {n} (1999)::Drama|War\n" for n in range(10)))
    (folder / "ratings.dat").write_text(
        "".join(f"{n % 4}::{n % 10:03}::{n % 11}::{1_360_000_000 + 900 * n * n}\n" for n in range(80))
    )
    return [f"data.items.path={folder}/movies.dat", f"data.events.path={folder}/ratings.dat"]


def chinese(folder):
    rows = {
        "turns": [{"content": f"我想找餐馆 {n}", "domain": ("餐馆", "景点")[n % 2]} for n in range(30)],
        "paragraphs": [{"id": f"p{n}", "context": f"第 {n} 段"} for n in range(5)],
        "questions": [{"question": f"问题 {n}", "id": f"p{n % 5}"} for n in range(20)],
        "reviews": [{"review": f"很好 {n // 2}", "label": "positive"} for n in range(20)]
        + [{"review": f"很差 {n}", "label": "negative"} for n in range(20)],
    }
    for name, of in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in of))
    return [f"data.tables.{name}.path={folder}/{name}.jsonl" for name in rows]


FILES = {
    "movielens-latest-small": latest_small,
    "esci": esci,
    "clinc150": clinc150,
    "finance": finance,
    "support": support,
    "shop": shop,
    "news": news,
    "video": video,
    "chinese": chinese,
    "social": make_lastfm,
    "movielens-100k": lambda folder: [],
}
TASKS = {
    "movielens-latest-small": {"query": 7, "interest": 42, "time": 39},
    "esci": {"relevance": 28},
    "clinc150": {"intent": 12},
    "finance": {"topic": 32, "sentiment": 24},
    "support": {"intent": 32, "answer": 32},
    "news": {"click": 2418, "category": 86, "visit": 401},
    "video": {"like": 56, "next": 56, "return": 52},
    "social": {"friend": 157, "artist": 178, "tag": 112},
    "chinese": {"domain": 21, "answer": 14, "sentiment": 29},
    "shop": {"next": 170, "new": 170, "bulk": 170, "return": 48},
    "movielens-100k": {"query": 10_798, "interest": 70_001, "time": 34_162},
}


@pytest.mark.parametrize("name", FILES)
def test_a_shipped_recipe_builds_its_dataset(name, tmp_path):
    recipe = load_recipe(RECIPES / f"{name}.yaml", FILES[name](tmp_path))
    data = load_data(recipe)
    assert {task: len(examples.train) for task, examples in data.tasks.items()} == TASKS[name]


def test_eleven_recipes_are_shipped_for_data():
    assert set(FILES) <= {file.stem for file in RECIPES.glob("*.yaml")} and len(FILES) == 11
