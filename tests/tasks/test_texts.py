"""What the kinds on single texts share: whose labels, which rows count, how they split."""

import numpy as np
import pyarrow as pa
import pytest
from made import build, together

from peftrec.data.rows import Rows
from peftrec.data.tables import Tables, Texts
from peftrec.errors import UserError

LABELS = ["good", "bad", "", "good", "bad", "bad", "good", "", "good", "bad"] * 2


def news(label="mood", time=None) -> Tables:
    texts = [f"text {n}" for n in range(20)]
    columns = {"mood": LABELS, "topic": ["a", "b"] * 10, "price": ["1.5", "", "3", "4"] * 5}
    return Tables({"news": Texts(texts, Rows("news.csv", pa.table(columns)), label, time)})


def test_a_task_takes_its_own_label_or_the_table_s():
    _, data = build("classification", news())
    assert data.classes == ["bad", "good"]
    _, data = build("classification", news(), label="topic")
    assert data.classes == ["a", "b"] and sum(len(part) for part in together(data)) == 20
    with pytest.raises(UserError, match="label: name the column of news to predict: mood, topic, price"):
        build("classification", news(label=None))


def test_rows_without_a_label_are_left_out_and_counted():
    _, data = build("classification", news())
    for part in together(data):
        assert [data.classes[label] for label in part.label] == [LABELS[n] for n in part.group]
    assert sum(len(part) for part in together(data)) == 16
    assert "4 of 20 texts have no label, and do not count for this task" in data.notes


def test_numbers_keep_their_unit():
    _, data = build("regression", news(), label="price")
    for part in together(data):
        assert part.label.tolist() == [{0: 1.5, 2: 3, 3: 4}[n % 4] for n in part.group]
    assert sum(len(part) for part in together(data)) == 15 and data.classes == [] and data.train.log is None


def test_texts_with_times_split_by_time():
    _, data = build("classification", news(time=np.arange(20.0)[::-1]), {"kind": "global-time"}, label="topic")
    assert data.test.time.min() > data.valid.time.max() > data.train.time.max()
