import gzip
import json

import pytest
from made import made

from peftrec.data.load import load_tables
from peftrec.errors import UserError
from peftrec.recipe import DataConfig
from peftrec.tasks.dataset import build_dataset

GRADES = ("100.000", "10.000", "1.000", "0.000")


def write(folder, queries=10, products=4, **changed):
    with gzip.open(folder / "esci_us_products.jsonl.gz", "wt") as out:
        for n in range(products):
            product = {
                "asin": f"B{n}",
                "title": f"Lamp {n}",
                "brand": None,
                "color": "red",
                "bullet_points": "a\nb",
                "x": 1,
            }
            out.write(json.dumps(product) + "\n")
    judged = [
        {"query": f"lamp {q}", "ratings": [{"docId": f"B{n}", "rating": grade} for n, grade in enumerate(GRADES)]}
        for q in range(queries)
    ]
    (folder / "esci_us_judgments.json").write_text(json.dumps({"name": "x", "judgmentRatings": judged} | changed))
    return DataConfig(source="esci", path=str(folder), split={"kind": "by-group"})


def test_pairs_with_four_grades_split_by_query(tmp_path):
    data = write(tmp_path)
    tables = load_tables(data)
    assert tables.named["items"].texts[0] == "Lamp 0. red. a\nb"
    task = made("relevance", kind="match-query", input="joint")
    built = build_dataset(tables, {"relevance": task}, data, 0)
    examples = built.tasks["relevance"]
    assert examples.classes == ["0", "1", "10", "100"]
    assert [len(examples.split(name)) for name in ("train", "valid", "test")] == [28, 4, 8]
    row = examples.test.slots["pair"][0]
    assert built.texts.texts[row].startswith("lamp ") and built.texts.pairs[row] == "Lamp 0. red. a\nb"
    assert examples.test.label[:4].tolist() == [3, 2, 1, 0]


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"data\.path: esci needs the folder of esci_us_judgments\.json"):
        load_tables(DataConfig(source="esci"))
    with pytest.raises(UserError, match=r"data\.path: the folder .* holds no file esci_us_judgments\.json"):
        load_tables(DataConfig(source="esci", path=str(tmp_path)))
    with pytest.raises(
        UserError, match=r"judgments\.json: row 4, column 'docId': must be an id of data\.items; found 'B3'"
    ):
        load_tables(write(tmp_path, products=3))
    with pytest.raises(UserError, match=r"judgments\.json: must hold judgmentRatings.*'ratings' is missing"):
        load_tables(write(tmp_path, judgmentRatings=[{"query": "x"}]))
    with pytest.raises(UserError, match=r"judgments\.json: holds no judgments"):
        load_tables(write(tmp_path, judgmentRatings=[]))
    wrong = [{"query": "x", "ratings": [{"docId": "B1", "rating": "exact"}]}]
    with pytest.raises(UserError, match=r"row 1, column 'rating': must be a finite number; found 'exact'"):
        load_tables(write(tmp_path, judgmentRatings=wrong))
