"""Published data sets in small: files of their publishers' forms, and what the card makes of them."""

from benchmarks.card.sets import SETS


def put(folder, name, text, encoding="utf-8"):
    """Write one of a data set's files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding=encoding)


def read(name, folder, rows=1000):
    """The tables of the data set of this name."""
    return SETS[name].tables(folder, rows)
