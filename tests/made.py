"""Tasks without a recipe around them."""

import pyarrow as pa

from peftrec.data.dataset import TaskData
from peftrec.data.examples import Examples
from peftrec.data.rows import Rows
from peftrec.data.tables import Tables, Texts
from peftrec.data.texts import TextTable
from peftrec.recipe import AdapterConfig, DataConfig, TaskConfig
from peftrec.tasks.kind import Task
from peftrec.tasks.kinds import make_task


def made(name: str = "task", **keys: object) -> Task:
    """A task with these keys."""
    return make_task(name, TaskConfig(**keys), AdapterConfig(), DataConfig(source="x"))


def labelled(texts: list[str], labels: list[str], split: list[str] | None = None) -> Tables:
    """A table of texts with the column `label`."""
    rows = Rows("texts.csv", pa.table({"text": texts, "label": labels}))
    return Tables({"texts": Texts(texts, rows, "label", given=split)})


def build(
    kind: str, tables: Tables, split: dict | None = None, seed: int = 0, **keys: object
) -> tuple[TextTable, TaskData]:
    """The texts and the examples of a task on labelled texts, by default split by whole groups."""
    texts = TextTable()
    data = DataConfig(source="x", split=split or {"kind": "by-group", "test": 0.3, "valid": 0.2})
    return texts, made(kind=kind, **keys).examples(tables, texts, data, seed)


def together(data: TaskData) -> list[Examples]:
    """The three splits."""
    return [data.train, data.valid, data.test]
