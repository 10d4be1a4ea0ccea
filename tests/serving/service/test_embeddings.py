"""Embeddings in OpenAI's shape: the vectors that the task's adapter makes of texts."""

import base64

import numpy as np
import pytest

from peftrec.serving.predictor import Predictor


@pytest.fixture(scope="module")
def alone(runs):
    return Predictor.load(runs / "one")


def test_a_vector_a_text_as_the_task_s_adapter_makes_them(client, alone):
    texts = ["w1 w2", "w3", "w1 w2"]
    answer = client.post("/v1/embeddings", json={"model": "query", "input": texts}).json()
    vectors, tokens = alone.embed("query", texts)
    assert (answer["object"], answer["model"]) == ("list", "query")
    assert [(of["object"], of["index"]) for of in answer["data"]] == [("embedding", n) for n in range(3)]
    found = np.array([of["embedding"] for of in answer["data"]])
    assert np.abs(found - vectors).max() < 1e-6
    assert answer["usage"] == {"prompt_tokens": tokens.sum(), "total_tokens": tokens.sum()}
    assert tokens.tolist() == [4, 3, 4]
    other = client.post("/v1/embeddings", json={"model": "interest", "input": "w1 w2"}).json()
    assert np.abs(np.array(other["data"][0]["embedding"]) - vectors[0]).max() > 1e-3


def test_base64_is_what_openai_s_client_asks_for(client):
    asked = {"model": "query", "input": "w1 w2", "user": "somebody"}
    plain = client.post("/v1/embeddings", json=asked).json()["data"][0]["embedding"]
    packed = client.post("/v1/embeddings", json={**asked, "encoding_format": "base64"}).json()["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(packed), "<f4") == pytest.approx(plain)


def test_items_texts_are_passages(client, service, monkeypatch):
    predictor, asked = service.registry.find("query").predictor, []
    kept = predictor.embed
    monkeypatch.setattr(predictor, "embed", lambda *given: asked.append(given) or kept(*given))
    for more in ({}, {"input_type": "query"}, {"input_type": "passage"}):
        assert client.post("/v1/embeddings", json={"model": "query", "input": "w1", **more}).status_code == 200
    assert asked == [("query", ["w1"], False), ("query", ["w1"], False), ("query", ["w1"], True)]


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"model": "none", "input": "x"}, 404, "no task 'none'; known: interest, next, query, time"),
        ({"model": "query", "input": ["w1", " "]}, 422, "row 2: 'text' must be a text that is not empty; found ' '"),
        ({"model": "query", "input": "w" * 20_001}, 413, "a text has at most 20,000 letters; found 20,001"),
        ({"model": "query", "input": "x", "encoding_format": "int8"}, 422, "encoding_format: Input should be 'float'"),
    ],
)
def test_what_cannot_be_embedded_is_told(client, body, code, said):
    done = client.post("/v1/embeddings", json=body)
    assert done.status_code == code
    assert done.json()["error"].startswith(said)
