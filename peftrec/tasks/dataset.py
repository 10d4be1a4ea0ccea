"""The dataset of a run: one text table, and the examples of every task."""

from collections.abc import Mapping

from peftrec.data.catalogue import ItemTexts
from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.load import Ahead, load_tables
from peftrec.data.tables import Items, Tables, Texts
from peftrec.data.texts import TextTable
from peftrec.errors import Problems
from peftrec.machine.memory import return_free_memory
from peftrec.recipe import DataConfig, Recipe
from peftrec.tasks.building import item_rows
from peftrec.tasks.kind import Task
from peftrec.tasks.kinds import resolve


def load_data(recipe: Recipe, described: bool = False, ahead: Ahead | None = None) -> Dataset:
    """Read the recipe's data and build every task's examples; `described`: with summaries of the tables.

    `ahead` has the tables where they were read already. Raises UserErrors naming task, file, row and value.
    """
    problems = Problems()
    with problems.collect():
        tasks = resolve(recipe)
    with problems.collect():
        tables = load_tables(recipe.data, described) if ahead is None else ahead.take()
    problems.stop()
    return_free_memory()  # what reading took, which building would come on top of
    return build_dataset(tables, tasks, recipe.data, recipe.train.seed)


def build_dataset(tables: Tables, tasks: Mapping[str, Task], data: DataConfig, seed: int) -> Dataset:
    """Examples of every task over one text table.

    Raises UserErrors naming the task for a key that its kind does not read, a table it lacks, or an empty split.
    """
    texts, tables = TextTable(), tables.with_one_set_of_users()
    items = {name: ItemTexts(of.ids, item_rows(of, texts), of.features) for name, of in tables.of(Items).items()}
    built: dict[str, TaskData] = {}
    notes = list(tables.notes)
    problems = Problems()
    for name, task in tasks.items():
        with problems.collect(f"tasks.{name}: "):
            built[name] = task.examples(tables, texts, data, seed)
            notes += [f"{name}: {note}" for note in built[name].notes]
            if built[name].train.weight is not None:
                notes.append(
                    f"{name}: rows count by their weight in the loss, so that predictions are those of the re-weighted "
                    "rows; metrics count every row once"
                )
            if task.config.only_measured:
                notes.append(f"{name}: weight 0: it is measured, but not trained")
    problems.stop()
    for table in tables.of(Texts).values():  # of labels too, which the tasks have read by now
        notes += [note for note in table.rows.notes if note not in notes]
    return Dataset(texts, items, tables.user_ids, built, notes, tables.summaries, tables.user_features)
