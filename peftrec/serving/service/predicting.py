"""`POST /v1/tasks/{task}/predict`: rows in, one prediction each out."""

from typing import Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from peftrec.serving.service.asking import OfRun, ask, find, plain, service_of, took
from peftrec.serving.service.bodies import asking_router
from peftrec.serving.service.registry import Served

router = asking_router("asking")


class Rows(BaseModel):
    """Rows to predict; `GET /v1/tasks` says what those of a task hold."""

    model_config = ConfigDict(extra="forbid")

    rows: list[dict[str, Any]] = Field(
        description="one prediction each, in this order",
        examples=[[{"history": ["50", "172"], "item": "181"}]],
    )


class Predictions(BaseModel):
    """What was asked, and a prediction a row."""

    task: str = Field(examples=["interest"])
    run: str = Field(description="the run that answered", examples=["movielens-100k-1"])
    predictions: list[dict[str, Any]] = Field(examples=[[{"score": 0.61}]])
    took_ms: float = Field(examples=[12.5])


@router.post("/v1/tasks/{task}/predict", response_model=Predictions)
async def predict(request: Request, task: str, body: Rows, run: OfRun = None) -> Response:
    """One prediction a row, as `Predictor.predict` gives them."""
    served = find(request, task, run)
    predictions = await predicted(request, served, task, body.rows)
    return plain({"task": task, "run": served.name, "predictions": predictions, "took_ms": took(request)})


async def predicted(request: Request, served: Served, task: str, rows: list[Any]) -> list[Any]:
    """What a run predicts for rows, computed with those of all its tasks that encode texts as this one does."""
    key = (served.predictor, "predict", served.predictor.alike(task))
    found = await ask(request, key, [(task, row) for row in rows], served.predictor.predict_mixed)
    service_of(request).seen.predicted(served.name, task, found)
    return found
