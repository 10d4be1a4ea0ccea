"""The Open Inference Protocol (KServe's V2) over rows as JSON texts: a model is a task, its version a run."""

import json
from typing import Any, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from peftrec.errors import RowError, UserError
from peftrec.machine.files import to_json
from peftrec.serving.service.asking import OfRun, find, plain, service_of
from peftrec.serving.service.bodies import asking_router, strict_json
from peftrec.serving.service.predicting import predicted

router = asking_router("open inference protocol")


class Tensor(BaseModel):
    """A tensor's name and type."""

    name: str
    datatype: str
    shape: list[int]


class Model(BaseModel):
    """A task and the run that answers for it."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class ReadyModel(BaseModel):
    """Whether the task is answered for."""

    name: str
    ready: bool


class RowsTensor(BaseModel):
    """The one input: a row a JSON text."""

    model_config = ConfigDict(extra="forbid")

    name: Literal["rows"] = "rows"
    datatype: Literal["BYTES"] = "BYTES"
    shape: list[int] = Field(min_length=1, max_length=1, examples=[[1]])
    data: list[str] = Field(examples=[['{"history": ["50", "172"], "item": "181"}']])
    parameters: dict[str, Any] | None = None


class Infer(BaseModel):
    """Rows to predict."""

    model_config = ConfigDict(extra="ignore")  # `parameters` and `outputs`, which clients send

    id: str | None = Field(None, max_length=100)
    inputs: list[RowsTensor] = Field(min_length=1, max_length=1)


class PredictionsTensor(BaseModel):
    """A prediction a JSON text."""

    name: Literal["predictions"]
    datatype: Literal["BYTES"]
    shape: list[int]
    data: list[str]


class Inferred(BaseModel):
    """Predictions of the rows, in order."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[PredictionsTensor]


@router.get("/v2/models/{task}", response_model=Model)
async def model(request: Request, task: str, run: OfRun = None) -> Response:
    """What the task takes and gives."""
    served = find(request, task, run)
    tensors = {"inputs": "rows", "outputs": "predictions"}
    described = {key: [{"name": name, "datatype": "BYTES", "shape": [-1]}] for key, name in tensors.items()}
    return plain({"name": task, "versions": [served.name], "platform": "peftrec", **described})


@router.get("/v2/models/{task}/ready", response_model=ReadyModel)
async def model_ready(request: Request, task: str, run: OfRun = None) -> Response:
    """Whether the task is answered for."""
    find(request, task, run)
    return plain({"name": task, "ready": service_of(request).unready is None})


@router.post("/v2/models/{task}/infer", response_model=Inferred, response_model_exclude_none=True)
async def infer(request: Request, task: str, body: Infer, run: OfRun = None) -> Response:
    """One prediction a row, as `POST /v1/tasks/{task}/predict`."""
    served, rows = find(request, task, run), body.inputs[0]
    if rows.shape != [len(rows.data)]:
        raise UserError(f"inputs.0.shape: must be [{len(rows.data)}], as many as `data` has; found {rows.shape[:9]}")
    given = [_row(number, text) for number, text in enumerate(rows.data, 1)]
    predictions = await predicted(request, served, task, given)
    data = [to_json(of, indent=None) for of in predictions]
    outputs = [{"name": "predictions", "datatype": "BYTES", "shape": [len(data)], "data": data}]
    own = {} if body.id is None else {"id": body.id}
    return plain({"model_name": task, "model_version": served.name, **own, "outputs": outputs})


def _row(number: int, text: str) -> dict[str, Any]:
    row = strict_json(text)
    if not isinstance(row, dict):
        raise RowError(number, f"a row is a JSON object; found {json.dumps(row)[:60]}")
    return row
