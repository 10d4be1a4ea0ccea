"""The co-learner: one adapted encoder, a head a task, and the step that encodes every unique text once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from peftrec.data.batches import HeadInput, UniqueRows, Work
from peftrec.data.catalogue import Catalogue
from peftrec.data.dataset import Dataset
from peftrec.data.examples import FITTED, Examples
from peftrec.data.features import columns
from peftrec.data.signals import SHARED, SIGNALS, of_every_item, of_nobody
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.machine.draws import drawn_for
from peftrec.model.adapters import attach
from peftrec.model.adapters.base import adapter_name
from peftrec.model.backbone import Backbone
from peftrec.model.cache.kept import KeptVectors
from peftrec.model.encoder import AdaptedEncoder
from peftrec.model.frozen_vectors import FrozenVectors
from peftrec.model.fusion import Fusion, new_fusion
from peftrec.model.scorer import Scorer
from peftrec.model.vector_gradients import VectorGradients
from peftrec.recipe import AdapterConfig, Recipe
from peftrec.tasks.grades import Grades
from peftrec.tasks.heads import CatalogueHead, Head, HeadShape
from peftrec.tasks.kind import Task
from peftrec.tasks.losses import Loss
from peftrec.tasks.priors import Vectors

PREDICT_ROWS = 16_384  # examples a head scores at once outside training


class CoLearner(nn.Module, Scorer):
    """Encoder, fusion and heads of all tasks. `losses` gives the step's task losses, `predict` a task's predictions.

    parts  how many pieces a training step's rows are cut into, one after the other, so that they fit into memory
    """

    def __init__(
        self, encoder: AdaptedEncoder, fusion: Fusion, heads: dict[str, Head], losses: dict[str, Loss], parts: int = 1
    ) -> None:
        super().__init__()
        self.parts = parts
        self.encoder, self.fusion = encoder, fusion
        self.heads = nn.ModuleDict({adapter_name(task): head for task, head in heads.items()})
        self._head_of = dict(heads)
        self.loss_of = losses
        self.tasks = list(heads)
        self.vector_gradients = VectorGradients(self.tasks)

    @property
    def work(self) -> Work:
        """What the training steps asked the encoder for, and what it did."""
        return self.encoder.work

    @property
    def no_vectors(self) -> str:
        """As the encoder's."""
        return self.encoder.no_vectors

    @property
    def frozen_vectors(self) -> Vectors | None:
        """The encoder's, with what its layers say; computing many shows its progress."""
        return None if self.no_vectors else FrozenVectors(self.encoder)

    def head(self, task: str) -> Head:
        """The task's head."""
        return self._head_of[task]

    def outputs(self, batches: dict[str, Examples]) -> dict[str, Tensor]:
        """Raw head outputs of every task's examples. Tasks with equal vectors have their texts encoded together."""
        found: dict[str, Tensor] = {}
        groups = {tasks[0]: tasks for tasks in self.encoded_together(list(batches))}
        unique = {
            first: UniqueRows({t: batches[t] for t in tasks}, len(self.encoder.texts))
            for first, tasks in groups.items()
        }
        if self.training:
            self.work.referenced += sum(of.references for of in unique.values())
        with self.encoder.common_part_once({first: of.rows for first, of in unique.items()}):
            for first, tasks in groups.items():
                rows = unique[first].rows
                vectors = self.encoder.encode(rows, first)
                for task in tasks:
                    watched = self.training and vectors.requires_grad
                    own = self.vector_gradients.watch(task, rows, vectors) if watched else vectors
                    fused = self.fusion(own, rows, task)
                    batch = unique[first].head_input(task, batches[task], fused)
                    found[task] = batch.begun(self.head(task)(batch))
        return {task: found[task] for task in batches}

    @torch.inference_mode()
    def encoded(self, task: str, rows: np.ndarray) -> KeptVectors:
        """The task's vectors of text rows int (M,), ascending, dropout off: for `AdaptedEncoder.with_vectors`."""
        with self._evaluating():
            blocks = np.split(rows, range(PREDICT_ROWS, len(rows), PREDICT_ROWS))
            return KeptVectors(rows, torch.cat([self.encoder.encode(block, task) for block in blocks]))

    @contextmanager
    def encoded_once(self, rows: Mapping[str, np.ndarray]) -> Iterator[None]:
        """Inside the block the text rows that tasks with equal vectors will encode are encoded already, together."""
        with ExitStack() as stack:
            for tasks in self.encoded_together(list(rows)):
                if len(tasks) > 1:
                    kept = self.encoded(tasks[0], np.unique(np.concatenate([rows[task] for task in tasks])))
                    for task in tasks:
                        stack.enter_context(self.encoder.with_vectors(task, kept))
            yield

    def vectors(self, rows: np.ndarray, task: str) -> Tensor:
        """What the task's head reads of text rows (U,): their vectors, float32 (U, D), fused."""
        fused: Tensor = self.fusion(self.encoder.encode(rows, task), rows, task)
        return fused

    def encoded_together(self, tasks: list[str]) -> list[list[str]]:
        """The tasks in groups whose vectors are equal, so that one encoding serves the group."""
        alike: dict[str, list[str]] = {}
        for task in tasks:
            alike.setdefault(self.encoder.adapter_of(task).encodes_alike(task), []).append(task)
        return list(alike.values())

    def losses(self, batches: dict[str, Examples]) -> Tensor:
        """Mean of weight times loss over each task's examples, (T,) in the order of `batches`; in training with the
        task's penalty. Raises UserError for a loss that does not give one number a row."""
        outputs = self.outputs(batches)
        losses = []
        for task, batch in batches.items():
            loss = self._rows_losses(task, batch, outputs[task]).mean()
            penalty = self.encoder.adapter_of(task).penalty(task) if self.training else None
            losses.append(loss if penalty is None else loss + penalty)
        return torch.stack(losses)

    def _rows_losses(self, task: str, batch: Examples, output: Tensor) -> Tensor:
        """Weight times loss of each row (N,)."""
        rows = self.loss_of[task].value(output, torch.from_numpy(np.asarray(batch.label)).to(output.device))
        if rows.shape != (len(batch),):
            raise UserError(
                f"tasks.{task}.loss: its `value` must give each row's loss, a tensor of shape ({len(batch)},), not "
                f"their mean; found one of shape {tuple(rows.shape)}"
            )
        return rows if batch.weight is None else rows * torch.from_numpy(np.asarray(batch.weight)).to(rows.device)

    def predict(self, task: str, examples: Examples) -> np.ndarray:
        """Predictions as the task's loss defines them, float32, dropout off. Every text is encoded once."""
        return self.predict_at((1.0,), task, examples)[0]

    @torch.inference_mode()
    def predict_at(self, shares: Sequence[float], task: str, examples: Examples) -> list[np.ndarray]:
        """The same where each of these shares of what the head says beside its start is taken."""
        with self._evaluating():
            rows = examples.text_rows()
            encoded = self.encoder.encode(rows, task)
            vectors = self.fusion(encoded, rows, task)
            done = []
            for chunk in examples.blocks(PREDICT_ROWS):
                batch = self._looked_up(task, chunk, rows, vectors)
                if chunk.brought is not None:
                    batch = self._with_brought(task, chunk, batch, rows, encoded)
                done.append(self._predictions(shares, task, batch))
        return [np.concatenate(of) for of in zip(*done, strict=True)] or [np.zeros(0, np.float32) for _ in shares]

    def ranker(
        self, task: str, item_rows: np.ndarray, grades: Grades | None = None, of_items: np.ndarray | None = None
    ) -> Callable[[Examples], np.ndarray]:
        """As `Scorer.ranker`; with a CatalogueHead items are encoded now, and the scores are one matrix product."""
        head = self.head(task)
        if not isinstance(head, CatalogueHead):
            return super().ranker(task, item_rows, grades, of_items)
        offered, bias = self.offered(task, item_rows, of_items)

        @torch.inference_mode()
        def scores(examples: Examples) -> np.ndarray:
            found = (offered @ self.asked(task, examples).T).T.add(bias).float().cpu().contiguous()
            if head.signals is not None:
                found = found.add_(torch.from_numpy(self.beside(task, of_every_item(examples))))
            begun = examples.with_every_candidate().begin()
            return found.numpy() if begun is None else found.numpy() + begun[:, 1:]

        return scores

    @torch.inference_mode()
    def offered(self, task: str, item_rows: np.ndarray, of_items: np.ndarray | None = None) -> tuple[Tensor, Tensor]:
        """A catalogue-ranking task's vectors (I, q) and biases (I,) of items, by their text rows (I,) and features."""
        head = self._catalogue_head(task)
        rows, place = np.unique(item_rows, return_inverse=True)
        blocks = np.split(rows, range(PREDICT_ROWS, len(rows), PREDICT_ROWS))
        with self._evaluating():  # in blocks: what is offered of an item is a few numbers, its text vector many
            found = [head.items(self.vectors(block, task)) for block in blocks]
            vectors, bias = (torch.cat(parts) for parts in zip(*found, strict=True))
            index = torch.from_numpy(place).to(vectors.device)
            known = None if of_items is None else torch.from_numpy(of_items[: len(item_rows)]).to(vectors.device)
            return head.with_features(vectors[index], bias[index], known)

    def offered_now(
        self, task: str, item_rows: np.ndarray, catalogue: Catalogue, of_items: np.ndarray | None = None
    ) -> np.ndarray:
        """A catalogue-ranking task's items with what their scores hold for all who ask, float32 (I, q + 1): the inner
        product with [asked, 1] is the score now, after every choice that the catalogue knows, but for `of_past`."""
        offered, bias = self.offered(task, item_rows, of_items)
        constant = bias.cpu().numpy()
        if self._catalogue_head(task).signals is not None:
            constant = constant + self.beside(task, of_nobody(catalogue))
        return np.concatenate([offered.cpu().numpy(), constant[:, None]], 1)

    def beside(self, task: str, signals: np.ndarray) -> np.ndarray:
        """What signals (..., S) add to the scores (...) of a catalogue-ranking task."""
        weights = self._catalogue_head(task).signals
        assert weights is not None
        added: np.ndarray = signals @ weights.detach().cpu().numpy()
        return added

    def of_past(self, task: str, examples: Examples) -> np.ndarray | None:
        """What the pasts of a catalogue-ranking task's rows, or its start, add to the scores of every item, float32
        (N, I); None where nothing does."""
        if self._catalogue_head(task).signals is not None:
            return self.beside(task, of_every_item(examples) * (np.arange(len(SIGNALS)) >= SHARED))
        begun = examples.with_every_candidate().begin()
        return None if begun is None else begun[:, 1:]

    @torch.inference_mode()
    def asked(self, task: str, examples: Examples) -> Tensor:
        """A catalogue-ranking task's vectors (N, q) of what the examples' histories or queries ask for."""
        unique = UniqueRows({task: examples}, len(self.encoder.texts))
        with self._evaluating():
            vectors = self.vectors(unique.rows, task)
            return self._catalogue_head(task).users(unique.head_input(task, examples, vectors))

    def _catalogue_head(self, task: str) -> CatalogueHead:
        head = self.head(task)
        assert isinstance(head, CatalogueHead)
        return head

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Dropout off inside the block."""
        if not self.training:  # as in a predictor; telling every module so would take longer than a few rows do
            yield
            return
        self.eval()
        try:
            yield
        finally:
            self.train()

    def _looked_up(self, task: str, chunk: Examples, rows: np.ndarray, vectors: Tensor) -> HeadInput:
        """What the head sees of examples, of the vectors of text rows, ascending."""
        unique = UniqueRows({task: chunk}, len(self.encoder.texts))
        own = vectors[torch.from_numpy(np.searchsorted(rows, unique.rows)).to(vectors.device)]
        return unique.head_input(task, chunk, own)

    def _with_brought(
        self, task: str, chunk: Examples, batch: HeadInput, rows: np.ndarray, encoded: Tensor
    ) -> HeadInput:
        """The same where items that the catalogue lacks have each its own vector: their texts may be alike, and their
        features not. `encoded`: what the encoder gave of text rows, ascending."""
        assert chunk.brought is not None
        new = np.flatnonzero(chunk.item < 0)
        own_rows = chunk.slots["item"][new]
        texts = encoded[torch.from_numpy(np.searchsorted(rows, own_rows)).to(encoded.device)]
        own, place = self.fusion.brought(texts, own_rows, chunk.brought[new], task), batch.slots["item"].clone()
        place[torch.from_numpy(new).to(place.device)] = len(batch.vectors) + torch.arange(len(new), device=place.device)
        return replace(batch, vectors=torch.cat([batch.vectors, own]), slots={**batch.slots, "item": place})

    def _predictions(self, shares: Sequence[float], task: str, batch: HeadInput) -> list[np.ndarray]:
        learned, loss = self.head(task)(batch), self.loss_of[task]
        return [loss.predict(batch.begun(share * learned)).float().cpu().numpy() for share in shares]

    def parameter_counts(self) -> tuple[int, int]:
        """How many parameters are trained, and how many there are: the backbone's, and those beside it."""
        named, trained = self._named().values(), self.trainable().values()
        own = {id(p) for p in self.encoder.backbone.model.parameters()}
        beside = sum(p.numel() for p in named if id(p) not in own)
        return sum(p.numel() for p in trained), self.encoder.backbone.parameter_count() + beside

    def freeze(self, tasks: Iterable[str]) -> None:
        """Train neither the heads of these tasks nor any part that they read of adapters and fusion, shared ones
        included."""
        for task in tasks:
            adapter = self.encoder.adapter_of(task)
            for owner in adapter.owners_of(task):
                adapter.freeze(owner)
            self.head(task).requires_grad_(False)
            for part in self.fusion.read_by(task):
                part.requires_grad_(False)

    def trainable(self) -> dict[str, nn.Parameter]:
        """Every trained parameter by a stable name: adapter/<owner>/<name>, fusion/<owner>/<name> and
        head/<task>/<name>."""
        return {name: p for name, p in self._named().items() if p.requires_grad}

    def _named(self) -> dict[str, nn.Parameter]:
        named = {
            f"adapter/{owner}/{name}": p
            for owner, parameters in self.encoder.parameters_by_owner().items()
            for name, p in parameters.items()
        }
        named |= {f"fusion/{name}": p for name, p in self.fusion.named().items()}
        for task in self.tasks:
            named |= {f"head/{task}/{name}": p for name, p in self.head(task).named_parameters()}
        return named


def build_model(
    recipe: Recipe, tasks: Mapping[str, Task], backbone: Backbone, dataset: Dataset, dropout: float
) -> CoLearner:
    """Attach every task's method and make its head, with `dropout` in the heads. Random weights follow torch's global
    seed, each task's from its name too."""
    width = backbone.hidden_size
    shapes = {
        name: HeadShape(
            *(width, len(data.classes), len(data.feature_names), dropout, max(1, len(data.history))),
            *columns(data.encodings),
        )
        for name, data in dataset.tasks.items()
    }
    configs = {name: task.adapter for name, task in tasks.items()}
    model = assemble(recipe, tasks, backbone, dataset.texts, configs, shapes)
    model.fusion = new_fusion(recipe.fusion, dataset, width, {}, {}).to(backbone.device)
    for name, data in dataset.tasks.items():
        model.head(name).calibrate(data.train.thinned(FITTED), tasks[name].loss)
    return model


def assemble(
    recipe: Recipe,
    tasks: Mapping[str, Task],
    backbone: Backbone,
    texts: TextTable,
    configs: dict[str, AdapterConfig],
    shapes: dict[str, HeadShape],
    filled: bool = False,
) -> CoLearner:
    """A co-learner over `texts`, its adapters as configured (`filled`: see `attach`); its fusion knows no items."""
    adapters = attach(backbone, configs, filled)
    encoder = AdaptedEncoder(backbone, texts, adapters, recompute=recipe.train.gradient_checkpointing)
    heads: dict[str, Head] = {}
    for name, task in tasks.items():
        with drawn_for(f"head/{name}"):
            heads[name] = task.kind.head(shapes[name], task.config)
    losses = {name: task.loss for name, task in tasks.items()}
    return CoLearner(encoder, Fusion(recipe.fusion), heads, losses, recipe.train.accumulate).to(backbone.device)
