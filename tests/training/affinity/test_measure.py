"""Which tasks help each other: over tasks made to help, to conflict, and to have nothing to do with each other."""

import numpy as np
import pytest
import torch
from minimal import QUICK
from shop import write_csv
from tiny import make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.recipe import make_recipe
from peftrec.tasks.heads import Head
from peftrec.training.affinity.advice import estimate
from peftrec.training.affinity.measure import _gradient, affinity, affinity_of, effect, kept
from peftrec.training.affinity.short import rows_of, shared_by
from peftrec.training.prepare import prepare
from peftrec.training.starts import begin

pytestmark = pytest.mark.usefixtures("quick")

# How each task's label follows from a text, which is one of the words w0 to w7; and which half of the vector it reads.
RULES = {
    "few": (lambda word: word % 2, 0),
    "like": (lambda word: word % 2, 0),
    "opposite": (lambda word: 1 - word % 2, 0),
    "other": (lambda word: word // 2 % 2, 1),
}


class Fixed(Head):
    """A readout that nothing is learned of, so that tasks can agree or not on what the vectors should be."""

    def __init__(self, half):
        super().__init__()
        self.half = half

    def forward(self, batch):
        size = batch.vectors.shape[1] // 2
        score = batch.vectors[:, self.half * size : (self.half + 1) * size] @ torch.linspace(-0.1, 0.1, size)
        return torch.stack([-score, score], 1)[batch.slots["text"]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


def ruled(shop, *tasks, starts=False):
    """A setup of these tasks, each with rows of its own and a fixed readout; `few` has rows to train on of w0 to w3. Or
    with heads that begin at their starts, which may know the rules."""
    tables, parts = {}, ["train", "train", "valid", "valid", "valid", "test"]
    for number, name in enumerate(tasks):
        random = np.random.default_rng(number)
        rows = [
            {"text": f"w{n % 8}", "label": int(RULES[name][0](n % 8)), "split": parts[n // 8 % 6]} for n in range(480)
        ]
        rows = [row for row in rows if name != "few" or row["split"] != "train" or row["text"] < "w4"]
        write_csv(shop / f"{name}.csv", [rows[n] for n in random.permutation(len(rows))])
        tables[name] = {"kind": "texts", "path": str(shop / f"{name}.csv"), "text": "{text}", "split": "split"}
    recipe = make_recipe(
        {
            "backbone": {"name": str(shop / "model"), "dtype": "fp32", "max_length": 8},
            "adapter": {"method": "side", "sharing": "shared"},
            "data": {"tables": tables},
            "tasks": {name: {"kind": "classification", "table": name, "label": "label"} for name in tasks},
            "train": {**QUICK, "epochs": 5, "batch_size": 64, "lr": 1e-2},
        }
    )
    setup = prepare(recipe)
    if not starts:
        setup.model._head_of |= {name: Fixed(RULES[name][1]) for name in tasks}
        setup.begun = True
    return setup


def test_tasks_of_one_rule_help_each_other_s_few_rows(shop):
    result = affinity_of(ruled(shop, "like", "few"), rounds=6, steps=24, rows=1000, cache=False)
    there, back = result["pairs"]
    assert (there["of"], there["on"], back["of"], back["on"]) == ("like", "few", "few", "like")
    assert there["effect"]["sign"] == there["lookahead"]["sign"] == there["cosine"]["sign"] == 1
    assert there["cosine"] == back["cosine"] and there["cosine"]["value"] > 0.8
    assert there["effect"]["value"] > 0.5  # of the loss at first; alone it knows nothing of w4 to w7
    assert there["begun"]["value"] == back["begun"]["value"] == 0  # both begin at what they begin at alone
    assert result["tasks"]["few"]["loss_at_first"] == pytest.approx(np.log(2), rel=0.05)
    assert result["groups"] == [["like", "few"]]
    assert result["suggestions"][0].startswith("like helps few (+")


def test_tasks_of_opposite_rules_harm_each_other(shop):
    result = affinity_of(ruled(shop, "opposite", "like"), rounds=6, steps=24, rows=1000, cache=False)
    for pair in result["pairs"]:
        assert pair["effect"]["sign"] == -1
        assert pair["effect"]["value"] == pytest.approx(-1, abs=0.2)  # together they learn next to nothing
    assert result["groups"] == [["opposite"], ["like"]]
    first, second = result["suggestions"]
    assert "harm each other" in first and "measure again with adapter.sharing=shared+private" in first
    assert second == "groups to train apart: opposite; like"


def test_of_tasks_that_have_nothing_to_do_with_each_other_nothing_is_said(shop):
    result = affinity_of(ruled(shop, "other", "like"), rounds=6, steps=24, rows=1000, cache=False)
    assert [pair["effect"]["sign"] for pair in result["pairs"]] == [0, 0]
    assert result["suggestions"] == []


def test_what_a_head_begins_at_beside_another_task_is_judged_by_all_rows(shop):
    """Of `few` a start that reads no other task has seen half of the words, and of a word that it has not it knows
    nothing; train rows are read by folds, so that they say no more than validation rows do."""
    setup = ruled(shop, "like", "few", starts=True)
    rows = {name: (of.train, of.valid) for name, of in setup.dataset.tasks.items()}
    result = affinity_of(setup, rounds=6, steps=8, rows=1000, cache=False)
    there, back = result["pairs"]
    assert (there["of"], there["on"]) == ("like", "few") and there["begun"]["sign"] == 1
    alone, beside = (_begun(ruled(shop, *tasks, starts=True), rows["few"]) for tasks in (("few",), ("few", "like")))
    # Rounds have parts of a row more or less, and their mean is of parts.
    assert there["begun"]["value"] == pytest.approx(1 - beside / alone, rel=0.05)
    assert abs(back["begun"]["value"]) < there["begun"]["value"] / 2
    assert there["effect"]["value"] >= there["begun"]["value"]


def _begun(setup, rows):
    """The mean loss of train and validation rows where `few` begins."""
    begin(setup)
    data = setup.dataset.tasks["few"]
    losses = [rows_of("few", of, np.arange(len(of)), 0).loss(setup).item() for of in (data.train, data.valid)]
    return np.average(losses, weights=[len(of) for of in rows])


@pytest.mark.parametrize(
    ("begun", "further", "expected"),
    [
        ([0.0, 0.0, 0.0], [0.1, 0.3, 0.2], [0.1, 0.3, 0.2]),  # heads begin at the same
        ([0.1, 0.2, 0.3], [0.5, -0.4, 0.1], [0.1, 0.2, 0.3]),  # of training nothing is told
        ([0.1, 0.2, 0.3], [-0.5, -0.6, -0.5], [-0.4, -0.4, -0.2]),
    ],
)
def test_training_counts_where_it_is_told_from_nothing_or_is_all_there_is(begun, further, expected):
    found = effect(np.array(begun), np.array(further), 0.95)
    wanted = estimate(np.array(expected), 0.95)
    assert (found.value, found.low, found.high) == pytest.approx((wanted.value, wanted.low, wanted.high))


def test_the_same_again_gives_the_same(shop):
    recipe = tiny_recipe(shop, adapter={"method": "adalora", "options": {"init_r": 4, "target_r": 2}})
    one, other = (affinity(recipe, rounds=3, steps=4, rows=40, cache=False) for _ in range(2))
    assert one == other
    assert one["tasks"]["query"]["train"] == 40 and one["rounds"] == 3


def test_the_gradient_is_that_of_the_shared_part(shop):
    setup = ruled(shop, "like", "other")
    shared = shared_by(setup, ("like", "other"))
    adapter = setup.model.encoder.parameters_by_owner()["shared"]
    assert {id(p) for p in shared} == {id(p) for p in adapter.values()}
    rows = rows_of("like", setup.dataset.tasks["like"].train, np.arange(9), 0)
    found = _gradient(setup, rows, shared)
    setup.model.eval()
    setup.model.losses({"like": rows.examples})[0].backward()
    for parameter, gradient in zip(shared, found, strict=True):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient) if parameter.grad is None else parameter.grad)


def test_a_round_s_loss_is_that_of_the_look_which_the_others_find_best():
    losses = np.array([[9.0, 1.0, 4.0], [9.0, 5.0, 2.0], [9.0, 6.0, 3.0]])
    # Of the others' means: [9, 5.5, 2.5], [9, 3.5, 3.5], [9, 3, 3]; of equals the earlier look.
    assert kept(losses).tolist() == [4.0, 5.0, 6.0]


def test_what_is_private_to_a_task_is_shared_with_none(shop):
    recipe = tiny_recipe(shop, adapter={"method": "side", "sharing": "private"})
    with pytest.raises(UserError, match=r"no two trained tasks share anything, .* adapter\.sharing=shared"):
        affinity(recipe, rounds=3, steps=8, rows=40, cache=False)


def test_too_few_validation_rows_are_named(shop):
    recipe = tiny_recipe(shop)
    with pytest.raises(UserError, match=r"each of its 40 rounds .*, and \w+ has \d+ that can be parted .*--rounds"):
        affinity(recipe, rounds=40, steps=8, rows=40, cache=False)
