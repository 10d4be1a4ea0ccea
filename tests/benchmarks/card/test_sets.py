"""Every recipe of the card is one, and says nothing that could be left out."""

import pytest

from benchmarks.card.judge import JUDGED_BY
from benchmarks.card.sets import CHINESE, ENGLISH, SETS, recipe_of
from peftrec.recipe import make_recipe
from peftrec.tasks.kinds import resolve


@pytest.mark.parametrize("name", SETS)
def test_a_recipe_is_read_and_leaves_the_defaults(tmp_path, name):
    raw = recipe_of(name, tmp_path)
    assert set(raw) == {"backbone", "data", "tasks"}
    assert raw["backbone"] == {"name": CHINESE if SETS[name].chinese else ENGLISH}
    assert {task.config.kind for task in resolve(make_recipe(raw)).values()} <= set(JUDGED_BY)


def test_there_are_as_many_tasks_as_were_tried():
    tasks = [(name, task) for name, of in SETS.items() for task in of.tasks if not name.endswith("minilm")]
    assert len(tasks) >= 24
