"""How the backbone is adapted where a recipe leaves it open, and that it is said."""

import pytest
from several import TASKS, make_several, several_recipe
from tiny import make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.model.backbone import load_backbone
from peftrec.recipe import AdapterConfig, BackboneConfig, load_recipe, make_recipe
from peftrec.runs.saved import read_recipe
from peftrec.tasks.dataset import load_data
from peftrec.training import methods as module
from peftrec.training.loop import train
from peftrec.training.methods import method_notes, with_methods
from peftrec.training.prepare import prepare

SIDE, UPPER = AdapterConfig(method="side"), AdapterConfig(method="lora", layers="top-2")


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    return make_several(tmp_path_factory.mktemp("several"))


def opened(folder, tasks, **adapter):
    """A recipe of these tasks that leaves the method open."""
    recipe = several_recipe(folder, {name: TASKS[name] for name in tasks})
    return recipe.model_copy(update={"adapter": AdapterConfig(**adapter)})


def chosen(recipe, earlier=None, backbone=None):
    backbone = load_backbone(recipe.backbone if backbone is None else backbone)
    return with_methods(recipe, load_data(recipe), backbone, earlier)


@pytest.mark.parametrize(
    ("tasks", "right"),
    [
        (["topic", "mood", "price"], UPPER),
        (["price"], UPPER),
        (["mood", "match"], SIDE),
        (["topic", "next"], SIDE),
        (["buy", "read"], SIDE),
    ],
)
def test_labels_of_texts_take_lora_on_the_two_top_layers_and_all_else_a_side_network(several, tasks, right):
    recipe = chosen(opened(several, tasks))
    assert recipe.adapter == right and recipe.adapters == dict.fromkeys(tasks, right)
    assert chosen(opened(several, tasks, sharing="private")).adapter == right.model_copy(update={"sharing": "private"})


def test_of_more_tokens_than_it_takes_minutes_for_a_side_network(several, monkeypatch):
    recipe = opened(several, ["topic", "mood"])
    dataset, backbone = load_data(recipe), load_backbone(recipe.backbone)
    backbone.tokenize(dataset.texts)
    tokens = sum(dataset.texts.lengths[of.train.slots["text"]].sum() for of in dataset.tasks.values())
    passed = 2 * 12 * backbone.hidden_size**2 * int(tokens)
    for most, right in ((passed, UPPER), (passed - 1, SIDE)):
        monkeypatch.setattr(module, "MOST", most)
        assert with_methods(recipe, dataset, backbone, None).adapter == right


def test_a_task_of_its_own_method_is_asked_by_itself(several):
    tasks = {"topic": {**TASKS["topic"], "adapter": {"sharing": "shared"}}, "match": TASKS["match"]}
    recipe = several_recipe(several, tasks).model_copy(update={"adapter": AdapterConfig()})
    found = chosen(recipe)
    assert found.adapters == {"topic": UPPER.model_copy(update={"sharing": "shared"}), "match": SIDE}
    said = ["adapter: chosen side", "tasks.topic.adapter: chosen lora, layers top-2"]
    assert method_notes(recipe, found) == said
    named = {name: {**TASKS[name], "adapter": {"method": "lora"}} for name in ("topic", "mood")}
    recipe = several_recipe(several, named).model_copy(update={"adapter": AdapterConfig()})
    assert method_notes(recipe, chosen(recipe)) == []


def test_what_the_recipe_names_stays_and_nothing_is_said_of_it(several):
    recipe = several_recipe(several, {"topic": TASKS["topic"]})
    assert chosen(recipe) == recipe and method_notes(recipe, recipe) == []


def test_a_backbone_without_two_layers_of_its_own_takes_a_side_network(several, tmp_path):
    shop = make_tiny_shop(tmp_path, layers=1)
    recipe = opened(several, ["topic"])
    flat = BackboneConfig(name=str(shop / "model"), dtype="fp32", max_length=16)
    assert chosen(recipe, backbone=flat).adapter == SIDE


def test_from_another_run_the_method_is_that_run_s(several):
    recipe = opened(several, ["topic"])
    earlier = several_recipe(several, {"topic": TASKS["topic"]})
    assert chosen(recipe, earlier=earlier).adapter.method == "side"
    assert chosen(recipe, earlier=earlier).adapter.sharing == "shared"  # as there
    named = chosen(opened(several, ["topic"], sharing="private"), earlier=earlier)
    assert named.adapter == SIDE.model_copy(update={"sharing": "private"})  # what is written is not passed over


def test_a_run_names_its_method_and_trains_again_as_it_was(several, tmp_path):
    run = train(opened(several, ["topic"]), run=tmp_path / "run")
    assert read_recipe(run).adapter == load_recipe(run / "run.yaml").adapter == UPPER
    recipe = opened(several, ["topic"]).model_copy(update={"init_from": str(run)})
    assert prepare(recipe).recipe.adapter == UPPER


def test_options_and_layers_need_a_method(tmp_path):
    recipe = tiny_recipe(make_tiny_shop(tmp_path)).model_dump(mode="json")
    for key, value in (("layers", "top-1"), ("options", {"rank": 4})):
        with pytest.raises(UserError, match=rf"{key} are a method's: name it \(method\); found"):
            make_recipe(recipe | {"adapter": {key: value}})
