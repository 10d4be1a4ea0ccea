"""ESCI, Amazon's Shopping Queries: products, and pairs of a query and a product with four grades.

Reddy et al. 2022, Shopping Queries Dataset (Apache-2.0). Reads the form that OpenSearch publishes for its search
relevance workbench: `esci_us_judgments.json` (grades 100 exact, 10 substitute, 1 complement, 0 irrelevant) and
`esci_us_products.jsonl.gz`.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

from peftrec.data.entry import make_items, make_queries
from peftrec.data.files import read_rows
from peftrec.data.rows import Rows
from peftrec.data.sources import source_file
from peftrec.data.tables import Tables
from peftrec.errors import UserError
from peftrec.machine.files import read_json
from peftrec.recipe import FileConfig, ItemsConfig, QueriesConfig

# What tells products apart comes first: the tokenizer cuts the end of long texts.
_FIELDS = ["title", "brand", "color", "bullet_points"]


def load(path: Path | None) -> Tables:
    """Items with the text 'title. brand. color. bullet points', queries with their grade. Raises UserError.

    `path` is the folder of the two files.
    """
    if path is None:
        raise UserError(
            "data.path: esci needs the folder of esci_us_judgments.json and esci_us_products.jsonl.gz (of the "
            "OpenSearch search relevance workbench)"
        )
    judged = source_file(path, "esci_us_judgments.json")
    products = read_rows(
        FileConfig(path=str(source_file(path, "esci_us_products.jsonl.gz", "esci_us_products.jsonl"))), "data"
    )
    columns = [products.strings(name).to_pylist() for name in _FIELDS]
    texts = [". ".join(part for part in parts if part) for parts in zip(*columns, strict=True)]
    described = Rows(products.file, pa.table({"asin": products.strings("asin"), "text": texts}))
    items = make_items(described, ItemsConfig(path=products.file, id="asin", text="{text}"))
    pairs = _pairs(judged, read_json(judged))
    config = QueriesConfig(path=str(judged), text="{query}", item="docId", label="rating")
    return Tables({"items": items, "queries": make_queries(Rows(str(judged), pairs), config, items)})


def _pairs(file: Path, content: Any) -> pa.Table:
    """The columns query, docId and rating of the judgments, one row a pair."""
    try:
        pairs = [
            (str(judged["query"]), str(rating["docId"]), str(rating["rating"]))
            for judged in content["judgmentRatings"]
            for rating in judged["ratings"]
        ]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{file}: must hold judgmentRatings, a list of {{query, ratings: [{{docId, rating}}]}}; {error} is missing"
        ) from None
    if not pairs:
        raise UserError(f"{file}: holds no judgments")
    return pa.table(dict(zip(("query", "docId", "rating"), map(list, zip(*pairs, strict=True)), strict=True)))
