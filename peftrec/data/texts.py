"""The text table: the unique texts and text pairs of a run, tokenised once; all else refers to them by row number."""

import hashlib
import sys
from collections.abc import Hashable
from itertools import islice
from typing import Any, NamedTuple, Protocol
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

TOKENIZED = 65_536  # texts at a time, since tokenizers say far more of each than its token ids


class Prompts(NamedTuple):
    """What goes before a single text for its tokens, as some backbones were trained: before passages, which are items'
    texts, and before queries, which are all others. A pair of texts has none."""

    query: str = ""
    passage: str = ""


NO_PROMPTS = Prompts()


class Keeper(Protocol):
    """Keeps something of a table's rows, by their numbers."""

    def keep_guests(self, rows: np.ndarray) -> None:
        """Forget all guests but `rows`, as the table is about to; see `TextTable.keep_guests`."""


class TextTable:
    """Unique texts and text pairs. `add` returns a row number; `tokenize` fills `ids`, `types` and `lengths`.

    After `tokenize(tokenizer, max_length)`:
      ids      int32 (sum of lengths,): all token ids, row after row
      types    uint8 (sum of lengths,): 1 for the tokens of a pair's second text, for models that know segments
      offsets  int64 (V + 1,): row v is ids[offsets[v]:offsets[v + 1]]
      lengths  int32 (V,)

    The rows of the first `tokenize` are the table's own and stay. Those added later are guests, the texts of requests,
    unless it is told to `adopt` them: `keep_guests` forgets all but some. `own` is how many rows of its own the table
    has, and its first guest.

    common   whether several runs have this table, and share what is kept of its rows
    keepers  what is kept of its rows, while somebody has it: what it is -> by whom
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.pairs: list[str | None] = []
        self.passages: list[bool] = []
        # The guests' keys stand last, in the order in which they were last asked for.
        self._rows: dict[tuple[str, str | None, bool], int] = {}
        self.own = sys.maxsize
        self.ids = np.zeros(0, np.int32)
        self.types = np.zeros(0, np.uint8)
        self.offsets = np.zeros(1, np.int64)
        self.common = False
        self.keepers: WeakValueDictionary[Hashable, Keeper] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self.texts)

    def add(self, text: str, pair: str | None = None, passage: bool = False) -> int:
        """Row number of `text` (or of the pair `text`, `pair`); equal ones share a row, passages among
        themselves."""
        key = (text, pair, passage)
        row = self._rows.get(key)
        if row is None:
            row = len(self.texts)
            self.texts.append(text)
            self.pairs.append(pair)
            self.passages.append(passage)
        elif row < self.own:
            return row
        else:
            del self._rows[key]
        self._rows[key] = row
        return row

    @property
    def guests(self) -> int:
        """How many rows are guests."""
        return max(0, len(self.texts) - self.own)

    def adopt(self) -> None:
        """Let the rows that are added until the next `tokenize` be the table's own; guests that it has are so then."""
        self.own = sys.maxsize

    def recent_guests(self, most: int) -> np.ndarray:
        """The `most` guests that `add` was last asked for, ascending; those not tokenised yet are not among them."""
        done = len(self.offsets) - 1
        latest = (row for row in islice(reversed(self._rows.values()), self.guests) if row < done)
        return np.array(sorted(islice(latest, most)), np.int64)

    def keep_guests(self, rows: np.ndarray) -> None:
        """Forget all guests but `rows` (ascending, tokenised), which become the rows `own`, `own` + 1, ...

        The keepers do so first.
        """
        for keeper in list(self.keepers.values()):
            keeper.keep_guests(rows)
        positions, mask = self.gather(rows)
        kept, begin = positions[mask], self.offsets[self.own]
        self.ids = np.append(self.ids[:begin], self.ids[kept])
        self.types = np.append(self.types[:begin], self.types[kept])
        self.offsets = np.append(self.offsets[: self.own + 1], begin + np.cumsum(self.tokens(rows)))
        renumbered = dict(zip(rows.tolist(), range(self.own, self.own + len(rows)), strict=True))
        for key in list(islice(reversed(self._rows), self.guests))[::-1]:
            row = self._rows.pop(key)
            if row in renumbered:
                self._rows[key] = renumbered[row]
        self.texts[self.own :] = [self.texts[row] for row in rows]
        self.pairs[self.own :] = [self.pairs[row] for row in rows]
        self.passages[self.own :] = [self.passages[row] for row in rows]

    def digest(self) -> bytes:
        """128 bits of all texts in their order: equal for equal tables."""
        found = hashlib.blake2b(digest_size=16)
        for key in zip(self.texts, self.pairs, self.passages, strict=True):
            found.update(repr(key).encode())
        return found.digest()

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of every row, int64 (V,)."""
        return np.diff(self.offsets)

    def tokens(self, rows: np.ndarray) -> np.ndarray:
        """Tokens of each of `rows`, int64 (N,); what is asked of few rows takes no longer in a large table."""
        found: np.ndarray = self.offsets[rows + 1] - self.offsets[rows]
        return found

    def tokenize(self, tokenizer: Any, max_length: int, pad_id: int, prompts: Prompts = NO_PROMPTS) -> None:
        """Tokenise the rows added since the last call; a pair keeps both sides, the longer one cut first.

        `pad_id` fills `pad`'s batches; it never reaches the model's attention.
        """
        self.pad_id = pad_id
        self.own = min(self.own, len(self.texts))
        done = len(self.offsets) - 1
        if done == len(self.texts):
            return
        parts = [
            self._encoded(tokenizer, max_length, prompts, range(first, min(first + TOKENIZED, len(self.texts))))
            for first in range(done, len(self.texts), TOKENIZED)
        ]
        ids, types, lengths = (np.concatenate(of) for of in zip(*parts, strict=True))
        self.ids = np.concatenate([self.ids, ids])
        self.types = np.concatenate([self.types, types])
        self.offsets = np.concatenate([self.offsets, self.offsets[-1] + np.cumsum(lengths, dtype=np.int64)])

    def _encoded(
        self, tokenizer: Any, max_length: int, prompts: Prompts, fresh: range
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Token ids and types of some rows, one row after the other, and how many tokens each has."""
        # Pairs and single texts go to the tokenizer apart, then back into row order.
        encoded: dict[int, tuple[list[int], list[int]]] = {}
        for rows, second in (
            ([r for r in fresh if self.pairs[r] is None], False),
            ([r for r in fresh if self.pairs[r] is not None], True),
        ):
            if not rows:
                continue
            if second:
                arguments = [[self.texts[r] for r in rows], [self.pairs[r] for r in rows]]
            else:
                arguments = [[prompts[self.passages[r]] + self.texts[r] for r in rows]]
            out = tokenizer(
                *arguments, truncation=True, max_length=max_length, return_token_type_ids=True, padding=False
            )
            kinds = out.get("token_type_ids") or [[0] * len(i) for i in out["input_ids"]]
            encoded.update(zip(rows, zip(out["input_ids"], kinds, strict=True), strict=True))
        ids, types = ([token for row in fresh for token in encoded[row][side]] for side in (0, 1))
        lengths = [len(encoded[row][0]) for row in fresh]
        return np.array(ids, np.int32), np.array(types, np.uint8), np.array(lengths, np.int64)

    def pad(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Token ids, attention mask and token types of `rows`, each int64 (U, longest row), padded on the right."""
        positions, mask = self.gather(rows)
        ids = np.where(mask, self.ids[positions], self.pad_id)
        types = np.where(mask, self.types[positions], 0)
        return (
            torch.from_numpy(ids.astype(np.int64)),
            torch.from_numpy(mask.astype(np.int64)),
            torch.from_numpy(types.astype(np.int64)),
        )

    def gather(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the rows' tokens in the ragged arrays and their mask, each (U, longest row); 0 where masked."""
        starts, lengths = self.offsets[rows], self.tokens(rows)
        steps = np.arange(lengths.max(initial=0))
        mask = steps[None] < lengths[:, None]
        return np.where(mask, starts[:, None] + steps[None], 0), mask

    def digests(self, rows: np.ndarray) -> np.ndarray:
        """128-bit digest of each row's token ids and types, uint64 (N, 2): equal for equal tokens, in any table."""
        ids, types = self.ids.data, self.types.data
        bounds = zip(self.offsets[rows].tolist(), self.offsets[rows + 1].tolist(), strict=True)
        found = [
            hashlib.blake2b(ids[start:stop].tobytes() + types[start:stop].tobytes(), digest_size=16).digest()
            for start, stop in bounds
        ]
        return np.frombuffer(b"".join(found), "<u8").reshape(-1, 2)
