"""A task keeps the share of what it learned that its validation rows want, and nothing that may be chance."""

import json
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from tiny import make_tiny_shop, tiny_recipe

import peftrec.training.loop
from peftrec.training.loop import train
from peftrec.training.prepare import prepare
from peftrec.training.shrinking import SHARES, outer_weights, shrink
from peftrec.training.starts import begin

SIDE = {"method": "side", "options": {"rank": 4}}
KINDS = {
    "query": {"kind": "match-query"},
    "pair": {"kind": "match-query", "input": "joint"},
    "interest": {"kind": "interest", "column": "stars", "threshold": 4},
    "stars": {"kind": "interest", "column": "stars", "loss": "mse"},
    "next": {"kind": "next-item"},
    "gap": {"kind": "next-gap"},
    "mood": {"kind": "classification"},
    "rating": {"kind": "regression", "column": "stars"},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = make_tiny_shop(tmp_path_factory.mktemp("tiny"))
    label = np.random.default_rng(0).choice(["a", "b"], 400)
    lines = [f"w{n % 7} w{10 + n * 7 % 90},{label[n]}" for n in range(400)]
    (folder / "texts.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return folder


def begun(shop, tasks, graded=True, **changes):
    """A setup whose heads are at their starts, nothing trained yet."""
    recipe = tiny_recipe(shop, adapter=SIDE, tasks=tasks, **changes)
    data = recipe.data.model_dump(mode="json", exclude_none=True)
    data["texts"] = {"path": str(shop / "texts.csv"), "text": "{text}", "label": "label"}
    if not graded:
        del data["queries"]["label"]
    setup = prepare(tiny_recipe(shop, adapter=SIDE, tasks=tasks, data=data, **changes))
    setup.model.eval()
    begin(setup)
    return setup


def moved(setup, task, by):
    """Add `by` times what lowers the validation loss fastest to the task's outer parameters."""
    outer = setup.model.head(task).outer()
    valid = setup.dataset.tasks[task].valid
    setup.model.losses({task: valid.take(np.arange(len(valid)))}).sum().backward()
    with torch.no_grad():
        for parameter in outer:
            parameter -= by * parameter.grad
    setup.model.zero_grad()


def at(setup, task, first, last, share):
    """The validation loss with the outer parameters a share of the way from `first` to `last`, which they stay at."""
    with torch.no_grad():
        for parameter, a, b in zip(setup.model.head(task).outer(), first[task], last[task], strict=True):
            parameter.copy_(a + share * (b - a))
    data = setup.dataset.tasks[task].valid
    chances, wrong = setup.model.predict(task, data).astype(float), 2 / (len(data) + 2)  # `training.doubt`
    right, other = (log_loss(of, chances, labels=[0, 1]) for of in (data.label, 1 - data.label))
    return (1 - wrong) * right + wrong * other


@pytest.mark.parametrize("task", [*KINDS, "matches"])
def test_a_head_whose_outer_parameters_are_as_they_began_says_what_it_began_at(shop, task):
    given = {"matches": {"kind": "match-query"}} if task == "matches" else {task: KINDS[task]}
    setup = begun(shop, given, graded=task != "matches")
    test, head = setup.dataset.tasks[task].test, setup.model.head(task)
    before, outer = setup.model.predict(task, test), {id(p) for p in head.outer()}
    assert outer
    with torch.no_grad():
        for parameter in head.parameters():
            if id(parameter) not in outer:
                parameter += torch.randn_like(parameter)
    assert setup.model.predict(task, test) == pytest.approx(before, abs=1e-5)


@pytest.mark.parametrize(("by", "expected"), [(0.05, 1.0), (0.08, 0.75), (0.3, 0.25), (1e4, 0.0)])
def test_the_share_is_what_validation_rows_want(shop, notes, by, expected):
    setup = begun(shop, {"mood": KINDS["mood"]})
    data = setup.dataset.tasks["mood"]
    label = (np.arange(len(data.valid)) % 5 > 0).astype(data.valid.label.dtype)  # of which train rows knew nothing
    setup.dataset = replace(setup.dataset, tasks={"mood": replace(data, valid=replace(data.valid, label=label))})
    first = outer_weights(setup)
    moved(setup, "mood", by)
    last = outer_weights(setup)
    losses = [at(setup, "mood", first, last, share) for share in SHARES]
    at(setup, "mood", first, last, 1)
    assert shrink(setup, first, {}) == {"mood": expected}
    kept = [p.clone() for p in setup.model.head("mood").outer()]
    assert at(setup, "mood", first, last, expected) == losses[SHARES.index(expected)] <= losses[0]
    assert all(torch.equal(a, b) for a, b in zip(kept, setup.model.head("mood").outer(), strict=True))
    said = f"mood: {expected:.0%} of what was learned is kept, by the validation rows"
    assert (said in notes.readouterr().err) == (expected < 1)


def test_a_gain_that_is_within_its_standard_error_is_dropped(shop):
    setup = begun(shop, {"mood": KINDS["mood"]})
    first, data = outer_weights(setup), setup.dataset.tasks["mood"].valid
    chances = [setup.model.predict("mood", data)]
    moved(setup, "mood", 0.3)
    chances.append(setup.model.predict("mood", data))
    rows = np.arange(len(data))
    start, then = (-np.log(of[rows, data.label.astype(int)].astype(float)) for of in chances)
    gains = start - then
    few = rows[np.argsort(gains)[[0, 1, -1, -2]]]  # two rows for it, two against, and their mean is no more than luck
    assert abs(gains[few].mean()) < gains[few].std() / 2
    tasks = setup.dataset.tasks | {"mood": replace(setup.dataset.tasks["mood"], valid=data.take(few))}
    setup.dataset = replace(setup.dataset, tasks=tasks)
    assert shrink(setup, first, {}) == {"mood": 0.0}
    assert setup.model.predict("mood", data) == pytest.approx(chances[0], abs=1e-7)


def test_less_is_kept_where_more_gains_more_in_the_mean_but_less_surely(shop):
    setup = begun(shop, {"mood": KINDS["mood"]})
    first, data = outer_weights(setup), setup.dataset.tasks["mood"].valid
    moved(setup, "mood", 1.0)
    last, rows = outer_weights(setup), np.arange(len(data))
    losses = []
    for share in SHARES:
        at(setup, "mood", first, last, share)
        said = setup.model.predict("mood", data).astype(float)
        losses.append(-np.log(said[rows, data.label.astype(int)]))
    at(setup, "mood", first, last, 1)
    gains = losses[0] - np.array(losses)
    for seed in range(1000):
        few = np.random.default_rng(seed).choice(rows, 12, replace=False)
        mean, error = gains[:, few].mean(1), gains[:, few].std(1) / np.sqrt(12)
        sure = mean - error
        most, surest = int(mean.argmax()), int(sure.argmax())
        if 0 < surest < most and mean[most] > error[most] and np.sort(sure)[-2] < sure[surest] - 0.02:
            break
    else:
        raise AssertionError("no such rows")
    tasks = setup.dataset.tasks | {"mood": replace(setup.dataset.tasks["mood"], valid=data.take(few))}
    setup.dataset = replace(setup.dataset, tasks=tasks)
    assert shrink(setup, first, {}) == {"mood": SHARES[surest]}


def test_rows_count_as_they_weigh(shop):
    """What is better on rows that weigh nothing is no gain."""
    setup = begun(shop, {"mood": KINDS["mood"]})
    first, data = outer_weights(setup), setup.dataset.tasks["mood"].valid
    before = setup.model.predict("mood", data)
    moved(setup, "mood", 0.3)
    after, rows = setup.model.predict("mood", data), np.arange(len(data))
    worse = after[rows, data.label.astype(int)] < before[rows, data.label.astype(int)]
    assert 0 < worse.sum() < len(rows)
    for counts, expected in ((~worse, 1.0), (worse, 0.0)):
        weighed = replace(data, weight=counts.astype(np.float32))
        tasks = setup.dataset.tasks | {"mood": replace(setup.dataset.tasks["mood"], valid=weighed)}
        setup.dataset = replace(setup.dataset, tasks=tasks)
        assert shrink(setup, first, {}) == {"mood": expected}


def test_a_task_without_validation_rows_keeps_all_and_what_is_known_is_not_chosen_again(shop):
    setup = begun(shop, {"mood": KINDS["mood"]})
    first, data = outer_weights(setup), setup.dataset.tasks["mood"]
    setup.dataset = replace(setup.dataset, tasks={"mood": replace(data, valid=data.valid.take(np.arange(0)))})
    moved(setup, "mood", 1.0)
    moved_to = [p.clone() for p in setup.model.head("mood").outer()]
    assert shrink(setup, first, {}) == {}
    assert all(torch.equal(a, b) for a, b in zip(moved_to, setup.model.head("mood").outer(), strict=True))
    assert shrink(setup, first, {"mood": 0.25}) == {"mood": 0.25}
    for parameter, a, b in zip(setup.model.head("mood").outer(), first["mood"], moved_to, strict=True):
        assert torch.allclose(parameter, a + 0.25 * (b - a))


@pytest.mark.parametrize("refit", [False, True])
def test_a_run_says_and_serves_what_it_kept(shop, tmp_path, monkeypatch, refit):
    """Learning rates that ruin everything: nothing is kept, and the run says what its start says."""
    rising = count(1)  # every epoch is the best
    monkeypatch.setattr(peftrec.training.loop.BestEpoch, "_value", lambda self, scores: float(next(rising)))
    stop = {"early_stopping": {"patience": 2}, "lr": 1.0, "refit": refit}
    tasks = {"rating": KINDS["rating"], "mood": KINDS["mood"]}
    texts = {"path": str(shop / "texts.csv"), "text": "{text}", "label": "label"}
    data = tiny_recipe(shop).data.model_dump(mode="json", exclude_none=True) | {"texts": texts}
    run = train(tiny_recipe(shop, adapter=SIDE, tasks=tasks, data=data, train=stop), tmp_path / "run")
    of = json.loads((run / "report.json").read_text())["tasks"]
    assert {name: task["kept"] for name, task in of.items()} == {"rating": 0.0, "mood": 0.0}
    for task in of.values():
        assert {name: task["metrics"][name] for name in task["start"]} == pytest.approx(task["start"], abs=1e-6)
