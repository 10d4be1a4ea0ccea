"""A recipe's table as the baselines read it: by pandas alone, without the code that the training reads it by."""

import csv
from pathlib import Path

import pandas as pd

from peftrec.recipe import EventsConfig, FileConfig, QueriesConfig, TextsConfig
from peftrec.recipe.tables import TableConfig


def frame_of(table: TableConfig) -> pd.DataFrame:
    """Its rows with the columns that `benchmarks.card.baselines` knows, in the file's order.

    events   user, item, time in seconds where there is one, and the columns that tasks use
    queries  query, item
    texts    text, and all columns of the file
    others   item and text, each id once: a catalogue
    """
    found = _rows(table)
    if isinstance(table, EventsConfig):
        times = {} if table.time is None else {"time": _seconds(found[table.time])}
        numbers = {name: pd.to_numeric(found[name]) for name in table.columns}
        return pd.DataFrame({"user": found[table.user], "item": found[table.item], **times, **numbers})
    template = table.text or ""
    text = [template.format(**row) for row in found.to_dict("records")]
    if isinstance(table, QueriesConfig):
        return pd.DataFrame({"query": text, "item": found[table.item]})
    if isinstance(table, TextsConfig):
        return found.assign(text=text)
    return pd.DataFrame({"item": found[table.id], "text": text}).drop_duplicates("item", ignore_index=True)


def _rows(table: FileConfig) -> pd.DataFrame:
    """The whole file; of delimited ones every field as text."""
    file, separator = Path(table.path), table.separator or ","
    if file.suffix == ".parquet":
        return pd.read_parquet(file)
    if file.suffix == ".jsonl":
        return pd.read_json(file, lines=True, dtype=False)
    return pd.read_csv(
        file,
        sep=separator,
        header=0 if table.header else None,
        names=table.names,
        encoding=table.encoding,
        dtype=str,
        keep_default_na=False,
        quoting=csv.QUOTE_MINIMAL if separator == "," else csv.QUOTE_NONE,
        engine="python" if len(separator) > 1 else "c",
    )


def _seconds(times: "pd.Series[object]") -> "pd.Series[float]":
    """Seconds since 1970."""
    if pd.api.types.is_datetime64_any_dtype(times):
        return (times - pd.Timestamp(0)) / pd.Timedelta(seconds=1)
    return pd.to_numeric(times).astype(float)
