"""Texts that the backbone's vocabulary is not made for.

What it reads as its unknown token is lost, whatever it said, and what falls apart into letters says little.
"""

from typing import Any

import numpy as np

from peftrec.data.texts import TextTable

SHARE = 0.05  # of unknown tokens, of texts that become alike or fall apart, above which the user is told
# Pieces a letter or digit from which a text falls apart: three times what English has of MiniLM's vocabulary. There
# Russian, Greek, Arabic and Hindi have about 1, Korean 1.7; vocabularies that have a language give it 0.25 to 0.7.
PIECES = 0.8
LOOKED_AT, BEGINNING = 2000, 200  # texts, and letters of each, whose pieces are counted
ADVICE = "take a backbone whose vocabulary has this language, such as intfloat/multilingual-e5-small"


def vocabulary_notes(texts: TextTable, tokenizer: Any, rows: np.ndarray | None = None) -> list[str]:
    """What to know of tokenised text rows, ascending, by default of all; mostly nothing."""
    return _unknown_notes(texts, tokenizer, rows) or _pieces_notes(texts, tokenizer, rows)


def _pieces_notes(texts: TextTable, tokenizer: Any, rows: np.ndarray | None) -> list[str]:
    """The same of texts in another script than Latin that become more pieces than words have.

    Chinese characters are words, or nearly: a text that is mostly of them is left to the unknown tokens.
    """
    rows = np.arange(len(texts)) if rows is None else rows
    some = rows[np.arange(min(LOOKED_AT, len(rows))) * len(rows) // min(LOOKED_AT, max(1, len(rows)))]
    begun = [texts.texts[row][:BEGINNING] for row in some.tolist()]
    foreign = [text for text in begun if _foreign(text)]
    if len(foreign) <= SHARE * len(begun):
        return []
    pieces = [len(ids) for ids in tokenizer(foreign, add_special_tokens=False)["input_ids"]]
    letters = [sum(map(str.isalnum, text)) for text in foreign]
    apart = sum(of > PIECES * count for of, count in zip(pieces, letters, strict=True))
    if apart <= SHARE * len(begun):
        return []
    return [
        f"texts: {apart / len(begun):.0%} of them fall apart into letters or less, which tell a backbone little: "
        f"{sum(pieces) / sum(letters):.2g} tokens a letter, where English has 0.27; {ADVICE}"
    ]


def _foreign(text: str) -> bool:
    """Whether most letters are of another script than Latin (which ends at U+024F) or Chinese characters."""
    letters = [ord(of) for of in text if of.isalpha()]
    return 2 * sum(of > 0x24F and not (0x3400 <= of <= 0x9FFF) for of in letters) > len(letters)


def _unknown_notes(texts: TextTable, tokenizer: Any, rows: np.ndarray | None = None) -> list[str]:
    """The same of unknown tokens."""
    unknown = tokenizer.unk_token_id
    others = {getattr(tokenizer, f"{name}_token_id", None) for name in ("bos", "eos", "pad", "cls", "sep", "mask")}
    if unknown is None or unknown in others:  # byte-level vocabularies know all; theirs is the end of a text
        return []
    rows = np.arange(len(texts)) if rows is None else rows
    if len(rows) == 0:
        return []
    # Only what lies between the first and the last: predict asks for the few newest of a whole catalogue.
    first, last = texts.offsets[rows[0]], texts.offsets[rows[-1] + 1]
    ids = texts.ids[first:last]
    specials = [of for of in others if of is not None]

    def count(flags: np.ndarray) -> np.ndarray:
        sums = np.append(0, np.cumsum(flags))
        return sums[texts.offsets[rows + 1] - first] - sums[texts.offsets[rows] - first]

    lost = count(ids == unknown)
    share = lost.sum() / max(1, count(~np.isin(ids, specials)).sum())
    concerned = rows[lost > 0]
    _, place, alike = np.unique(texts.digests(concerned), axis=0, return_inverse=True, return_counts=True)
    same = int((alike[place.ravel()] > 1).sum())
    if max(share, same / max(1, len(rows))) <= SHARE:
        return []
    told = f", and {same:,} different texts become the same tokens as another" if same else ""
    return [
        f"texts: {share:.0%} of the tokens are unknown to the backbone's tokenizer, in {len(concerned):,} of "
        f"{len(rows):,} texts{told}; {ADVICE}"
    ]
