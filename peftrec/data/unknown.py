"""Texts that the backbone's tokenizer does not know: what it reads as its unknown token is lost, whatever it said."""

from typing import Any

import numpy as np

from peftrec.data.texts import TextTable

SHARE = 0.05  # of unknown tokens, or of texts that become alike, above which the user is told


def unknown_notes(texts: TextTable, tokenizer: Any, rows: np.ndarray | None = None) -> list[str]:
    """What to know of unknown tokens in tokenised text rows, ascending, by default in all; mostly nothing."""
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
        f"{len(rows):,} texts{told}; take a backbone whose vocabulary has this language, such as a multilingual one"
    ]
