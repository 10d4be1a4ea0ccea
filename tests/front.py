"""MIND's two files, made: readers who like one section, lists of news of which the fresh ones are clicked more."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

BEGIN = datetime(2019, 11, 9, 6)
SECTIONS = ("sports", "food", "finance")


def make_mind(folder: Path, readers: int = 24, lists: int = 420, news: int = 90) -> Path:
    """news.tsv and behaviors.tsv in `folder`, returned: tabs, no header, ids with -1 where clicked.

    News n is of section n % 3, says so in its words, and comes out when n of `news` parts of the time are over. A list
    has two news of each section, one of the newest and one older; of its reader's section (reader % 3) the fresh one is
    clicked in four of five lists, or else one of the others.
    """
    random, minutes = np.random.default_rng(0), 10_000
    lines = []
    for n in range(news):
        words = f"w{n % 3} w{random.integers(10, 110)} w{n % 3}"
        lines.append(
            f"N{n}\t{SECTIONS[n % 3]}\tof {SECTIONS[n % 3]}\t{words}\t{'' if n % 20 else words}\thttps://x\t[]\t[]\n"
        )
    (folder / "news.tsv").write_text("".join(lines))
    rows = []
    for number in range(lists):
        reader = number % readers
        now = minutes * (0.2 + 0.8 * number / lists)
        out = int(news * now / minutes)  # how many news there are by now
        shown = [
            (out - 1 - back) // 3 * 3 - 3 + section for section in range(3) for back in (0, 3 * random.integers(2, 5))
        ]
        hit = shown[2 * (reader % 3)] if random.random() < 0.8 else shown[random.integers(6)]
        marked = " ".join(f"N{n}-{int(n == hit)}" for n in random.permutation(shown).tolist())
        past = " ".join(f"N{3 * n + reader % 3}" for n in range(reader % 4))
        time = f"{BEGIN + timedelta(minutes=int(now)):%m/%d/%Y %I:%M:%S %p}"
        rows.append(f"{number}\tU{reader}\t{time}\t{past}\t{marked}\n")
    (folder / "behaviors.tsv").write_text("".join(rows))
    return folder
