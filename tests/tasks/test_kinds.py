import pytest
from made import made
from tiny import tiny_recipe

from peftrec.errors import UserError, UserErrors
from peftrec.tasks.kinds import KINDS, resolve
from peftrec.tasks.losses import LOSSES


def test_tasks_are_looked_up_once(tmp_path):
    own = {"method": "side", "sharing": "shared"}
    tasks = {
        "query": {"kind": "match-query"},
        "watch": {"kind": "regression", "column": "stars", "loss": "mse", "adapter": own},
    }
    recipe = tiny_recipe(tmp_path, tasks=tasks)
    found = resolve(recipe)
    assert list(found) == ["query", "watch"]
    assert found["query"].kind is KINDS["match-query"] and found["watch"].kind is KINDS["regression"]
    assert (found["query"].config.loss, found["watch"].config.loss) == ("cross_entropy", "mse")
    assert found["query"].loss is LOSSES["cross_entropy"] and found["watch"].loss is LOSSES["mse"]
    assert found["query"].adapter == recipe.adapter and found["watch"].adapter.method == "side"
    assert recipe.tasks["query"].loss is None  # the recipe stays as it was written


def test_every_mistake_is_told_at_once(tmp_path):
    tasks = {"a": {"kind": "interst"}, "b": {"kind": "next-gap", "loss": "maee"}, "c": {"kind": "next-gap"}}
    with pytest.raises(UserErrors) as error:
        resolve(tiny_recipe(tmp_path, tasks=tasks))
    assert error.value.problems == [
        "tasks.a.kind: no kind 'interst'; did you mean 'interest'?",
        "tasks.b.loss: kind next-gap has no loss 'maee'; did you mean 'mae'?",
    ]


def test_a_loss_for_other_labels_is_refused():
    with pytest.raises(UserError, match="loss: kind interest has no loss 'cross_entropy'; known: bce, mse"):
        made(kind="interest", loss="cross_entropy")


def test_what_is_no_kind_or_loss_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"tasks.task.kind: os:getcwd must be a peftrec.tasks.kind.Kind; found a "):
        resolve(tiny_recipe(tmp_path, tasks={"task": {"kind": "os:getcwd"}}))
    with pytest.raises(UserError, match=r"tasks.task.loss: os:getcwd must be a peftrec.tasks.losses.Loss; found a "):
        resolve(tiny_recipe(tmp_path, tasks={"task": {"kind": "regression", "column": "stars", "loss": "os:getcwd"}}))
