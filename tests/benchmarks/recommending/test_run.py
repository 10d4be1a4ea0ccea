"""What is run in which order, what is not run again, and what comes of it."""

import json

import pandas as pd
import pytest

from benchmarks import children
from benchmarks.recommending import run

PLACES = {"peftrec": 1.0, "peftrec, fusion.items": 2.0, "popularity": 30.0, "BPR": 3.0}


def place_rows(folder, name):
    rows = {"user": [f"u{n}" for n in range(60)], "label": 1, "prediction": PLACES[name]}
    rows |= {"cold_item": [n < 25 for n in range(60)], "cold_user": False, "repeat": False}
    pd.DataFrame(rows).to_parquet(folder / f"{name}.parquet")


@pytest.fixture
def ran(monkeypatch):
    names: list[str] = []

    def pretend(module, folder, spec):
        assert module == "recommending.one"
        names.append(f"{spec['set']}/{folder.name}")
        folder.mkdir(parents=True)
        of = {key: spec[key] for key in ("rows", "keys")} | {"commit": "abc", "cpu_seconds": 5.0}
        if spec["what"] == "references":
            told = {"popularity": {"cpu_seconds": 1.0}, "BPR": {"cpu_seconds": 2.0}}
            of["references"] = {name: told[name] for name in told if name == "BPR" or not spec["seed"]}
            for name in of["references"]:
                place_rows(folder, name)
        elif spec["what"] == "interest":
            of["report"] = {"metrics": {"auc": 0.7 + spec["seed"]}}
        else:
            place_rows(folder, spec["what"])
        (folder / "result.json").write_text(json.dumps(of))
        return ""

    monkeypatch.setattr(children, "run_anew", pretend)
    return names


def test_the_first_seed_of_all_comes_first_and_nothing_is_run_again(tmp_path, ran):
    asked = (tmp_path, tmp_path / "out", ["movielens-100k", "online-retail"], 100, 2, [])
    found = run.run_recommending(*asked)
    ml, shop = asked[2]
    first = [f"{name}/{what}-0" for name in (ml, shop) for what in ("peftrec", "references")]
    first += [f"{ml}/interest-0", *(f"{name}/peftrec, fusion.items-0" for name in (ml, shop))]
    again = [name.replace("-0", "-1") for name in first if "fusion.items" not in name]  # of which there is one seed
    assert ran == [*first, *again]
    assert list(found["logs"]) == asked[2] and list(found["interest"]) == ["movielens-100k"]
    assert [report["metrics"]["auc"] for report in found["interest"]["movielens-100k"]] == [0.7, 1.7]
    of = found["logs"]["online-retail"]
    assert (of["commit"], of["seeds"], of["users"], of["cpu_seconds"]["BPR"]) == ("abc", 2, 60, 2.0)
    hits = of["metrics"]["hr@10"]
    assert list(hits) == ["all", "warm items", "cold items"]  # the others are all rows, or none
    assert hits["all"]["values"] == {"peftrec": 1, "popularity": 0, "BPR": 1}
    learned = of["items"]["mrr@10"]["cold items"]
    assert learned["values"] == {"peftrec": 1, "peftrec, fusion.items": 0.5}
    assert learned["gains"]["peftrec, fusion.items"]["by"] == -0.5
    assert hits["all"]["gains"]["popularity"] == {"by": 1, "interval": [1, 1]}
    assert of["metrics"]["mrr@10"]["cold items"]["gains"]["BPR"]["by"] == pytest.approx(2 / 3)
    assert run.run_recommending(*asked) == found and len(ran) == 12


def test_a_log_is_told_of_as_many_seeds_as_there_are(tmp_path, ran):
    run.run_recommending(tmp_path, tmp_path / "out", ["online-retail"], 100, 1, [])
    of = run.finished(tmp_path / "out", 3)["logs"]["online-retail"]
    assert of["seeds"] == 1 and "items" in of
    (tmp_path / "out/online-retail/peftrec, fusion.items-0/result.json").unlink()
    of = run.finished(tmp_path / "out", 3)["logs"]["online-retail"]
    assert "items" not in of
