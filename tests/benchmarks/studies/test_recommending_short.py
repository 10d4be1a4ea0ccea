"""The short form compares what it measured of one log, with one seed."""

import pandas as pd
import pytest

from benchmarks.studies import recommending_short


def test_one_log_with_one_seed(tmp_path, monkeypatch):
    asked = []

    def work(spec, folder):
        asked.append((spec["set"], spec["rows"], spec["what"], spec["seed"], spec["keys"]))
        name, place = ("peftrec", 1.0) if spec["what"] == "peftrec" else ("popularity", 3.0)
        rows = {"user": [f"u{n}" for n in range(30)], "label": 1, "prediction": place}
        rows |= {"cold_item": False, "cold_user": False, "repeat": False}
        pd.DataFrame(rows).to_parquet(folder / f"{name}.parquet")
        return {"cpu_seconds": 1.0, "references": {"popularity": {"cpu_seconds": 2.0}}}

    monkeypatch.setattr(recommending_short, "work", work)
    found = recommending_short.measure("movielens-100k", 50, tmp_path)
    assert asked == [("movielens-100k", 50, what, 0, []) for what in ("peftrec", "references")]
    of = found["logs"]["movielens-100k"]
    assert found["rows"] == 50 and of["seeds"] == 1 and of["cpu_seconds"] == {"peftrec": 1.0, "popularity": 2.0}
    assert of["metrics"]["mrr@10"]["all"]["gains"]["popularity"]["interval"] == pytest.approx([2 / 3, 2 / 3])
