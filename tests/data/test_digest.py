"""Digests of a dataset: equal for equal content, and different wherever a training would be."""

from dataclasses import replace

import numpy as np
import pytest

from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.digest import digest_dataset
from peftrec.data.examples import Examples
from peftrec.data.texts import TextTable
from peftrec.model.backbone.families import tiny_tokenizer


def examples(label=(0, 1, 1), slot=(0, 1, 2)):
    rows = np.arange(3)
    slots = {"query": np.array(slot, np.int32)}
    return Examples(slots, np.array(label), np.zeros((3, 0), np.float32), rows, rows, np.arange(3.0))


def dataset(texts=("w1", "w2", "w3"), **train):
    table = TextTable()
    for text in texts:
        table.add(text)
    table.tokenize(tiny_tokenizer(0), 8, 0)
    none = examples().take(np.zeros(0, np.int64))
    return Dataset(table, {}, [], {"query": TaskData(examples(**train), none, none)})


def test_equal_content_has_equal_digests():
    first, second = digest_dataset(dataset()), digest_dataset(dataset())
    assert first == second
    assert list(first) == ["texts", "query.train", "query.valid", "query.test"]
    assert all(len(digest) == 64 for digest in first.values())


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"texts": ("w1", "w2", "w4")}, ["texts"]),
        ({"label": (0, 1, 0)}, ["query.train"]),
        ({"label": (0.0, 1.0, 1.0)}, ["query.train"]),  # the type, too
        ({"slot": (0, 2, 1)}, ["query.train"]),
    ],
)
def test_a_change_is_seen_where_it_is(changed, where):
    before, after = digest_dataset(dataset()), digest_dataset(dataset(**changed))
    assert [part for part in before if before[part] != after[part]] == where


def test_an_array_that_is_not_contiguous_has_the_digest_of_its_copy():
    wide = np.arange(6).reshape(3, 2)
    given = dataset()
    made = [
        replace(given, tasks={"query": replace(given.tasks["query"], train=replace(examples(), label=label))})
        for label in (wide[:, 0], wide[:, 0].copy())
    ]
    assert digest_dataset(made[0]) == digest_dataset(made[1])
