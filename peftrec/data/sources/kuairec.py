"""KuaiRec, and logs of short videos in its form: who watched what for how long, and the videos' captions.

Gao et al. 2022, KuaiRec: A Fully-observed Dataset (arXiv:2202.10842). Reads from the folder

big_matrix.csv                  user_id, video_id, timestamp, and of the numbers watch_ratio, play_duration and
                                video_duration (milliseconds) those that it has
kuairec_caption_category.csv    video_id, caption, topic_tag, and the names of categories; or else
item_categories.csv             video_id, feat: numbers of categories, which say little to a language model

A video's text is what the columns say, joined by '. '.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from peftrec.data.entry import make_events
from peftrec.data.files import read_rows
from peftrec.data.rows import Rows
from peftrec.data.sources import source_file
from peftrec.data.sources.common import described_items, of_known_items, text_of_columns
from peftrec.data.tables import Items, Tables
from peftrec.errors import UserError
from peftrec.recipe import EventsConfig, FileConfig

_WORDS = ("caption", "topic_tag", *(f"{level}_level_category_name" for level in ("first", "second", "third")))
_NUMBERS = ("watch_ratio", "play_duration", "video_duration")


def load(path: Path | None) -> Tables:
    """Items; events with the numbers of the log, such as watch_ratio. `path` is the folder. Raises UserError."""
    if path is None:
        raise UserError("data.path: kuairec needs the folder of big_matrix.csv and kuairec_caption_category.csv")
    log = _read(source_file(path, "big_matrix.csv"), ["user_id", "video_id", "timestamp", *_NUMBERS])
    items = _videos(_read(source_file(path, "kuairec_caption_category.csv", "item_categories.csv"), None))
    log, notes = of_known_items(log, "video_id", items)
    timed = ~np.isnan(log.numbers("timestamp", missing=True))
    if not timed.all():
        notes.append(f"{log.file}: {int((~timed).sum()):,} of {len(log):,} rows have no timestamp, and are left out")
        log = replace(log, table=log.table.filter(pa.array(timed)))
    columns = [name for name in _NUMBERS if name in log.names]
    config = EventsConfig(path="", user="user_id", item="video_id", time="timestamp", columns=columns)
    events = make_events(log, config, items)
    return Tables({"items": items, "events": events}, [*items.notes, *notes, *events.notes])


def _read(file: Path, columns: list[str] | None) -> Rows:
    return read_rows(FileConfig(path=str(file)), "data", columns)


def _videos(rows: Rows) -> Items:
    if "feat" in rows.names:
        texts = [
            f"category {text.strip('[] ')}" if text.strip("[] ") else "" for text in rows.strings("feat").to_pylist()
        ]
    else:
        texts = text_of_columns(rows, [name for name in _WORDS if name in rows.names], absent="UNKNOWN")
    return described_items(rows, "video_id", texts)
