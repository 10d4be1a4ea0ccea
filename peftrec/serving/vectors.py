"""A task's items and users as vectors, for people who have a vector store.

items.parquet   id, text, vector: the catalogue, in its order
items.faiss     the same vectors for FAISS' inner products; an item's number is its row in items.parquet
users.parquet   id, vector: the users that the run knows, after all they did; where the task reads users and no queries
README.md       what they are, and what `recommend` knows beside their products
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from peftrec.data.signals import SHARED, SIGNALS
from peftrec.machine.files import new_folder, partial, refuse_existing
from peftrec.runs.folder import digest_run
from peftrec.runs.templates import templates
from peftrec.serving.best import best
from peftrec.serving.index import import_faiss
from peftrec.serving.predictor import Predictor
from peftrec.serving.wanted import PAIRS
from peftrec.tasks.heads import CatalogueHead
from peftrec.tasks.rows import Row

SAMPLE = 200  # rows by which products are compared with what `recommend` says
FIRST, MORE = 10, 100  # items that it names of each, and among how many by the product they are looked for
ROUNDING = 1e-4  # of a score: what differs by less is the same sum in another order


@dataclass(frozen=True)
class Compared:
    """What `recommend` says beside the products of vectors, of a sample of rows.

    rows    how many
    agree   the mean share of the first items of `recommend` that are among as many first by the product, and
    within  among MORE of them
    added   what is added to the products of these items, in the mean of its size, of scores that differ
    spread  by so much from the first to the last of them, in the mean
    """

    rows: int
    agree: float
    within: float
    added: float
    spread: float


def export_vectors(run: Path, task: str, output: Path, cache: bool = True, trust_code: bool = False) -> Path:
    """Write a task's vectors into the new folder `output`.

    Raises UserError where it exists, faiss is not installed, the run is damaged, or its task scores otherwise.
    """
    refuse_existing(output)
    import_faiss("export --format vectors")
    predictor = Predictor.load(run, cache=cache, trust_code=trust_code)
    predictor.item_vectors(task)  # what cannot be exported is refused before anything is made
    with new_folder(output, partial(output)) as temporary:
        write_vectors(predictor, task, temporary)
        (temporary / "README.md").write_text(_card(predictor, task, run), encoding="utf-8")
    return output


def write_vectors(predictor: Predictor, task: str, folder: Path) -> None:
    """Write the files but the README into a folder."""
    faiss, items, vectors = import_faiss("export"), predictor.run.items_of(task), predictor.item_vectors(task)
    texts = [predictor.texts.texts[row] for row in items.rows]
    _write(folder / "items.parquet", vectors, id=items.ids, text=texts)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors))
    faiss.write_index(index, str(folder / "items.faiss"))
    if users := _users(predictor, task):
        _write(folder / "users.parquet", predictor.query_vectors(task, [{"user": user} for user in users]), id=users)


def compare(predictor: Predictor, task: str) -> Compared:
    """How far the products are from what `recommend` says: for some users; or, where queries are asked, for the texts
    of some items."""
    users, items = _users(predictor, task), predictor.run.items_of(task)
    whole: list[Row] = [{"user": user} for user in users]
    if not users:
        whole = [_query(predictor, task, predictor.texts.texts[row]) for row in items.rows]
    count = min(SAMPLE, len(whole))
    rows = [whole[place] for place in np.arange(count) * len(whole) // max(1, count)]
    agree, within, added, spread = [], [], [], []
    at_once = max(1, PAIRS // max(1, len(items)))
    for first in range(0, count, at_once):
        for scores, products in zip(*_scored(predictor, task, rows[first : first + at_once]), strict=True):
            ranked, near = best(scores, FIRST), best(products, MORE)
            if len(ranked):  # nothing is left for a user who had every item
                agree.append(np.isin(ranked, near[:FIRST]).mean())
                within.append(np.isin(ranked, near).mean())
                added.append(np.abs(scores[ranked] - products[ranked]).mean())
                spread.append(scores[ranked[0]] - scores[ranked[-1]])
    return Compared(count, *(float(np.mean(of)) if of else 0.0 for of in (agree, within, added, spread)))


def _scored(predictor: Predictor, task: str, rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """What `recommend` ranks the catalogue by for each row, and the products alone, float32 (N, I) each; -inf for items
    that it leaves out."""
    scoring, described = predictor.recommender.scoring, predictor.run.described[task]
    items = predictor.item_vectors(task)
    with predictor.model.encoder.backbone.lock:
        examples = predictor.recommender.examples(task, rows)
        products = scoring.asked(task, examples) @ items.T
        scores = scoring.scores(task, examples, np.ones(products.shape, bool))
    if described["history"] and not described["repeats"]:
        row, item = examples.met()
        row, item = row[item >= 0], item[item >= 0]
        scores[row, item] = products[row, item] = -np.inf
    return scores, products


def _users(predictor: Predictor, task: str) -> list[str]:
    """The users whose vector says all that they ask for."""
    return [] if "query" in predictor.keys(task) else predictor.users(task)


def _query(predictor: Predictor, task: str, text: str) -> Row:
    """A query of somebody new."""
    return {"query": text} | ({"history": []} if predictor.run.described[task]["history"] else {})


def _write(file: Path, vectors: np.ndarray, **columns: list[str]) -> None:
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), vectors.shape[1])
    pq.write_table(pa.table({**columns, "vector": fixed}), file)


def _card(predictor: Predictor, task: str, run: Path) -> str:
    found, (items, width) = compare(predictor, task), predictor.item_vectors(task).shape
    described, users = predictor.run.described[task], _users(predictor, task)
    made = templates("peftrec.runs", escape=False)
    made.filters |= {"count": "{:,}".format}
    return made.get_template("card_vectors.md").render(
        task=predictor.run.tasks[task],
        run=run.resolve().name,
        digest=digest_run(run),
        backbone=predictor.run.recipe.backbone.name,
        items=items,
        width=width,
        users=len(users),
        popular=predictor.run.catalogues[task].items is not None,
        fused=predictor.model.fusion.part_of(task) is not None,
        beside=_beside(predictor, task),
        found=found,
        first=min(FIRST, items),
        more=min(MORE, items),
        whole=found.added <= ROUNDING * max(1.0, found.spread),
        filtered=described["history"] and not described["repeats"],
        example={"user": users[0]} if users else _query(predictor, task, "some words"),
    )


def _beside(predictor: Predictor, task: str) -> list[str]:
    """What a row's own past or words add to the products, as the run has it."""
    head = predictor.model.head(task)
    if isinstance(head, CatalogueHead) and head.signals is not None:
        weights = zip(SIGNALS[SHARED:], head.signals.tolist()[SHARED:], strict=True)
        return [f"{weight:.3g} * `{name}`" for name, weight in weights if weight]
    start = predictor.run.starts.get(task)
    return [] if start is None else [f"the start `{start.name}`, but for its cosine"]
