"""The first training rows of a task in words: what its user did before, what is asked, and the right answer."""

from typing import Any

import numpy as np

from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.examples import Examples
from peftrec.data.scales import from_log
from peftrec.data.summary import iso
from peftrec.tasks.kind import Task

FIRST = 3  # rows
RECENT = 3  # events of a history, the newest


def first_examples(dataset: Dataset, name: str, task: Task) -> list[dict[str, Any]]:
    """The first rows of the train split as plain values, of those with a history where there are any.

    user     id, for rows of users
    time     as ISO text, where it is known
    history  the newest events, oldest first: {"text"}, with "said" where feedback differs, "table" where there are more
    before   how many events of the history came before these
    item     id, for rows of a catalogue's items
    candidate, query, text  the texts that the row asks about, a candidate being the item's
    label    in words
    """
    data = dataset.tasks[name]
    rows = data.train.take(_with_history(data.train)[:FIRST])
    histories = _histories(dataset, data, rows, task)
    told = []
    for row in range(len(rows)):
        example: dict[str, Any] = {}
        if rows.log is not None or rows.user is not None:
            example["user"] = dataset.user_ids[rows.users[row]]
        if np.isfinite(rows.time[row]):
            example["time"] = iso(rows.time[row])
        if histories:
            example["history"] = histories[row][-RECENT:]
            example["before"] = len(histories[row]) - len(example["history"])
        if data.items and rows.item[row] >= 0:
            example["item"] = dataset.items[data.items].ids[rows.item[row]]
        example |= _asked(dataset, rows, row)
        example["label"] = task.kind.words(rows.label[row], task, data.classes)
        told.append(example)
    return told


def _with_history(rows: Examples) -> np.ndarray:
    """The rows that have a history; all of them where none has."""
    if rows.start is None or rows.stop is None:
        return np.arange(len(rows))
    length = rows.stop - rows.start - (0 if rows.own is None else rows.own >= 0)
    return np.flatnonzero(length > 0) if (length > 0).any() else np.arange(len(rows))


def _histories(dataset: Dataset, data: TaskData, rows: Examples, task: Task) -> list[list[dict[str, Any]]]:
    """Every row's history, oldest first; none for a task without."""
    if rows.log is None:
        return []
    past, (centre, spread) = rows.history(), data.scale
    differs = len(rows.log) > 0 and rows.log.feedback.min() != rows.log.feedback.max()
    found = []
    for texts, said, marks in zip(
        past.rows, past.feedback, past.rows * 0 if past.marks is None else past.marks, strict=True
    ):
        events = []
        for place in np.flatnonzero(texts >= 0):
            event = {"text": dataset.texts.texts[texts[place]]}
            if differs and task.loss.of_likes:
                event["said"] = "liked" if said[place] else "not liked"
            elif differs:
                number = centre + spread * said[place]
                event["said"] = task.kind.words(from_log(number) if data.log_scale else number, task, data.classes)
            if past.marks is not None:
                event["table"] = data.history[marks[place]]
            events.append(event)
        found.append(events)
    return found


def _asked(dataset: Dataset, rows: Examples, row: int) -> dict[str, str]:
    """The texts of a row's slots; a pair is its two texts."""
    asked: dict[str, str] = {}
    for slot, numbers in rows.slots.items():
        text, pair = dataset.texts.texts[numbers[row]], dataset.texts.pairs[numbers[row]]
        if pair is not None:
            asked |= {"query": text, "candidate": pair}
        else:
            asked["candidate" if slot == "item" else slot] = text
    return asked
