"""Features that join items' vectors: kept in the run, read of new items, and taken over by another run."""

import csv
import json
import shutil

import pandas as pd
import pytest
import torch
from featured import featured_recipe, make_featured_shop
from safetensors.torch import load_file, save_file

from peftrec.errors import UserError
from peftrec.machine.files import find_damage
from peftrec.runs.fusion import read_fusion
from peftrec.runs.saved import load_run
from peftrec.serving.predictor import Predictor
from peftrec.training.loop import train
from peftrec.training.prepare import prepare

pytestmark = pytest.mark.usefixtures("quick")
FUSED = {
    "adapter": {"method": "side", "options": {"rank": 4}},
    "fusion": {"features": True},
    "tasks": {"query": {"kind": "match-query"}, "next": {"kind": "next-item"}},
    "train": {"epochs": 4},
}
LAYER = ["shared/features/items/levels", "shared/features/items/out.weight"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_featured_shop(tmp_path_factory.mktemp("featured"), rows=200)


@pytest.fixture(scope="module")
def run(shop, tmp_path_factory):
    return train(featured_recipe(shop, **FUSED), tmp_path_factory.mktemp("runs") / "fused")


def goods(shop):
    with (shop / "items.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_they_are_kept_with_how_they_are_read(shop, run):
    stored = load_file(run / "fusion.safetensors")
    assert sorted(stored) == LAYER and all(of.any() for of in stored.values())
    said = json.loads((run / "model.json").read_text())["fusion"]
    assert list(said) == ["shared/items"] and list(said["shared/items"]["numbers"]) == ["price"]
    assert {"acme", "nova", "orbit", "zeta"} <= set(said["shared/items"]["categories"]["brand"])
    loaded = load_run(run).model.fusion
    assert {name: torch.equal(of, stored[name]) for name, of in loaded.named().items()} == dict.fromkeys(LAYER, True)
    assert find_damage(run) is None
    found = pd.read_parquet(run / "test/query.parquet")  # as they were when they were measured
    asked = pd.read_csv(shop / "queries.csv").iloc[found["row"] - 1]
    rows = [{"query": query, "item": item} for query, item in zip(asked["query"], asked["item"], strict=True)]
    answers = Predictor.load(run).predict("query", rows)
    assert [of["probabilities"]["1"] for of in answers] == pytest.approx(
        [of[1] for of in found["prediction"]], abs=1e-5
    )


def test_a_new_item_with_the_features_of_a_known_one_scores_as_that(shop, run):
    predictor, item = Predictor.load(run), goods(shop)[9]
    new = {"item_text": item["title"], "item_features": {"price": float(item["price"]), "brand": item["brand"]}}
    for text in (item["title"], "words of nobody"):  # a text that the catalogue has, with features of its own
        dear = {"item_text": text, "item_features": {"price": 200, "brand": "zeta"}}
        rows = [{"query": "w1 w2"} | of for of in ({"item": "i9"}, new, dear, new, {"item_text": text})]
        known, one, other, again, bare = (of["score"] for of in predictor.predict("query", rows))
        assert known == pytest.approx(one, abs=1e-6) and one == pytest.approx(again, abs=1e-6)
        assert abs(other - one) > 1e-3 and abs(bare - other) > 1e-3
        (alone,) = predictor.predict("query", [rows[2]])
        assert alone["score"] == pytest.approx(other, abs=1e-6)


def test_they_take_part_in_rankings_and_in_histories(run):
    fused, plain = Predictor.load(run), Predictor.load(run)
    with torch.no_grad():
        plain.model.fusion.described["shared", "items"].layer.out.weight.zero_()
    histories = [["i1", "i2"], []]
    best, without = ([p.recommend("next", history=of, k=200) for of in histories] for p in (fused, plain))
    assert best != without and all(len(of) > 190 for of in best)
    row = {"history": ["i1", "i2"], "item": best[0][3]["item"]}
    (asked,) = fused.predict("next", [row])
    assert asked["score"] == pytest.approx(best[0][3]["score"], abs=1e-5)


def test_another_run_takes_them_over_and_reads_them_as_this_one(shop, run, tmp_path):
    """The catalogue without its first hundred items, with other prices and with a brand that the run does not know."""
    folder = shutil.copytree(shop, tmp_path / "changed")
    items = [of | {"price": "7", "brand": "new" if n % 2 else of["brand"]} for n, of in enumerate(goods(shop)[100:])]
    pd.DataFrame(items).to_csv(folder / "items.csv", index=False)
    kept = {of["id"] for of in items}
    for name in ("events", "queries"):
        table = pd.read_csv(folder / f"{name}.csv")
        table[table["item"].isin(kept)].to_csv(folder / f"{name}.csv", index=False)
    stored, said = load_file(run / "fusion.safetensors"), json.loads((run / "model.json").read_text())["fusion"]
    setup = prepare(featured_recipe(folder, init_from=str(run), **FUSED))
    described = setup.model.fusion.described["shared", "items"]
    assert all(torch.equal(of, stored[name]) for name, of in setup.model.fusion.named().items())
    assert list(described.encoding.numbers["price"]) == said["shared/items"]["numbers"]["price"]
    assert "what features of items add to its items, as the run reads them" in setup.notes
    fewer = {"items": {"price": "number"}, "users": {}, "events": {}}
    setup = prepare(featured_recipe(folder, fewer, init_from=str(run), **FUSED))
    assert not setup.model.fusion.described["shared", "items"].layer.out.weight.any()
    assert "what features of items add to its items begins anew: they are others than in the run" in setup.notes
    plain = prepare(featured_recipe(folder, init_from=str(run), **{**FUSED, "fusion": {}}))
    assert plain.model.fusion.named() == {}


def test_each_task_may_have_its_own_and_frozen_ones_stay(shop, run):
    setup = prepare(featured_recipe(shop, **{**FUSED, "fusion": {"features": True, "sharing": "private"}}))
    assert sorted(setup.model.fusion.described) == [("next", "items"), ("query", "items")]
    tasks = {**FUSED["tasks"], "query": {"kind": "match-query", "frozen": True}}
    setup = prepare(featured_recipe(shop, init_from=str(run), **{**FUSED, "tasks": tasks}))
    assert not any(name.startswith("fusion/") for name in setup.model.trainable())


PLACE = "shared/items"


@pytest.mark.parametrize(
    ("tensors", "said", "message"),
    [
        ({LAYER[0]: None}, {}, "it holds items, table, out of shared, and what features add of shared/items"),
        ({LAYER[1]: torch.ones(2, 3)}, {}, r"out.weight: float32 \(\d+, \d+\); found \(2, 3\)"),
        ({LAYER[0]: torch.zeros(0)}, {}, r"levels: float32 \(\d+, 16\); found \(0,\)"),
        ({}, {"other/items": {"numbers": {}, "categories": {}}}, "fusion: other/items: no task reads it"),
        ({}, {PLACE: {"numbers": {"price": [0, 0]}, "categories": {}}}, "price: a spread is above 0; found 0"),
        ({}, {PLACE: {"numbers": {"weight": [0, 1]}, "categories": {}}}, "items of items have no such features"),
        ({}, None, "it holds items, table, out of shared"),
    ],
)
def test_damage_is_one_message(run, tmp_path, tensors, said, message):
    loaded, known = load_run(run), json.loads((run / "model.json").read_text())["fusion"]
    stored = {**load_file(run / "fusion.safetensors"), **tensors}
    save_file({name: of for name, of in stored.items() if of is not None}, tmp_path / "fusion.safetensors")
    asked = (loaded.recipe.fusion, loaded.items, {"query": "items", "next": "items"})
    with pytest.raises(UserError, match=message):
        read_fusion(tmp_path, *asked, {} if said is None else known | said, loaded.model.encoder.backbone.hidden_size)


def test_a_run_without_its_file_is_refused(run, tmp_path):
    loaded = load_run(run)
    with pytest.raises(UserError, match=r"missing; model\.json says of shared/items how features are read"):
        read_fusion(tmp_path, loaded.recipe.fusion, loaded.items, {"query": "items"}, {PLACE: {}}, 3)
