"""What the kinds on single texts share: whose labels, which rows count, how they split."""

import numpy as np
import pyarrow as pa
import pytest
from made import build, together
from made import labelled as table_of

from peftrec.data.rows import Rows
from peftrec.data.split import LEFT_OUT, TEST, TRAIN, VALID
from peftrec.data.tables import Tables, Texts
from peftrec.errors import UserError
from peftrec.recipe import DataConfig
from peftrec.tasks.texts import split_texts

TEXTS = [f"text {n % 45}" for n in range(60)]  # 15 stand twice
CLASSES = np.repeat([0, 1, 2], 20)
STRATIFIED = DataConfig(source="x", split="stratified")
OWN = DataConfig(texts={"path": "texts.csv", "text": "{text}", "split": "stratified"})
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


def split(label, data, known=None):
    return split_texts(
        "texts",
        table_of(TEXTS, ["x"] * 60).named["texts"],
        label,
        np.ones(60, bool) if known is None else known,
        data,
        0,
    )


def test_texts_without_a_label_are_left_out_and_are_no_class():
    known = np.arange(60) % 4 > 0
    parts, done, notes = split(np.where(known, CLASSES, 0), STRATIFIED, known)
    assert (parts == LEFT_OUT).tolist() == (~known).tolist() and done.kind == "stratified"
    for own in range(3):  # 15 of each: 10.5, 1.5 and 3 rows
        counts = np.bincount(parts[known & (own == CLASSES)], minlength=3)
        assert counts[TRAIN] in (10, 11) and counts[VALID] in (1, 2) and counts[TEST] == 3
    assert notes[0] == "15 of 60 texts have no label, and do not count for this task"


@pytest.mark.parametrize("label", [np.arange(60) / 7, np.eye(3, dtype=np.float32)[CLASSES]])
def test_numbers_and_sets_of_classes_are_no_classes_to_stratify_by(label):
    parts, done, notes = split(label, STRATIFIED)
    assert done.kind == "random" and np.bincount(parts).tolist() == [42, 6, 12]
    assert notes[0] == "split at random, not stratified: texts have no classes"
    with pytest.raises(UserError, match="stratified needs classes, which these texts lack; take one of random, by-gro"):
        split(label, OWN)


def test_texts_in_train_and_test_and_those_of_several_labels_are_told():
    parts, _, notes = split(CLASSES, STRATIFIED)
    seen = sum({first, again} == {TRAIN, TEST} for first, again in zip(parts[:15], parts[45:], strict=True))
    assert seen > 1
    assert notes == [
        f"{seen} of 12 test rows have a text that train rows have too; split: by-text keeps equal texts together",
        "15 texts stand with different labels (30 rows): no answer is right for all",
    ]
    _, done, notes = split(CLASSES, DataConfig(texts={"path": "texts.csv", "text": "{text}", "split": "by-text"}))
    assert done.kind == "by-text" and notes == [
        "15 texts stand with different labels (30 rows): no answer is right for all"
    ]
