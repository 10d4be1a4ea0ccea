"""Learning curves: what is gained together is paired by draw and test row; the few rows are as few as they say."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from benchmarks.studies import curves
from benchmarks.studies.curves import PAIRS, Draw, compared


def drawn(seed, good):
    """A draw whose predictions together are right on a share `good` of the rows, and alone on half of them: 90 of 100
    test rows."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 3, 90)

    def predicted(share):
        told = np.where(random.random(90) < share, label, (label + 1) % 3)
        return np.eye(3)[told] * 0.8 + 0.1

    rows = np.sort(random.permutation(100)[:90])  # of draws not the same ones
    return Draw(rows, predicted(0.5), predicted(good), label, {"frozen_lr": seed / 10})


def test_gains_are_means_over_draws_with_an_interval_around_them():
    found = [drawn(seed, 0.9) for seed in range(3)]
    said = compared(found)
    alone, together = (
        np.mean([f1_score(d.label, p.argmax(1), average="macro") for d, p in zip(found, of, strict=True)])
        for of in ([d.alone for d in found], [d.together for d in found])
    )
    assert (said["alone"], said["together"]) == pytest.approx((alone, together))
    assert said["gain"] == pytest.approx(together - alone)
    assert 0 < said["interval"][0] < said["gain"] < said["interval"][1]
    assert said["priors"] == {"frozen_lr": pytest.approx(0.1)}
    low, high = compared([drawn(seed, 0.5) for seed in range(3)])["interval"]
    assert low < 0 < high


def test_a_draw_has_so_many_labelled_rows_and_test_rows_of_their_classes(monkeypatch):
    texts = [f"w{n}" for n in range(300)]
    split = np.where(np.arange(300) < 100, "test", "train")
    target = pd.DataFrame({"text": texts, "label": [f"c{n % 7}" for n in range(300)], "split": split})
    seen = []

    def trained(folder, tasks):
        seen.append({name: pd.read_parquet(f"{folder}/{name}.parquet") for name in tasks})
        return np.zeros((3, 2)), {}, np.zeros(3)

    monkeypatch.setattr(curves, "_trained", trained)
    found = curves._draw(target, target.iloc[100:150], 10, 0)
    test = target["text"][:100].iloc[found.rows]
    alone, together = seen
    assert test.tolist() == alone["few"]["text"][alone["few"]["split"] == "test"].tolist()
    assert list(alone) == ["few"] and list(together) == ["few", "many"]
    few = alone["few"]
    assert few["split"].value_counts().drop("test").to_dict() == {"train": 8, "valid": 2}
    assert set(few["label"][few["split"] == "test"]) <= set(few["label"][few["split"] == "train"])
    assert set(few["text"][few["split"] != "test"]) <= set(texts[100:])
    pd.testing.assert_frame_equal(few, together["few"])
    curves._draw(target, target.iloc[100:150], 10, 1)
    assert set(seen[2]["few"]["text"]) != set(few["text"])


def test_there_are_pairs_of_two_fields():
    assert len(PAIRS) == 4
