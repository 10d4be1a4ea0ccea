"""Self-attentive sequential recommendation (Kang and McAuley 2018) in PyTorch's own modules, and the same over texts.

It differs from the paper in its loss, the softmax over all items that train rows have, which suits it better than one
drawn negative (Klenitskiy and Vasilev 2023). A row is told from what came strictly before it, in training too.
"""

import copy
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.recommending.climb import Ladders
from benchmarks.recommending.references import Known, Reference, ranked
from peftrec.data.examples import Examples

LENGTH, STRIDE = 50, 25  # events of a window, and how far one reaches beyond the one before
EPOCHS, PATIENCE = 100, 2
WINDOWS, ROWS = 64, 512  # of a training step, and of what is scored together


class Transformer(nn.Module):
    """What comes after each event of a window, by the vectors of items."""

    ahead: Tensor

    def __init__(self, items: int, width: int, dropout: float, vectors: Tensor | None) -> None:
        super().__init__()
        self.width = width
        self.vectors = vectors
        self.item = nn.Embedding(items, width) if vectors is None else nn.Linear(vectors.shape[1], width)
        self.position = nn.Embedding(LENGTH, width)
        for table in (self.item, self.position):
            nn.init.normal_(table.weight, std=0.02)
        layer = nn.TransformerEncoderLayer(width, 2, 4 * width, dropout, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, nn.LayerNorm(width), enable_nested_tensor=False)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("ahead", torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1), persistent=False)

    def items(self) -> Tensor:
        """A vector an item (I, width)."""
        return self.item.weight if self.vectors is None else self.item(self.vectors)

    def forward(self, items: Tensor, windows: Tensor) -> Tensor:
        """States (N, L, width) of windows int (N, L)."""
        length = windows.shape[1]
        x = F.embedding(windows, items) * self.width**0.5 + self.position.weight[:length]
        found: Tensor = self.layers(self.dropout(x), mask=self.ahead[:length, :length])
        return found


def windows_of(known: Known, shift: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Windows int64 (W, LENGTH) of items, and of every train row with a past its window, the place there of the last
    event strictly before it, and its item (N,). `shift`: where windows begin, below STRIDE."""
    train, log = known.train, known.log
    assert train.stop is not None
    user, stop, item = np.asarray(train.users), np.asarray(train.stop), np.asarray(train.item)
    last = stop - 1 - log.user_start[user]
    user, last, item = (of[last >= 0] for of in (user, last, item))
    begin = np.maximum(0, (last + shift) // STRIDE * STRIDE - shift - STRIDE)
    pairs, of = np.unique(np.stack([user, begin], 1), axis=0, return_inverse=True)
    first, end = log.user_start[pairs[:, 0]] + pairs[:, 1], log.user_start[pairs[:, 0] + 1]
    return _filled(known, first, end), of, last - begin, item


def newest(known: Known, rows: Examples) -> tuple[np.ndarray, np.ndarray]:
    """The newest events before each row, int64 (N, LENGTH), and the place of the last (N,): -1 where there is none."""
    assert rows.stop is not None
    stop = np.asarray(rows.stop)
    first = np.maximum(known.log.user_start[rows.users], stop - LENGTH)
    return _filled(known, first, stop), stop - 1 - first


def _filled(known: Known, first: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Items of the log from `first` on, and 0 from `end` on, where nothing that is read looks."""
    place = first[:, None] + np.arange(LENGTH)
    return np.where(place < end[:, None], known.log.items[np.minimum(place, len(known.log) - 1)], 0).astype(np.int64)


class SASRec(Reference):
    """An item is a vector that is learnt of it."""

    ladders: ClassVar[Ladders] = {"width": (16, 32, 64, 128, 256, 512), "dropout": (0.0, 0.1, 0.2, 0.3, 0.5, 0.7)}
    begin: ClassVar[dict[str, Any]] = {"width": 64, "dropout": 0.3}
    natural: ClassVar[dict[str, Any]] = {"dropout": 0.0}
    seeded = True
    tries = 3
    text = False

    def __init__(self, known: Known, seed: int, width: int, dropout: float) -> None:
        super().__init__(known, seed)
        torch.manual_seed(seed)
        vectors = torch.from_numpy(known.vectors) if self.text else None
        self.model = Transformer(len(known.popular), width, dropout, vectors)
        self.epochs = self._train(np.random.default_rng(seed))

    def _train(self, random: np.random.Generator) -> int:
        """Train until validation gains nothing more, and keep the best epoch, whose number is returned."""
        optimizer = torch.optim.Adam(self.model.parameters(), 1e-3)
        best, kept, value = 0, copy.deepcopy(self.model.state_dict()), -1.0
        for epoch in range(1, 1 + EPOCHS):
            self.model.train()
            windows, of, place, target = windows_of(self.known, int(random.integers(STRIDE)))
            reach = np.zeros(len(windows), np.int64)
            np.maximum.at(reach, of, place)
            order = np.lexsort((random.random(len(windows)), reach))  # windows of a step are about as long
            steps = np.array_split(order, -(-len(windows) // WINDOWS))
            for step in random.permutation(len(steps)):
                line = np.full(len(windows), -1)
                line[steps[step]] = np.arange(len(steps[step]))
                rows, longest = np.flatnonzero(line[of] >= 0), 1 + reach[steps[step]].max()
                self._loss(windows[steps[step], :longest], line[of[rows]], place[rows], target[rows]).backward()
                optimizer.step()
                optimizer.zero_grad()
            if (now := ranked(self, self.known.dataset, "valid")[0]) > value:
                best, kept, value = epoch, copy.deepcopy(self.model.state_dict()), now
            elif epoch - best >= PATIENCE:
                break
        self.model.load_state_dict(kept)
        return best

    def _loss(self, windows: np.ndarray, of: np.ndarray, place: np.ndarray, target: np.ndarray) -> Tensor:
        seen = np.flatnonzero(self.known.popular)
        items = self.model.items()
        states = self.model(items, torch.from_numpy(windows))[torch.from_numpy(of), torch.from_numpy(place)]
        right = torch.from_numpy(np.searchsorted(seen, target))
        return F.cross_entropy(states @ items[torch.from_numpy(seen)].T, right)

    def scores(self, rows: Examples) -> np.ndarray:
        """Dot products of items with the state after the last event; nothing where there is none."""
        self.model.eval()
        found = np.zeros((len(rows), len(self.known.popular)), np.float32)
        with torch.inference_mode():
            items = self.model.items()
            windows, last = newest(self.known, rows)
            order = np.argsort(last, kind="stable")[(last < 0).sum() :]
            for some in np.array_split(order, -(-len(order) // ROWS)) if len(order) else ():
                of = torch.from_numpy(windows[some, : 1 + last[some].max()])
                found[some] = (self.model(items, of)[np.arange(len(some)), last[some]] @ items.T).numpy()
        return found


class TextSASRec(SASRec):
    """An item is a linear map of what the frozen backbone says of its text: items that training never saw too."""

    text = True
