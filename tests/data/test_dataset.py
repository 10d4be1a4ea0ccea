"""A task's examples, split, and their labels on the scale that these are learnt on."""

from dataclasses import replace

import numpy as np
import pytest
from columns import events

from peftrec.data.joined import train_on_all

PARTS = ("train", "valid", "test")


def test_parts_are_had_by_name():
    data = events().tasks["task"]
    assert [data.split(name) for name in PARTS] == [data.train, data.valid, data.test]


@pytest.mark.parametrize("refit", [False, True])
def test_labels_learnt_as_logarithms_are_so_in_every_part(refit):
    dataset = events(binary=False)
    data = dataset.tasks["task"]
    parts = [replace(of, label=np.abs(of.label)) for of in (data.train, data.valid, data.test)]
    plain = replace(data, **dict(zip(PARTS, parts, strict=True)))
    assert replace(dataset, tasks={"task": plain}).learnt("task").tasks["task"] is plain
    log = replace(dataset, tasks={"task": replace(plain, log_scale=True)})
    log = train_on_all(log) if refit else log
    before, after = log.tasks["task"], log.learnt("task").tasks["task"]
    pairs = [(before.split(name), after.split(name)) for name in PARTS]
    pairs += zip(before.divided or (), after.divided or (), strict=True)
    assert len(pairs) == (5 if refit else 3)
    for one, other in pairs:
        assert other.label == pytest.approx(np.log1p(one.label), abs=1e-6)


def test_items_with_train_rows_are_counted_by_them():
    data = events().tasks["task"]
    counts = [int((data.train.item == item).sum()) for item in range(data.train.item.max() + 1)]
    assert data.log_counts == pytest.approx(np.log(1 + np.array(counts)))
