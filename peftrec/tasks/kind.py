"""What a kind of task is, and a task: a recipe's `tasks` entry with its kind, loss and method looked up once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.examples import Examples
from peftrec.data.tables import Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError, shown
from peftrec.recipe import AdapterConfig, DataConfig, TaskConfig
from peftrec.tasks.grades import Grades, read_grades
from peftrec.tasks.heads import Head, HeadShape
from peftrec.tasks.losses import Labels, Loss, on_levels, on_log
from peftrec.tasks.priors.vectors import Vectors
from peftrec.tasks.rows import Event, Field, Row
from peftrec.tasks.starts import Starting

# Keys of a task that some kinds read and others refuse.
OWN_KEYS = (
    "input",
    "history",
    "label",
    "column",
    "threshold",
    "repeats",
    "gain",
    "scale",
    "class_weight",
    "row_weight",
    "relevant",
)


def label_words(label: Any, task: "Task", classes: list[str]) -> str:
    """A label in words: the class or classes, liked or not, that the item was chosen, or the number with its column."""
    labels = task.loss.labels
    if labels == "class":
        return classes[int(label)]
    if labels == "tags":
        return ", ".join(name for name, on in zip(classes, label, strict=True) if on) or "none"
    if labels == "liked":
        return "liked" if label else "not liked"
    if labels == "choice":
        return "chosen"
    return f"{task.config.column or task.config.label_column or ''} {label:.6g}".strip()


# What the lists of a task that ranks a catalogue are measured by, unless its kind or recipe says otherwise.
RANKING = ("hr@10", "ndcg@10", "mrr@10")


@dataclass(frozen=True)
class Kind:
    """One kind of task: all that tells it from the others. Nothing else knows kinds by name.

    question  what it answers, in words, for the model card
    hub_type  the hub's name for such a task, such as text-ranking
    build     (tables, texts, task, data, seed) -> its examples, split
    fields    slot -> how a row that a user gives fills it; every slot of its examples is among them
    head      (shape, config) -> the head
    losses    names of the losses it takes, the first being the default; a loss of one's own is taken where `metrics`
              has its labels
    metrics   labels of a loss -> names in `metrics.METRICS`; none where a task is measured by ranks alone, which are
              then taken on every split
    answer    (prediction, task, classes) -> what `predict` says of one row
    reads     which of OWN_KEYS it reads; the others are refused
    priors    names in `priors.PRIORS`
    ranking   names in `priors.RANKING_PRIORS`; where there are any and labels say who liked what, the full catalogue
              is ranked for the test report
    lists     names of metrics of such a ranking, see `evaluation.at_k`
    graded    whether its classes are grades: numbers, ascending, of how good a row is
    ranks     whether its predictions order the items of a catalogue (by the slot `item`), so that it can recommend
    feedback  (events, task, scale) -> float (H,), as training counted them, of past events that a row brings along;
              None for kinds without histories. `scale`: see TaskData
    words     (label, task, classes) -> a label in words; numbers that were fed back read alike
    variant   (config, data) -> the kind to take instead, for keys that ask for another form of the task; None: this one
    moment    (times, user_start) -> features float32 (E, F) of events ordered by (user, time), for kinds that predict
              from a moment: their rows need a `time`
    start     what its heads begin at; None: a constant
    mined     (dataset, task's name, frozen vectors or None) -> its train rows with what steps tell their items from,
              where that is looked for before the first step
    """

    question: str
    hub_type: str
    build: "Builder"
    fields: Mapping[str, Field]
    head: Callable[[HeadShape, TaskConfig], Head]
    losses: tuple[str, ...]
    metrics: Mapping[Labels, tuple[str, ...]]
    answer: Callable[[np.ndarray, "Task", list[str]], Row]
    reads: tuple[str, ...] = ()
    priors: tuple[str, ...] = ()
    ranking: tuple[str, ...] = ()
    lists: tuple[str, ...] = RANKING
    graded: bool = False
    ranks: bool = False
    feedback: Callable[[list[Event], "Task", tuple[float, float]], np.ndarray] | None = None
    words: Callable[[Any, "Task", list[str]], str] = label_words
    variant: Callable[[TaskConfig, DataConfig], "Kind | None"] = lambda config, data: None
    moment: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    start: Starting | None = None
    mined: Callable[[Dataset, str, Vectors | None], Examples] | None = None


@dataclass(frozen=True)
class Task:
    """One task of a recipe: its keys (with `loss` named), and what its kind, loss and method are."""

    name: str
    config: TaskConfig
    kind: Kind
    loss: Loss
    adapter: AdapterConfig

    def on_scale(self, log: bool, levels: tuple[float, ...] = ()) -> "Task":
        """The task with the scale that its labels are learnt on, which where the recipe names none the data chose, and
        the levels that these are of, if any."""
        config = self.config.model_copy(update={"scale": "log"}) if log else self.config
        loss = on_log(self.loss) if log else self.loss
        return replace(self, config=config, loss=on_levels(loss, levels) if levels else loss)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of its metrics, that of its loss among them; none where it is measured by ranks alone."""
        named = self.kind.metrics[self.loss.labels]
        return tuple(dict.fromkeys((*named, self.loss.metric))) if named else ()

    def grades(self, classes: list[str]) -> Grades | None:
        """What its classes, by their names, stand for where they are grades. Raises UserError."""
        return read_grades(self.config, classes) if self.kind.graded else None

    def examples(self, tables: Tables, texts: TextTable, data: DataConfig, seed: int) -> TaskData:
        """Its examples from the tables; their texts are added to `texts`.

        Raises UserError for a key that its kind does not read, a table it lacks, an empty split, or a slot of which the
        kind does not say how `predict` fills it.
        """
        config = self.config
        is_set = {"input": config.input != "towers", "history": bool(config.history)}
        for key in OWN_KEYS:
            found = getattr(config, key)
            if is_set.get(key, found is not None) and key not in self.kind.reads:
                raise UserError(f"{key}: kind {config.kind} does not read it; found {shown(found)}; leave it out")
        built = self.kind.build(tables, texts, self, data, seed)
        for slot in built.train.slots:
            if slot not in self.kind.fields:
                raise UserError(
                    f"kind: {config.kind} makes examples with the slot {slot!r}, of which its `fields` say nothing; "
                    f"they have {', '.join(self.kind.fields) or 'none'}"
                )
        if built.train.log is not None and self.kind.feedback is None:
            raise UserError(f"kind: {config.kind} makes examples with histories, and its `feedback` says nothing")
        self.grades(built.classes)
        return built


def trained(tasks: Mapping[str, Task]) -> dict[str, Task]:
    """Those that are not frozen."""
    return {name: task for name, task in tasks.items() if not task.config.frozen}


Builder = Callable[[Tables, TextTable, Task, DataConfig, int], TaskData]


def class_answer(prediction: np.ndarray, classes: list[str]) -> tuple[str, dict[str, float]]:
    """The most probable class, and every class's probability."""
    chances = {name: float(p) for name, p in zip(classes, prediction, strict=True)}
    return max(chances, key=lambda name: chances[name]), chances


def number_answer(prediction: np.ndarray, task: Task, classes: list[str]) -> dict[str, Any]:
    """{"score"} where labels say who liked what, else {"value"}."""
    return {"score" if task.loss.of_likes else "value": float(prediction)}
