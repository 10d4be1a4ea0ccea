"""Kind `next-item`: which item of the whole catalogue comes next."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peftrec.data.batches import HeadInput
from peftrec.data.catalogue import Catalogue, Choices
from peftrec.data.dataset import TaskData
from peftrec.data.signals import SIGNALS
from peftrec.data.split import LEFT_OUT, TEST, TRAIN, VALID
from peftrec.data.tables import Events, Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import DataConfig, TaskConfig
from peftrec.tasks.building import Later, item_rows
from peftrec.tasks.choices import learnt
from peftrec.tasks.events import cut_events, event_column, event_examples, known_later, read_past
from peftrec.tasks.features import feature_layer
from peftrec.tasks.gather import gather
from peftrec.tasks.heads import CatalogueHead, HeadShape, input_norm
from peftrec.tasks.kind import Kind, Task, number_answer
from peftrec.tasks.mixing import fit_weights
from peftrec.tasks.repeats import rule_repeats
from peftrec.tasks.rows import ITEM, Event, liked_or_not


def build(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """Which item of the catalogue comes next: every event is an example, with label 1; slot `item`; group = user.

    With `threshold` only events with `column` (rating) >= `threshold` are, and the history's feedback says which of its
    events were such. Without it all feedback is 1.
    """
    config, (past, notes) = task.config, read_past(tables, task, data, seed)
    past = past.clicks()
    if config.column is not None and config.threshold is None:
        raise UserError(f"column: kind next-item reads it only with a threshold; found {config.column!r}")
    events, column = past.events, config.column or "rating"
    if config.threshold is not None:
        event_column(events, column)
    counted = partial(_counted, column=column, threshold=config.threshold)
    chosen = counted(events)
    if not chosen.any():
        raise UserError(f"threshold: no event has {column} >= {config.threshold:g}")
    if not chosen.all():
        notes.append(f"{int((~chosen).sum()):,} events are below the threshold: in histories, but not to be found")
    label = np.broadcast_to(np.float32(1), len(events))
    made = partial(event_examples, texts=texts, data=data, label=label, counted=counted, seed=seed)
    examples, again, said = rule_repeats(made(past), past.parts, chosen, config)
    notes += said
    later, found_later = known_later(past, made), chosen
    if later is not None and not examples.repeats:
        again_later = replace(examples, **later.columns).repeated()
        again, found_later = np.where(past.parts == TEST, again_later, again), chosen & ~again_later
    found = chosen if examples.repeats else chosen & ~again
    if left := int((chosen & ~found & (past.parts != LEFT_OUT)).sum()):
        notes.append(f"{left:,} rows of items that the user had before are left out: they are not to be found")
    for name, part in (("train", TRAIN), ("valid", VALID), ("test", TEST)):
        rows = past.parts == part
        if (chosen & rows).any() and not (found & rows).any():
            raise UserError(
                f"repeats: all items to be found in {name} are ones that the user had before; set repeats: allow"
            )
    then = None
    if len(past.history) > 1:
        then = learnt(past.with_valid(), found if later is None else found_later, counted)
    catalogue = partial(_catalogue, item_rows(past.items, texts), events, learnt(past, found, counted), then)
    # Without times no choice is before another: those of the rows that count as train rows are what is known.
    known = chosen if later is None else chosen & (past.parts == TRAIN)
    examples = replace(examples, catalogue=catalogue(known))
    if later is not None:
        columns = {**later.columns, "catalogue": catalogue(chosen & (later.parts == TRAIN))}
        later = Later(columns, np.where(found_later, later.parts, LEFT_OUT))
    past = replace(past, parts=np.where(found, past.parts, LEFT_OUT))
    return cut_events(examples, past, data, notes=notes, later=later)


def _catalogue(
    rows: np.ndarray, events: Events, choices: Choices, then: Choices | None, known: np.ndarray
) -> Catalogue:
    """The items, by their text rows (I,), and which of the events (E,) count as choices."""
    items, times = events.item, np.zeros(len(events)) if events.time is None else events.time
    if not known.all():
        items, times = items[known], times[known]
    return Catalogue(rows, items, times, choices, then)


def _counted(events: Events, column: str, threshold: float | None) -> np.ndarray:
    """Which of a table's events were chosen, bool (E,): all where it lacks the column or nothing sets a bound."""
    if threshold is None or column not in events.columns:
        return np.ones(len(events), bool)
    return events.columns[column] >= threshold


class RetrievalHead(CatalogueHead):
    """The user's history against any item, as one dot product: a catalogue is ranked by one matrix product.

    score = user . item + bias(item) + weights . signals of the item (`peftrec.data.signals`). It starts as the last
    term, popularity as it stood and what the user's past says for the item, weighted as other rows would have it; the
    rest starts at zero and learns what texts and features add. A user is several readings of the
    history, each an attention over it by content, feedback and recency, none of which knows the item (unlike DIN), and
    the features of user and event; an item is its text and its features.
    """

    signals: nn.Parameter

    def __init__(self, shape: HeadShape, hidden: int = 64, readings: int = 4) -> None:
        super().__init__()
        self.norm = input_norm(shape.width)
        self.item = nn.Linear(shape.width, hidden)
        self.past = nn.Linear(shape.width, hidden)
        self.attend = nn.Linear(shape.width, readings)
        self.liked = nn.Parameter(torch.zeros(readings))
        self.fade = nn.Parameter(torch.linspace(0, 1.5, readings))  # from the whole past alike to mostly the newest
        self.feedback = nn.Parameter(torch.zeros(readings, hidden))  # of a past all liked
        others = shape.tables - 1
        # Of a past all of the second table, the third and so on, and how much more such an event is looked at.
        self.tables = nn.Parameter(torch.zeros(readings, others, hidden)) if others else None
        self.heed = nn.Parameter(torch.zeros(readings, others)) if others else None
        self.user = nn.Sequential(
            nn.Linear(readings * hidden + 1, 2 * hidden),
            nn.GELU(),
            nn.Dropout(shape.dropout),
            nn.Linear(2 * hidden, hidden),
        )
        self.bias = nn.Linear(shape.width, 1, bias=False)
        self.left_out = shape.dropout
        self.signals = nn.Parameter(torch.eye(len(SIGNALS))[0])
        for layer in (self.bias, self.user[-1]):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
        self.known_user = feature_layer(shape.of_asker, 2 * hidden)
        self.known_item = feature_layer(shape.of_item, hidden + 1)

    def outer(self) -> list[nn.Parameter]:
        """The last layers of users, of the items' biases and features, and what the signals weigh."""
        layers = [self.user[-1], self.bias, *([] if self.known_item is None else [self.known_item.out])]
        return [self.signals, *(p for layer in layers for p in layer.parameters())]

    def begin(self, data: TaskData) -> str:
        """Weigh the signals as validation rows would have it; returns those that weigh anything."""
        weights = fit_weights(data)
        with torch.no_grad():
            self.signals.copy_(torch.from_numpy(weights))
        return " + ".join(f"{weight:.2f} {name}" for name, weight in zip(SIGNALS, weights, strict=True) if weight)

    def users(self, batch: HeadInput) -> Tensor:
        """What each example's history asks for (N, q)."""
        assert batch.history is not None and batch.feedback is not None
        present, past = batch.history >= 0, batch.history.clamp(min=0)  # (N, H), newest last
        vectors = self.norm(batch.vectors)
        x, content = self.past(vectors), self.attend(vectors)  # (U, q), (U, R)
        back = torch.arange(past.shape[1], 0, -1, device=past.device, dtype=x.dtype).log()  # places back, (H,)
        read = []
        for reading in range(len(self.fade)):
            score = gather(content[:, reading], past) + self.liked[reading] * batch.feedback - self.fade[reading] * back
            if self.heed is not None and batch.marks is not None:
                score = score + gather(F.pad(self.heed[reading], (1, 0)), batch.marks)
            weight = score.masked_fill(~present, -1e4).softmax(-1) * present  # all zero without a history
            summed = (
                F.embedding_bag(past, x.to(weight), per_sample_weights=weight, mode="sum") if past.shape[1] else None
            )
            if summed is None:
                summed = x.new_zeros(len(past), x.shape[1])
            summed = summed + (weight * batch.feedback).sum(1, keepdim=True) * self.feedback[reading]
            if self.tables is not None and batch.marks is not None:
                for number, of in enumerate(self.tables[reading], 1):
                    summed = summed + (weight * (batch.marks == number)).sum(1, keepdim=True) * of
            read.append(summed)
        asked = self.user[0](torch.cat([*read, present.sum(1, keepdim=True).to(x.dtype).log1p()], -1))
        if self.known_user is not None:
            assert batch.of_asker is not None
            asked = asked + self.known_user(batch.of_asker)
        return self.user[1:](asked)

    def items(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """What each text offers (U, q), and its bias (U,)."""
        vectors = self.norm(vectors)
        return self.item(vectors), self.bias(vectors)[:, 0]


def head(shape: HeadShape, config: TaskConfig) -> CatalogueHead:
    """The head of the kind."""
    return RetrievalHead(shape)


def feedback(events: list[Event], task: Task, scale: tuple[float, float]) -> np.ndarray:
    """Liked or not by the threshold; without one every event counts alike, and a value is refused."""
    for event in events:
        if event.value is not None and task.config.threshold is None:
            raise UserError(f"'value' is not read by task {task.name!r}, which has no threshold; found {event.value!r}")
    return np.array(liked_or_not(events, task.config.threshold))


NEXT_ITEM = Kind(
    question="which item comes next",
    hub_type="text-ranking",
    build=build,
    fields={"item": ITEM},
    head=head,
    losses=("softmax",),
    metrics={"choice": ()},
    answer=number_answer,
    reads=("history", "column", "threshold", "repeats", "relevant"),
    ranking=("random", "popularity", "popularity_so_far", "recent_popularity", "item_item", "own_frequency"),
    ranks=True,
    feedback=feedback,
)
