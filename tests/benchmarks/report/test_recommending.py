"""The page of peftrec beside well-known recommenders says which aims are met, and every value and gain."""

import copy

from benchmarks.report.recommending import aims, recommending_page

BETTER, LEVEL = {"by": 0.02, "interval": [0.01, 0.03]}, {"by": 0.01, "interval": [-0.01, 0.03]}
VALUES = {"peftrec": 0.2, "popularity": 0.1, "SASRec over texts": 0.08}
PART = {"rows": 1234, "values": VALUES, "gains": {"popularity": BETTER, "SASRec over texts": LEVEL}}
SURE = PART["gains"] | {"SASRec over texts": BETTER}
COLD = PART | {"rows": 55, "values": VALUES | {"peftrec": 0.16}, "gains": SURE}
LOG = {
    "commit": "abc",
    "seeds": 1,
    "users": 321,
    "references": {
        "popularity": {"chosen": {"days": 64}, "tried": [{}] * 5, "at_end": [], "cpu_seconds": 1.4},
        "SASRec over texts": {
            "chosen": {"width": 256, "epochs": 7}, "tried": [{}] * 4, "at_end": ["width"], "cpu_seconds": 90.0
        },
    },
    "cpu_seconds": {"peftrec": 60.0, "popularity": 1.4, "SASRec over texts": 90.0},
    "metrics": {
        "hr@10": {"all": PART, "cold items": COLD},
        "ndcg@10": {"all": PART},
        "mrr@10": {"all": PART},
    },
}  # fmt: skip


def report(auc, low):
    gain = {"prior": "rates_so_far", "by": auc - 0.74, "interval": [low, auc - 0.73]}
    return {"n": 999, "metrics": {"auc": auc}, "priors": {"rates_so_far": {"auc": 0.74}}, "gains": {"auc": gain}}


RESULT = {
    "rows": 10_000,
    "keys": ["train.epochs=2"],
    "logs": {"movielens-100k": LOG},
    "interest": {
        "movielens-100k": [report(0.76, 0.01), report(0.762, 0.01)],
        "ml-latest-small": [report(0.78, 0.02), report(0.76, -0.01)],
    },
}


def test_aims_are_met_or_missed():
    said = aims(RESULT)
    assert said == [
        ["HR@10 above every reference", "movielens-100k", "not beyond chance over SASRec over texts", "missed"],
        [
            "HR@10 on cold items twice that of SASRec over texts",
            "movielens-100k",
            "0.1600 and 0.0800 (popularity 0.1000) of 55 rows",
            "**met**",
        ],
        ["interest AUC above 0.755", "movielens-100k", "0.7610", "**met**"],
        [
            "interest above its best prior",
            "ml-latest-small",
            "+0.0300 of AUC, the intervals' least -0.0100",
            "missed",
        ],
    ]
    other = copy.deepcopy(RESULT)
    hits = other["logs"]["movielens-100k"]["metrics"]["hr@10"]
    hits["all"]["gains"]["SASRec over texts"] = BETTER
    hits["cold items"]["gains"]["SASRec over texts"] = LEVEL  # few rows may be twice as many by chance
    assert [line[2:] for line in aims(other)[:2]] == [
        ["beyond chance over each", "**met**"],
        ["0.1600 and 0.0800 (popularity 0.1000) of 55 rows, within chance", "missed"],
    ]


def test_the_page_has_every_value_and_gain():
    text = recommending_page(RESULT)
    assert "`python -m benchmarks recommending --data DIR --rows 10000 --seeds 1 --keys train.epochs=2`" in text
    assert "all else by default but for `train.epochs=2`" in text
    assert "## movielens-100k\n\nfilm ratings; 1,234 test rows of 321 users; one seed; commit abc." in text
    assert "| peftrec | 0.2000 | 0.2000 | 0.2000 | - | - |" in text
    assert "| popularity | 0.1000 | 0.1000 | 0.1000 | +0.0200 (+0.0100 to +0.0300) **better** |" in text
    assert "| what | cold items (55) |" in text and "| SASRec over texts | 0.0800 |" in text
    assert (
        "popularity: days 64 (5 tries, 1 s); SASRec over texts: width 256, epochs 7 (4 tries, 90 s; at the end of its"
        " ladder: width); peftrec 60 s." in text
    )
    assert "| ml-latest-small | 999 | 0.7800, 0.7600 | 0.7400 `rates_so_far` | +0.0400 (+0.0200 to +0.0500)" in text
    assert "short form" not in text
    assert "Not measured yet: ml-latest-small, movietweetings, online-retail.\n" in text
    bare = recommending_page(RESULT | {"interest": {}})
    assert "online-retail, interest on movielens-100k, interest on ml-latest-small.\n" in bare
    assert "## Will it be liked" not in bare


def test_what_is_learned_of_items_stands_below_its_log():
    part = {"values": {"peftrec": 0.2, "peftrec, fusion.items": 0.22}, "gains": {"peftrec, fusion.items": BETTER}}
    hits = {"all": part | {"rows": 1234}, "cold items": part | {"rows": 55}}
    items = {"hr@10": hits, "ndcg@10": {"all": part | {"rows": 1234}}, "mrr@10": hits}
    text = recommending_page(RESULT | {"logs": {"movielens-100k": LOG | {"items": items}}})
    assert "| with fusion.items, of | HR@10 | gained by it | nDCG@10 | gained by it |" in text
    gained = "+0.0200 (+0.0100 to +0.0300) **better**"
    assert f"| all (1,234) | 0.2200 | {gained} | 0.2200 | {gained} |" in text
    assert f"| cold items (55) | 0.2200 | {gained} | - | - |" in text


def test_the_short_form_stands_below():
    text = recommending_page(RESULT, {"rows": 3000, "logs": {"movielens-100k": LOG}})
    assert "## The short form\n\nWhat `make bench` measures: one log of 3,000 events and one seed." in text
