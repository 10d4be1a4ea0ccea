"""`POST /v1/tasks/{task}/recommend`: the best of a catalogue; `POST /v1/rank`: items by several tasks together."""

from functools import partial
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from peftrec.errors import RowError, UserError, shown
from peftrec.machine.files import to_json
from peftrec.serving.service.asking import OfRun, ask, find, plain, service_of, took
from peftrec.serving.service.bodies import asking_router
from peftrec.serving.service.registry import Served
from peftrec.serving.wanted import Options
from peftrec.tasks.rows import Row

router = asking_router("asking")
MOST = 10_000  # items that are named at most


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    user: str | int | None = Field(None, description="a user of the run, or of whom feedback told", examples=["42"])
    history: list[Any] | None = Field(None, description="instead of it: items or events, oldest first; [] is new")
    query: str | None = Field(None, max_length=20_000, description="what is searched for")
    user_features: dict[str, Any] | None = Field(None, description="of a new user")
    features: dict[str, Any] | None = Field(None, description="of the event to come")
    k: int = Field(10, ge=1, le=MOST, description="how many items")
    candidates: list[str | int] | None = Field(None, description="the only items that may be named")
    exclude: list[str | int] | None = Field(None, description="items that are not named")
    where: str | None = Field(None, description="a filter on features of items", examples=["price < 20"])
    include_seen: bool | None = Field(None, description="whether items of the history may be named")
    diversity: float | None = Field(None, ge=0, le=1, description="how unlike each other the items shall be")

    def asks(self) -> Row:
        """Who or what asks."""
        keys = ("user", "history", "query", "user_features", "features")
        return {key: value for key in keys if (value := getattr(self, key)) is not None}

    def row(self) -> Row:
        """The same with which items may be named to it."""
        own = {"candidates": self.candidates, "exclude": self.exclude}
        return self.asks() | {key: value for key, value in own.items() if value is not None}

    def options(self) -> Options:
        """What requests that are answered together have in common."""
        return {"where": self.where, "include_seen": self.include_seen, "diversity": self.diversity}


class Recommend(_Asked):
    """Who or what asks, and what may be named to it."""


class Item(BaseModel):
    """An item of the catalogue."""

    item: str = Field(examples=["50"])
    score: float = Field(examples=[0.93])
    text: str = Field(examples=["Star Wars (1977)"])


class Recommended(BaseModel):
    """The best items, best first."""

    task: str
    run: str
    items: list[Item]
    took_ms: float


class Rank(_Asked):
    """Who or what asks, the items if they are given, and what each task and each number of the items counts."""

    items: list[str | int | dict[str, Any]] | None = Field(
        None,
        max_length=MOST,
        description="ids, or new items with `item_text` and `item_features`; absent: the best k of the catalogue",
        examples=[["50", {"item_text": "A new space film (1999)"}]],
    )
    weights: dict[str, float] = Field(min_length=1, max_length=100, examples=[{"interest": 1.0, "query": 0.5}])
    explain: bool = Field(False, description="whether `scores` says what each task and feature gave")


class RankedItem(BaseModel):
    """An item by its id, or a new one by its place in the request, and its score."""

    item: str | None = Field(None, description="absent for a new item", examples=["50"])
    place: int | None = Field(None, description="of the request's items, from 0, where they were given")
    text: str | None = None
    score: float
    scores: dict[str, float | None] | None = Field(None, description="by task and feature, before they are weighed")


class Ranked(BaseModel):
    """The items, best first."""

    run: str
    items: list[RankedItem]
    took_ms: float


@router.post("/v1/tasks/{task}/recommend", response_model=Recommended)
async def recommend(request: Request, task: str, body: Recommend, run: OfRun = None) -> Response:
    """The k best items of the catalogue for a user, a history or a query, best first."""
    served, options = find(request, task, run), body.options()
    key = (served.predictor, "recommend", task, body.k, to_json(options))
    call = partial(served.predictor.recommend_all, task, k=body.k, **options)
    (items,) = await _of_one(request, key, [body.row()], call)
    return plain({"task": task, "run": served.name, "items": items, "took_ms": took(request)})


@router.post("/v1/rank", response_model=Ranked, response_model_exclude_none=True)
async def rank(request: Request, body: Rank, run: OfRun = None) -> Response:
    """Items by the weighed sum of what several tasks say and of numbers of the items, best first.

    The given ones, each of which is named; or the best of the catalogue, which `candidates`, `where` and such narrow.
    """
    served = _with_all(request, list(body.weights), run)
    asked = (served.predictor, "rank", to_json(body.weights, indent=None))
    if body.items is None:
        options = body.options()
        call = partial(served.predictor.rank, body.weights, k=body.k, **options)
        (items,) = await _of_one(request, (*asked, body.k, to_json(options)), [body.row()], call)
    else:
        rows = [_with_item(body, item) for item in body.items]
        scored = await ask(request, asked, rows, partial(served.predictor.score, body.weights))
        items = sorted(({**_named(rows[n], n), **of} for n, of in enumerate(scored)), key=lambda of: -of["score"])
    if not body.explain:
        items = [{key: value for key, value in item.items() if key != "scores"} for item in items]
    return plain({"run": served.name, "items": items, "took_ms": took(request)})


def _with_all(request: Request, names: list[str], run: str | None) -> Served:
    """The run that answers for all of the names that are tasks: the one named, else the last loaded that has them.

    Raises Refusal, as `find` of each of them.
    """
    runs = list(reversed(service_of(request).registry.runs.values()))
    tasks = [name for name in names if any(name in of.predictor.tasks for of in runs)] or names[:1]
    with_all = (of.name for of in runs if set(tasks) <= set(of.predictor.tasks))
    served = find(request, tasks[0], run or next(with_all, None))
    for task in tasks[1:]:
        if task in served.predictor.tasks:
            find(request, task, served.name)
    return served


async def _of_one(request: Request, key: Any, rows: list[Row], call: Any) -> list[Any]:
    """What is answered to the one row of a request, of which mistakes need not name a row."""
    try:
        return await ask(request, key, rows, call)
    except RowError as error:
        raise UserError(error.problem) from None


def _with_item(body: Rank, item: str | int | Row) -> Row:
    """A row that asks about one of the items given."""
    narrowed = {**body.options(), "candidates": body.candidates, "exclude": body.exclude}
    if given := [key for key, value in narrowed.items() if value is not None]:
        raise UserError(f"{given[0]}: narrows the catalogue; with `items` given leave it out")
    named = item if isinstance(item, dict) else {"item": item}
    for key in named:
        if key not in ("item", "item_text", "item_features"):
            raise UserError(f"items: an item has `item`, or `item_text` and `item_features`; found {shown(key)}")
    return body.asks() | named


def _named(row: Row, place: int) -> Row:
    return ({"item": str(row["item"])} if "item" in row else {}) | {"place": place}
