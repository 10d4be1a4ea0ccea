"""What was learned of items, in a run: kept, loaded, taken over by another run, and refused where it is damaged."""

import csv
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import make_tiny_shop, tiny_recipe

from peftrec.data.catalogue import ItemTexts
from peftrec.errors import UserError
from peftrec.machine.files import find_damage
from peftrec.recipe import FusionConfig
from peftrec.runs.fusion import load_fusion
from peftrec.runs.saved import load_run
from peftrec.serving.predictor import Predictor
from peftrec.training.loop import train
from peftrec.training.prepare import prepare

pytestmark = pytest.mark.usefixtures("quick")

FUSED = {
    "adapter": {"method": "side", "options": {"rank": 4}},
    "fusion": {"items": True, "dim": 4, "least": 2},
    "tasks": {
        "interest": {"kind": "interest", "column": "stars", "threshold": 4},
        "next": {"kind": "next-item"},
    },
}
ROWS = [{"user": "u3", "item": "i5"}, {"history": ["i1", "i2"], "item": "i9"}]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def run(shop, tmp_path_factory):
    return train(tiny_recipe(shop, **FUSED), tmp_path_factory.mktemp("runs") / "fused")


def test_it_is_kept_beside_the_heads_and_loaded_as_it_was_trained(run):
    stored = load_file(run / "fusion.safetensors")
    assert sorted(stored) == ["shared/items", "shared/out", "shared/table"]
    assert stored["shared/items"].tolist() == sorted(stored["shared/items"].tolist())
    assert stored["shared/table"].shape == (len(stored["shared/items"]), 4)
    assert (stored["shared/table"] != 0).all()
    loaded = load_run(run).model.fusion
    assert loaded.owners == {"interest": "shared", "next": "shared"}
    for name, parameter in loaded.named().items():
        assert torch.equal(parameter, stored[name])
    assert find_damage(run) is None
    exported = load_file(run / "adapters/interest/adapter_model.safetensors")
    assert not any("table" in name or name.endswith("out") for name in exported)  # it is the run's alone
    card = (run / "adapters/interest/README.md").read_text()
    assert "What was learned of items beside their texts is no part of an adapter either" in card


def test_what_was_learned_takes_part_in_predictions_and_in_rankings(run):
    predictor = Predictor.load(run)
    part = predictor.model.fusion.parts["shared"]
    fused, ranked = predictor.predict("interest", ROWS), predictor.recommend("next", user="u3", k=20)
    with torch.no_grad():
        part.table.zero_()
    plain = Predictor.load(run)
    with torch.no_grad():
        plain.model.fusion.parts["shared"].table.zero_()
    assert plain.predict("interest", ROWS) != fused
    assert plain.recommend("next", user="u3", k=20) != ranked


def test_a_new_item_is_its_text(run):
    """An item of the catalogue by its id, and another with a text of its own: nothing was learned of that."""
    predictor = Predictor.load(run)
    new = {"history": ["i1"], "item_text": "w1 w2 w77"}
    before = predictor.predict("interest", [new, {"history": [], "item_text": "w1 w2 w77"}])
    moved = Predictor.load(run)
    with torch.no_grad():
        moved.model.fusion.parts["shared"].table.add_(1)
    after = moved.predict("interest", [new, {"history": [], "item_text": "w1 w2 w77"}])
    assert after[1] == before[1]  # neither the item nor a history is known
    assert after[0] != before[0]  # of the history something was learned


def changed_shop(shop, folder):
    """The same shop without its first items, in another order, and with one more."""
    shutil.copytree(shop, folder)
    with open(shop / "items.csv", encoding="utf-8") as file:
        items = [row for row in csv.DictReader(file) if row["id"] not in ("i0", "i1")]
    items = [*reversed(items), {"id": "new", "title": "w5 w6 w7"}]
    kept = {row["id"] for row in items}
    for name, rows in (("items", items), ("events", None), ("queries", None)):
        if rows is None:
            with open(shop / f"{name}.csv", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if row["item"] in kept]
        with open(folder / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return folder


def test_another_run_takes_over_what_was_learned_by_ids(shop, run, tmp_path):
    setup = prepare(tiny_recipe(changed_shop(shop, tmp_path / "changed"), init_from=str(run), **FUSED))
    stored, old = load_file(run / "fusion.safetensors"), [f"i{n}" for n in range(20)]
    then = {old[n]: row for n, row in zip(stored["shared/items"].tolist(), stored["shared/table"], strict=True)}
    part, ids = setup.model.fusion.parts["shared"], setup.dataset.items["items"].ids
    now = {ids[n]: row for n, row in zip(part.items.tolist(), part.table.detach(), strict=True)}
    assert ids[0] == "i19" and ids[-1] == "new" and "new" not in now
    assert set(now) == set(then) - {"i0", "i1"}
    assert all(torch.equal(row, then[item]) for item, row in now.items())
    assert torch.equal(part.out.detach(), stored["shared/out"])
    assert f"what was learned of {len(now)} items" in setup.notes


def test_another_size_begins_anew(shop, run):
    recipe = tiny_recipe(shop, init_from=str(run), **{**FUSED, "fusion": {"items": True, "dim": 3, "least": 2}})
    setup = prepare(recipe)
    assert not setup.model.fusion.parts["shared"].table.any()
    assert any(note.startswith("what is learned of items begins anew: fusion.dim") for note in setup.notes)


def test_frozen_tasks_keep_what_they_read(shop, run):
    tasks = {**FUSED["tasks"], "interest": {**FUSED["tasks"]["interest"], "frozen": True}}
    setup = prepare(tiny_recipe(shop, init_from=str(run), **{**FUSED, "tasks": tasks}))
    assert not any(name.startswith("fusion/") for name in setup.model.trainable())
    with pytest.raises(UserError, match=r"fusion\.items: True, now False"):
        prepare(tiny_recipe(shop, init_from=str(run), **{**FUSED, "tasks": tasks, "fusion": {}}))


def test_nothing_is_learned_of_an_item_of_few_rows(shop):
    setup = prepare(tiny_recipe(shop, **{**FUSED, "fusion": {"items": True, "least": 5, "sharing": "private"}}))
    for task, data in setup.dataset.tasks.items():
        count = np.bincount(data.train.item, minlength=20)
        assert setup.model.fusion.parts[task].items.tolist() == np.flatnonzero(count >= 5).tolist()
        assert 0 < (count >= 5).sum() < 20
    assert prepare(tiny_recipe(shop, **{**FUSED, "fusion": {"items": True}})).model.fusion.parts == {}


def test_each_task_may_have_its_own(shop):
    fusion = {"items": True, "dim": 4, "least": 2, "sharing": "private"}
    model = prepare(tiny_recipe(shop, **{**FUSED, "fusion": fusion})).model
    assert sorted(model.fusion.parts) == ["interest", "next"]
    assert model.fusion.part_of("next") is not model.fusion.part_of("interest")


TENSORS = {
    "shared/items": torch.tensor([0, 2], dtype=torch.int32),
    "shared/table": torch.ones(2, 4),
    "shared/out": torch.ones(4, 3),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"other/items": TENSORS["shared/items"].clone()}, "it holds items, table, out of shared"),
        ({"shared/table": None}, "it holds items, table, out of shared"),
        ({"shared/items": torch.ones(2)}, "shared/items: whole numbers, at least one"),
        ({"shared/items": torch.tensor([0, 3], dtype=torch.int32)}, "shared/items: the run has the items 0 to 2"),
        ({"shared/items": torch.tensor([0, 1], dtype=torch.int32)}, "shared/items: two are of one text"),
        ({"shared/table": torch.ones(2, 3)}, r"shared/table: float32 \(2, 4\); found \(2, 3\)"),
        ({"shared/out": torch.ones(4, 3) / 0}, "shared/out holds numbers that are not finite"),
    ],
)
def test_damage_is_one_message(tmp_path, change, message):
    items = {"items": ItemTexts(["a", "b", "c"], np.array([1, 1, 0], np.int32))}
    made = (FusionConfig(items=True, dim=4), items, {"like": "items"}, {}, 2, 3)
    assert load_fusion(tmp_path, *made).parts == {}  # a run of nothing learned
    save_file(TENSORS, tmp_path / "fusion.safetensors")
    assert load_fusion(tmp_path, *made).parts["shared"].places(np.arange(3)).tolist() == [1, 0, -1]
    save_file({k: v for k, v in {**TENSORS, **change}.items() if v is not None}, tmp_path / "fusion.safetensors")
    with pytest.raises(UserError, match=rf"fusion\.safetensors: damaged: {message}"):
        load_fusion(tmp_path, *made)
