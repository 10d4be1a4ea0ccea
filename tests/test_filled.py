"""Items without a text, filled in (`on_bad_rows: fill`), from check to predict: their events count, ids are known."""

import csv
import json

import numpy as np
import pytest
from command import peftrec
from safetensors.torch import load_file
from shop import write_csv
from tiny import LORA, cut_after, kept_recipe, make_tiny_shop, tiny_recipe, trained_files

from peftrec.errors import UserError
from peftrec.runs.folder import read_report
from peftrec.serving.predictor import Predictor
from peftrec.tasks.dataset import load_data
from peftrec.training.loop import train

pytestmark = pytest.mark.usefixtures("quick_intervals")

FUSED = {
    "adapter": LORA,
    "fusion": {"items": True, "dim": 4, "least": 2},
    "tasks": {"like": {"kind": "interest", "column": "stars", "threshold": 4}, "next": {"kind": "next-item"}},
}
BARE = ["i3", "i18", "i19"]  # the first has an empty title, the others no row


def holey(folder, policy="fill"):
    """A recipe for the tiny shop, in whose items file something is missing."""
    rows = list(csv.DictReader((folder / "items.csv").open()))
    kept = [of | ({"title": ""} if of["id"] == "i3" else {}) for of in rows if of["id"] not in ("i18", "i19")]
    items = {"path": str(write_csv(folder / "holey.csv", kept)), "id": "id", "text": "{title}"}
    events = {"path": str(folder / "events.csv"), "user": "user", "item": "item", "time": "time", "columns": ["stars"]}
    data = {name: of | {"on_bad_rows": policy} for name, of in {"items": items, "events": events}.items()}
    return kept_recipe(folder, **FUSED, data=data | {"split": {"test": 0.2, "valid": 0.2}, "history": 5})


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def run(shop, tmp_path_factory):
    return train(holey(shop), tmp_path_factory.mktemp("runs") / "filled")


def test_no_event_is_lost_and_items_without_a_text_are_apart(shop):
    whole, filled = load_data(tiny_recipe(shop, **FUSED)), load_data(holey(shop))
    of = filled.items["items"]
    assert sorted(of.ids) == sorted(whole.items["items"].ids) and len(set(of.rows.tolist())) == 20
    assert [filled.texts.texts[of.rows[of.ids.index(bare)]] for bare in BARE] == BARE
    named = {
        name: [data.items["items"].ids[n] for n in data.tasks["next"].train.item]
        for name, data in (("whole", whole), ("filled", filled))
    }
    assert named["whole"] == named["filled"] and set(BARE) <= set(named["filled"])
    seen = whole.tasks["next"].train.catalogue
    number = [whole.items["items"].ids.index(name) for name in of.ids]
    ever = np.full(1, np.nan)
    assert np.array_equal(filled.tasks["next"].train.catalogue.popularity(ever), seen.popularity(ever)[:, number])


def test_check_and_report_count_what_was_filled_in(shop, run):
    notes = [note for note in read_report(run)["notes"] if "fill" in note]
    assert len(notes) == 2 and notes[0].startswith("data.items.text: 1 rows have their id as text (on_bad_rows: fill)")
    added = sum(row["item"] in BARE[1:] for row in csv.DictReader((shop / "events.csv").open()))
    assert (
        f"data.events: {added} rows add 2 items to data.items, with their ids as texts (on_bad_rows: fill)" in notes[1]
    )
    recipe = shop / "recipe.json"
    recipe.write_text(json.dumps(holey(shop).model_dump(mode="json", exclude_none=True)))
    told = json.loads(peftrec("check", recipe, "--json").stdout)
    assert [note for note in told["data"]["notes"] if "fill" in note] == notes


def test_a_run_knows_the_filled_ids_and_tells_them_apart(run):
    predictor = Predictor.load(run)
    ids = np.array(predictor.run.items["items"].ids)
    learned = set(ids[load_file(run / "fusion.safetensors")["shared/items"].numpy()])
    assert learned >= {"i3", "i18"}  # the other has too few train rows
    found = predictor.recommend("next", history=["i19", "i3"], k=20)
    assert {row["item"]: row["text"] for row in found if row["item"] in BARE} == {"i18": "i18"}
    scores = predictor.predict("next", [{"history": ["i1"], "item": item} for item in BARE])
    assert len({of["score"] for of in scores}) == 3  # by popularity, neighbours and what fusion learned
    (known,) = predictor.predict("like", [{"history": ["i1"], "item": "i19"}])
    assert 0 < known["score"] < 1
    with pytest.raises(UserError, match="no item 'i20' in the catalogue; for a new item give its 'item_text'"):
        predictor.predict("like", [{"history": [], "item": "i20"}])


def test_an_interrupted_training_goes_on_to_the_same_run(shop, run, tmp_path, monkeypatch):
    recipe = holey(shop)
    with cut_after(monkeypatch, 7):
        train(recipe, tmp_path / "run")
    assert trained_files(train(recipe, tmp_path / "run", resume=True)) == trained_files(run)
