"""Inference from a run folder: swapping, cold users, unseen texts, wrong rows, plain PEFT."""

import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from shop import HISTORY, MINILM
from tiny import THREE, make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.machine.files import write_manifest
from peftrec.model.backbone import locate
from peftrec.serving.predictor import Predictor
from peftrec.training.loop import train

SHARINGS = ["shared+private", "shared", "private"]


def rows_of(task):
    if task == "query":
        return [
            {"query": "a horror film", "item": "i2"},
            {"query": "cooking", "item_text": "The cooking film number 99"},
        ]
    rows = [
        {"user": "u1", "item": "i3"},
        {"history": [], "item": "i3"},
        {"history": HISTORY, "item_text": "A new film"},
    ]
    return [{**row, "time": 1_700_000_000} for row in rows]


def test_every_task_predicts_and_the_order_of_tasks_changes_nothing(predictor):
    tasks = ["query", "interest", "time"]
    first = {task: predictor.predict(task, rows_of(task)) for task in tasks}
    again = {task: predictor.predict(task, rows_of(task)) for task in reversed(tasks)}
    assert again == first
    assert [set(row) for row in first["query"]] == [{"score", "grade", "probabilities"}] * 2
    assert all(0 < row["score"] < 1 for row in first["interest"])
    assert all(row["seconds"] == pytest.approx(np.expm1(row["value"])) for row in first["time"])


@pytest.mark.parametrize("task", ["query", "interest", "time"])
def test_a_row_alone_and_in_a_batch_is_the_same(predictor, task):
    rows = rows_of(task)
    together = predictor.predict(task, rows)
    for row, expected in zip(rows, together, strict=True):
        alone = predictor.predict(task, [row])[0]
        for key, value in expected.items():
            assert alone[key] == (pytest.approx(value, abs=1e-5, rel=1e-5) if isinstance(value, float) else alone[key])


def test_recommend_ranks_the_catalogue_without_what_was_seen(predictor):
    best = predictor.recommend("interest", user="u3", k=30)
    log = predictor.run.logs["interest"].log
    number = predictor.run.logs["interest"].user_ids.index("u3")
    seen = {predictor.run.items["items"].ids[i] for i in log.items[slice(*log.user_start[number : number + 2])]}
    assert len(best) == 30 - len(seen) == 18
    assert not seen & {row["item"] for row in best}
    scores = [row["score"] for row in best]
    assert scores == sorted(scores, reverse=True)
    one = predictor.predict("interest", [{"user": "u3", "item": best[0]["item"]}])[0]["score"]
    assert best[0]["score"] == pytest.approx(one, abs=1e-5)


def test_recommend_for_a_cold_user_and_by_query(predictor):
    assert len(predictor.recommend("interest", history=[], k=5)) == 5
    assert len(predictor.recommend("interest", history=["i1", "i6"], k=50)) == 28
    assert len(predictor.recommend("query", query="horror", k=3)) == 3


def test_given_items_are_scored_as_the_catalogue_is_ranked(featured):
    weights = {"cheap": 2.0, "query": -0.5, "next": 0.25, "price": -0.01}
    asks = {"history": ["i7"], "query": "w1 w2"}
    (ranked,) = featured.rank(weights, [asks], 600)
    items = ["i3", "i9", "i43", "i100"]  # of which the first and the third have no price
    found = featured.score(weights, [{**asks, "item": item} for item in items])
    by_item = {of["item"]: of for of in ranked}
    for item, of in zip(items, found, strict=True):
        assert of["score"] == pytest.approx(by_item[item]["score"], abs=1e-4)
        assert list(of["scores"]) == list(weights)
        assert of["scores"] == pytest.approx(by_item[item]["scores"], abs=1e-4)
    assert found[0]["scores"]["price"] is None and found[1]["scores"]["price"] > 0


def test_new_items_are_scored_by_what_they_bring(featured):
    new = {"item_text": "w5 w6", "item_features": {"price": 3.5, "brand": "acme"}}
    priced, unpriced = featured.score(
        {"cheap": 1.0, "price": 0.5}, [{"history": [], **new}, {"history": [], "item_text": "w5 w6"}]
    )
    (cheap,) = featured.predict("cheap", [{"history": [], **new}])
    assert priced["scores"] == {"cheap": pytest.approx(cheap["score"], abs=1e-6), "price": 3.5}
    assert priced["score"] == pytest.approx(cheap["score"] + 0.5 * 3.5, abs=1e-6)
    mean = np.nanmean(featured.run.items["items"].features.numbers["price"].astype(float))
    assert unpriced["scores"]["price"] is None
    assert unpriced["score"] == pytest.approx(unpriced["scores"]["cheap"] + 0.5 * mean, abs=1e-4)


def test_joint_pairs_that_rank_no_catalogue_score_given_items(featured):
    rows = [{"query": "w1", "item": "i1"}, {"query": "w1", "item_text": "w2"}]
    found = featured.score({"joint": 2.0}, rows)
    expected = [2 * of["score"] for of in featured.predict("joint", rows)]
    assert [of["score"] for of in found] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("weights", "row", "said"),
    [
        ({}, {"item": "i1"}, "weights: name a task at least"),
        ({"cheap": "x"}, {"item": "i1"}, "weights must be a dict of tasks and features, and what each counts"),
        ({"cheap": 1, "size": 1}, {"item": "i1"}, "weights: 'size' is no task and no number of the items"),
        ({"cheap": 1, "brand": 1}, {"item": "i1"}, "weights: 'brand' is a category"),
        (
            {"cheap": 1},
            {"item": "i1", "history": [], "query": "x"},
            "row 2: 'query' is no key of cheap; did you mean 'user'?",
        ),
        ({"cheap": 1, "query": 1}, {"item": "i1", "history": []}, "row 2: 'query' must be a text that is not empty"),
    ],
)
def test_what_cannot_be_scored_is_told(featured, weights, row, said):
    good = {"item": "i1", "history": [], **({"query": "x"} if "query" in weights else {})}
    with pytest.raises(UserError, match=re.escape(said)):
        featured.score(weights, [good, row])


def test_texts_are_embedded_as_the_task_s_head_reads_them(predictor):
    texts = ["a horror film", "cooking", "a horror film"]
    vectors, tokens = predictor.embed("query", texts)
    assert vectors.shape == (3, 384) and vectors.dtype == np.float32
    assert (vectors[0] == vectors[2]).all() and tokens.tolist() == [5, 3, 5]
    assert predictor.embed("query", texts[1:2])[0][0] == pytest.approx(vectors[1], abs=1e-5)
    items = predictor.run.items["items"]
    own = predictor.texts.texts[items.rows[3]]
    (read,) = predictor.recommender.scoring.vectors("query", np.array([3]))
    assert predictor.embed("query", [own], passages=True)[0][0] == pytest.approx(read, abs=1e-5)
    assert (predictor.embed("interest", texts)[0] != vectors).any()  # two quick epochs moved it little
    assert predictor.embed("query", [])[0].shape == (0, 384)
    for wrong, said in ((["x", ""], "row 2: 'text' must be a text that is not empty"), ("x", "texts must be a list")):
        with pytest.raises(UserError, match=said):
            predictor.embed("query", wrong)


def test_each_task_says_what_a_row_holds_and_gives_one(predictor):
    assert predictor.keys("query") == ["query", "item", "item_text"]
    assert predictor.example("query") == {"query": "some words", "item": "i0"}
    assert predictor.example("interest") == {"item": "i0", "history": ["i1", "i2"]}
    timed = [{"item": "i1", "time": "2025-12-31"}, {"item": "i2", "time": "2025-12-31"}]
    assert predictor.example("time") == {"item": "i0", "history": timed, "time": "2026-01-01"}
    for task in predictor.tasks:
        assert len(predictor.predict(task, [predictor.example(task)])) == 1
    assert [predictor.ranks(task) for task in ("query", "interest", "time")] == [True, True, False]
    assert predictor.has_item("i29") and not predictor.has_item("i30")
    for ask in (predictor.keys, predictor.example, predictor.ranks):
        with pytest.raises(UserError, match="no task 'none' in this run"):
            ask("none")


def test_what_ranks_no_items_is_refused(predictor):
    with pytest.raises(UserError, match="is of kind next-gap, which ranks no items; tasks that do: query, interest"):
        predictor.recommend("time", user="u1")


@pytest.mark.parametrize("k", [0, -1, 2.5, "3", True, None])
def test_k_is_a_whole_number_from_1(predictor, k):
    with pytest.raises(UserError, match=re.escape(f"k must be a whole number, 1 or more; found {k!r}")):
        predictor.recommend("interest", user="u1", k=k)


def test_fewer_items_than_asked_for_are_told(predictor, notes):
    assert len(predictor.recommend("interest", history=["i1", "i6"], k=28)) == 28
    assert notes.readouterr().err == ""
    assert len(predictor.recommend("interest", history=["i1", "i6"], k=5_000)) == 28
    told = "28 items instead of 5,000: the catalogue has 30, of which 2 are in the history\n"
    assert notes.readouterr().err == told


def test_no_rows_no_predictions_and_no_warnings(predictor):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert predictor.predict("interest", []) == []


def test_a_damaged_or_foreign_run_is_refused(shop_run, tmp_path):
    import shutil

    damaged = tmp_path / "damaged"
    shutil.copytree(shop_run, damaged)
    file = damaged / "heads/interest.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"heads/interest.safetensors: expected SHA-256"):
        Predictor.load(damaged)


def test_another_backbone_is_refused(shop_run, tmp_path):
    from safetensors.torch import load_file, save_file

    source, _ = locate(MINILM)
    import shutil

    shutil.copytree(source, tmp_path / "other")
    weights = load_file(tmp_path / "other/model.safetensors")
    weights["encoder.layer.0.attention.self.query.bias"] += 1
    save_file(weights, tmp_path / "other/model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="trained on a backbone with digest"):
        Predictor.load(shop_run, backbone=str(tmp_path / "other"))


PLAIN_PEFT = """
import gc
gc.disable()  # what is imported is no garbage
import sys, torch
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModel
backbone, out, *runs = sys.argv[1:]
states = {}
for run in runs:
    for task in ("query", "interest", "time"):
        model = PeftModel.from_pretrained(AutoModel.from_pretrained(backbone), f"{run}/adapters/{task}").eval()
        ids = torch.tensor([[1, 23, 30, 17, 85, 2]])
        with torch.no_grad():
            states[f"{run}/{task}"] = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
assert "peftrec" not in sys.modules
save_file(states, out)
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory, quick):
    """sharing -> the run, and task -> hidden states by plain PEFT, in one process of its own for all runs."""
    from safetensors.torch import load_file

    folder, runs = make_tiny_shop(tmp_path_factory.mktemp("plain"), layers=3), {}
    for sharing in SHARINGS:
        adapter = {"method": "lora", "sharing": sharing, "layers": "top-2", "options": {"r": 4, "lora_alpha": 8}}
        recipe = tiny_recipe(folder, adapter=adapter, tasks=THREE, train={"max_steps": 3, "lr": 5e-3})
        runs[sharing] = train(recipe, tmp_path_factory.mktemp("runs") / "run")
    command = [sys.executable, "-c", PLAIN_PEFT, folder / "model", folder / "out", *runs.values()]
    subprocess.run(command, check=True)
    states = load_file(folder / "out")
    return {
        sharing: (run, {task: states[f"{run}/{task}"] for task in ("query", "interest", "time")})
        for sharing, run in runs.items()
    }


@pytest.mark.parametrize("sharing", SHARINGS)
def test_plain_peft_loads_every_tasks_adapter(plain, sharing):
    import torch

    run, theirs = plain[sharing]
    model = Predictor.load(run).model
    ids = torch.tensor([[1, 23, 30, 17, 85, 2]])
    hidden = {}
    for task in theirs:
        with torch.no_grad(), model.encoder.active(task):
            hidden[task] = model.encoder.backbone.run(ids, torch.ones_like(ids), torch.zeros_like(ids))
        torch.testing.assert_close(hidden[task], theirs[task], atol=1e-5, rtol=0)
    with torch.no_grad():
        frozen = model.encoder.backbone.run(ids, torch.ones_like(ids), torch.zeros_like(ids))
    assert all(not torch.allclose(h, frozen, atol=1e-4) for h in hidden.values())


def test_what_goes_before_texts_is_for_the_backbone_alone(tmp_path):
    folder = make_tiny_shop(tmp_path)
    backbone = {"name": str(folder / "model"), "dtype": "fp32", "max_length": 16}
    recipe = tiny_recipe(folder, backbone={**backbone, "prompts": {"query": "w1 w2 ", "passage": "w3 "}})
    run = train(recipe, tmp_path / "run")
    loaded = Predictor.load(run)
    titles = set(pd.read_csv(folder / "items.csv")["title"])
    assert {row["text"] for row in loaded.recommend("query", query="w5 w6", k=20)} == titles

    file = run / "run.yaml"
    file.write_text(file.read_text().replace("query: 'w1 w2 '", "query: ''").replace("passage: 'w3 '", "passage: ''"))
    (run / "manifest.json").unlink()
    write_manifest(run)
    bare = Predictor.load(run)
    for said, passage, before in (("w5 w6", False, "w1 w2 "), ("w7 w8", True, "w3 ")):
        vectors = []
        for predictor, text in ((loaded, said), (bare, before + said), (bare, said)):
            vectors.append(predictor.embed("query", [text], passages=passage)[0])
        np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
        assert np.abs(vectors[0] - vectors[2]).max() > 1e-3
