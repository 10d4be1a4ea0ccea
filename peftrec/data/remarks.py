"""What the user should know of a file that is not wrong: rows given again, fields left empty, texts repeated."""

import numpy as np
import pyarrow.compute as pc

from peftrec.data.rows import Rows
from peftrec.data.split import LEFT_OUT, TEST, TRAIN
from peftrec.data.templates import template_columns

COLD = 0.25  # of the test rows with an item that train lacks: what is known of a quarter of them is a text, and no past
NEW = 0.5  # of the test rows with a user whom train lacks: most of what is measured is how strangers are served


def first_alike(*columns: np.ndarray) -> np.ndarray:
    """int64 (N,): for every row the first one that is equal to it in all columns (N,); itself if there is none."""
    order = np.lexsort(columns)  # stable: of equal rows the first comes first
    begins = np.zeros(len(order), bool)
    begins[:1] = True
    for column in columns:
        ordered = column[order]
        begins[1:] |= ordered[1:] != ordered[:-1]
    first = np.empty(len(order), np.int64)
    first[order] = order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
    return first


def repeated_rows(key: str, first: np.ndarray, names: list[str]) -> list[str]:
    """A line if some rows are not the first with their values of `names`. `key` is the table's in the recipe."""
    again = int((first != np.arange(len(first))).sum())
    return [f"{key}: {again:,} rows repeat an earlier one (same {', '.join(names)}); each counts"] if again else []


def empty_fields(rows: Rows, template: str, key: str) -> list[str]:
    """A line for every column of a template that some rows leave empty. `key` is the recipe key of the template."""
    lines = []
    for name in dict.fromkeys(template_columns(template, key)):
        empty = pc.equal(pc.utf8_trim_whitespace(rows.strings(name)), "").true_count
        if empty:
            lines.append(f"{key}: {empty:,} of {len(rows):,} rows have no {name}")
    return lines


def repeated_texts(text: np.ndarray, label: np.ndarray, parts: np.ndarray) -> list[str]:
    """Lines on equal texts: rows of test whose text is in train too, and texts that stand with several labels.

    text   int (N,): equal numbers are equal texts
    label  (N,), or (N, C) where rows have several
    parts  int8 (N,): the split; rows that it leaves out do not count
    """
    lines, used = [], parts != LEFT_OUT
    seen = int(np.isin(text[parts == TEST], text[parts == TRAIN]).sum())
    if seen:
        lines.append(
            f"{seen:,} of {int((parts == TEST).sum()):,} test rows have a text that train rows have too; "
            "split: by-text keeps equal texts together"
        )
    pairs = np.unique(np.stack([text[used], np.unique(label[used], axis=0, return_inverse=True)[1].ravel()]), axis=1)
    names, labels = np.unique(pairs[0], return_counts=True)
    unsure = names[labels > 1]
    if len(unsure):
        rows = int(np.isin(text[used], unsure).sum())
        lines.append(f"{len(unsure):,} texts stand with different labels ({rows:,} rows): no answer is right for all")
    return lines


def unseen(item: np.ndarray, user: np.ndarray, parts: np.ndarray, asked: str | None) -> list[str]:
    """Lines where many test rows are of items, or most of users, that no train row has.

    item, user  int (N,)
    parts       int8 (N,): the split
    asked       which of "item" and "user" the split keeps apart on purpose, which is no news
    """
    lines, count = [], int((parts == TEST).sum())
    of_items, of_users = (
        float((~np.isin(of[parts == TEST], of[parts == TRAIN])).mean()) if count else 0.0 for of in (item, user)
    )
    if of_items > COLD and asked != "item":
        lines.append(
            f"{of_items:.0%} of the test rows have an item that no train row has: of it the text and the features are "
            "known, not how it was received; what reads texts can rank it, what counts cannot"
        )
    if of_users > NEW and asked != "user":
        lines.append(
            f"{of_users:.0%} of the test rows are of users without a train row: the test measures mostly how new users "
            "are served; split: leave-last-out measures known ones"
        )
    return lines
