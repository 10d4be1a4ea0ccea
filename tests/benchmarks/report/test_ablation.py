"""The page of the ablation says what every arm came to and what each part earns."""

from benchmarks.report.ablation import ablation_page

GAINS = {
    "identity": {"by": 0.01, "interval": [0.002, 0.018]},
    "text": {"by": -0.01, "interval": [-0.02, 0.002]},
    "features": {"by": None, "interval": None},
    "joining them": {"by": 0.0, "interval": [-0.001, 0.001]},
}
PART = {
    "rows": 1234,
    "values": {"text": 0.05, "id": 0.07, "both": 0.06, "features": None, "joined": 0.08},
    "gains": GAINS,
}
RESULT = {
    "rows": 20_000,
    "seeds": 2,
    "keys": ["train.epochs=2"],
    "sets": {"lastfm": {"commit": "abc", "tasks": {"artist": {"metric": "ndcg@10", "slices": {"cold items": PART}}}}},
}


def test_the_page_has_every_slice_with_what_each_part_earns():
    text = ablation_page(RESULT)
    assert "`python -m benchmarks ablation --data DIR --rows 20000 --seeds 2`" in text
    assert (
        "at most 20,000 events" in text
        and "by default but for `train.epochs=2`; test rows; means over 2 seeds." in text
    )
    assert "all else by default; test rows; one seed." in ablation_page(RESULT | {"keys": [], "seeds": 1})
    assert "## lastfm\n\nartists, without times; commit abc." in text
    assert "| artist | nDCG@10 | cold items | 1,234 | 0.0500 | 0.0700 | 0.0600 | - | 0.0800 | " in text
    assert (
        "+0.0100 (+0.0020 to +0.0180) **better** | -0.0100 (-0.0200 to +0.0020) | - | +0.0000 (-0.0010 to +0.0010) |"
        in text
    )
