"""`POST /v1/embeddings`: texts as vectors, in the shape of OpenAI's, where the model is a task."""

import base64
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from peftrec.serving.predictor import Predictor
from peftrec.serving.service.asking import OfRun, ask, find, plain
from peftrec.serving.service.bodies import asking_router

router = asking_router("asking")


class Texts(BaseModel):
    """Texts, and the task whose adapter reads them. `user` is OpenAI's, and is not read."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="the task", examples=["query"])
    input: str | Annotated[list[str], Field(min_length=1)] = Field(examples=[["space adventure", "romance"]])
    encoding_format: Literal["float", "base64"] = Field("float", description="base64: float32, little-endian")
    input_type: Literal["query", "passage"] = Field("query", description="passage: texts are items', else any other")
    user: str | None = None


class Embedding(BaseModel):
    """A text's vector."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """How many tokens were read."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(BaseModel):
    """A vector a text, in order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


@router.post("/v1/embeddings", response_model=Embeddings)
async def embeddings(request: Request, body: Texts, run: OfRun = None) -> Response:
    """What the task's adapter makes of texts."""
    served = find(request, body.model, run)
    texts = [body.input] if isinstance(body.input, str) else body.input
    call = partial(_embed, served.predictor, body.model, body.input_type == "passage")
    found = await ask(request, (served.predictor, "embed", body.model, body.input_type), texts, call)
    data = [
        {"object": "embedding", "index": n, "embedding": _written(vector, body.encoding_format)}
        for n, (vector, _) in enumerate(found)
    ]
    tokens = sum(of for _, of in found)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return plain({"object": "list", "data": data, "model": body.model, "usage": usage})


def _embed(predictor: Predictor, task: str, passages: bool, texts: list[str]) -> list[tuple[np.ndarray, int]]:
    vectors, tokens = predictor.embed(task, texts, passages)
    return list(zip(vectors, tokens.tolist(), strict=True))


def _written(vector: np.ndarray, form: str) -> Any:
    return vector.tolist() if form == "float" else base64.b64encode(vector.astype("<f4").tobytes()).decode()
