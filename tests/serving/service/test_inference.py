"""The Open Inference Protocol: rows as JSON texts in, predictions as JSON texts out."""

import json

import pytest

ROWS = [{"user": "u1", "item": "i1"}, {"history": ["i2"], "item_text": "w1"}]


def infer(client, data, shape=None, **more):
    rows = {"name": "rows", "datatype": "BYTES", "shape": shape or [len(data)], "data": data}
    return client.post("/v2/models/interest/infer?run=one", json={"inputs": [rows], **more})


def test_predictions_are_those_of_predict(client):
    done = infer(client, [json.dumps(row) for row in ROWS], id="7", outputs=[{"name": "predictions"}])
    assert done.status_code == 200
    answer = done.json()
    (output,) = answer.pop("outputs")
    assert answer == {"model_name": "interest", "model_version": "one", "id": "7"}
    found = [json.loads(of) for of in output.pop("data")]
    assert output == {"name": "predictions", "datatype": "BYTES", "shape": [2]}
    expected = client.post("/v1/tasks/interest/predict?run=one", json={"rows": ROWS}).json()["predictions"]
    assert [of["score"] for of in found] == pytest.approx([of["score"] for of in expected], abs=1e-6)


def test_a_model_says_what_it_takes_and_gives(client):
    assert client.get("/v2/models/next").json() == {
        "name": "next",
        "versions": ["two"],
        "platform": "peftrec",
        "inputs": [{"name": "rows", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "predictions", "datatype": "BYTES", "shape": [-1]}],
    }
    assert client.get("/v2/models/next/ready?run=one").json() == {"name": "next", "ready": True}
    assert client.get("/v2/models/none").status_code == 404


@pytest.mark.parametrize(
    ("data", "shape", "code", "said"),
    [
        (["{}"], [2], 422, "inputs.0.shape: must be [1], as many as `data` has; found [2]"),
        (["[1]"], None, 422, "row 1: a row is a JSON object; found [1]"),
        (["{", "{}"], None, 400, "not JSON: Expecting property name"),
        ([json.dumps(ROWS[0]), '{"item": NaN}'], None, 400, "not JSON: NaN is no number of JSON's"),
        ([json.dumps(ROWS[0]), "{}"], None, 422, "row 2: give one of 'item' (an id of the catalogue) and 'item_text'"),
    ],
)
def test_what_is_no_row_is_told(client, data, shape, code, said):
    done = infer(client, data, shape)
    assert done.status_code == code
    assert done.json()["error"].startswith(said)
