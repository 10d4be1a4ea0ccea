"""Examples out of columns, and small data sets of them, for the tests of priors."""

import numpy as np

from peftrec.data.catalogue import ItemTexts
from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.examples import Examples
from peftrec.data.texts import TextTable
from peftrec.tasks.priors import PRIORS

WORDS = [f"word{number}" for number in range(40)]


def rows(label, group, item, time, slots=None):
    """Examples out of columns; columns left None are as the builders leave them."""
    count = len(label)
    return Examples(
        slots={name: np.asarray(column, np.int32) for name, column in (slots or {}).items()},
        label=np.asarray(label),
        features=np.zeros((count, 0), np.float32),
        group=np.asarray(group, np.int64),
        item=np.full(count, -1) if item is None else np.asarray(item, np.int64),
        time=np.full(count, np.nan) if time is None else np.asarray(time, np.float64),
    )


def events(seed=0, binary=True, count=600):
    """A data set of events: users and items with tastes and qualities of their own, many equal times, split by time."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(12, size=count), rng.integers(30, size=count)
    time = np.sort(rng.integers(0, 80, size=count)).astype(np.float64)
    value = rng.normal(size=12)[user] + rng.normal(size=30)[item] + 0.5 * rng.normal(size=count)
    label = (value > 0 if binary else value.round(1)).astype(np.float32)
    everything = rows(label, user, item, time)
    parts = np.searchsorted([50, 60], time, side="right")
    task = TaskData(*(everything.take(np.flatnonzero(parts == part)) for part in range(3)), items="items")
    names = [str(number) for number in range(30)]
    return Dataset(TextTable(), {"items": ItemTexts(names, np.arange(30, dtype=np.int32))}, [], {"task": task})


def predict(name, dataset, examples=None, **given):
    """The prior's predictions of the task called `task`, by default of its test rows."""
    dataset.tasks["task"].fitted.clear()  # what was fitted before: each test fits anew
    return PRIORS[name](dataset, "task", dataset.tasks["task"].test if examples is None else examples, **given)


def queries(joint, count=300):
    """Queries of two words; a match has both, others have neither. Grade 2 never occurs in training."""
    rng, texts = np.random.default_rng(0), TextTable()
    label = rng.integers(2, size=count)
    asked, answered = [], []
    for match in label:
        words = rng.permutation(WORDS)
        asked.append(" ".join(words[:2]))
        answered.append(" ".join(words[0:6] if match else words[2:8]))
    if joint:
        slots = {"pair": [texts.add(q, a) for q, a in zip(asked, answered, strict=True)]}
    else:
        slots = {"query": [texts.add(q) for q in asked], "item": [texts.add(a) for a in answered]}
    everything = rows(label.astype(np.int64), np.arange(count), None, None, slots)
    train, test = everything.take(np.arange(200)), everything.take(np.arange(200, count))
    data = TaskData(train, test.take(np.arange(0)), test, classes=["0", "1", "2"])
    return Dataset(texts, {}, [], {"task": data})


def texts_of_classes():
    """Texts whose class is their first word; one text of signs only, and an unseen one in test."""
    texts = TextTable()
    train = [f"{name} {other}" for name in ("pay", "fly", "sleep") for other in WORDS[:10]]
    test = ["pay now", "we fly", "sleep well", "👍 !"]
    columns = [
        rows(np.array(label, np.int64), np.arange(len(label)), None, None, {"text": [texts.add(text) for text in part]})
        for part, label in ((train, np.repeat([0, 1, 3], 10)), (test, [0, 1, 3, 0]))
    ]
    data = TaskData(columns[0], columns[1].take(np.arange(0)), columns[1], classes=["pay", "fly", "spare", "sleep"])
    return Dataset(texts, {}, [], {"task": data})


def split(texts, slots, label, classes, fractions=(0.6, 0.2)):
    """A data set of these rows, in their order cut into train, valid and test. `slots`: name -> text rows."""
    label = np.asarray(label)
    everything = rows(label, np.arange(len(label)), None, None, slots)
    ends = (np.cumsum(fractions) * len(label)).astype(int)
    parts = [everything.take(part) for part in np.split(np.arange(len(label)), ends)]
    return Dataset(texts, {}, [], {"task": TaskData(*parts, classes=classes)})


def without_valid(dataset):
    """The same data without validation rows."""
    data = dataset.tasks["task"]
    return Dataset(
        dataset.texts, {}, [], {"task": TaskData(data.train, data.valid.take([]), data.test, classes=data.classes)}
    )


def chinese(random, length):
    """So many characters of thirty, without spaces."""
    return "".join(chr(0x4E00 + n) for n in random.integers(0, 30, length))
