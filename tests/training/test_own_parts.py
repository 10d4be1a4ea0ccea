"""Each task has its own parts of its own best epoch, over the shared part of the joint best, where that is better."""

import json

import pytest
import torch
from tiny import cut_after, make_tiny_shop, tiny_recipe, trained_files

import peftrec.training.loop
import peftrec.training.own_parts
from peftrec.evaluation.values import AT_BEST
from peftrec.training import shrinking
from peftrec.training.loop import fit, train
from peftrec.training.prepare import prepare
from peftrec.training.stopping import BestEpoch

pytestmark = pytest.mark.usefixtures("quick")

PER_EPOCH = 4
SIDE = {"method": "side", "options": {"rank": 4}}
EPOCHS = [(1.0, 1.0), (0.9, 0.9), (0.8, 1.1), (0.7, 1.2), (0.75, 1.3), (0.8, 1.3), (0.7, 1.2)]  # query, interest


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def seen(monkeypatch):
    """The weights after each step that was evaluated, by name."""
    found = {}

    class Spy(BestEpoch):
        def see(self, step, scores, trainable, no_worse=False):
            found[step] = {name: p.detach().clone() for name, p in trainable.items()}
            super().see(step, scores, trainable, no_worse)

    monkeypatch.setattr(peftrec.training.loop, "BestEpoch", Spy)
    monkeypatch.setattr(peftrec.training.ending, "shrink", lambda setup, first, known: {})  # what is kept of that
    return found


def said(monkeypatch, at_the_end):
    """Let the epochs' errors be EPOCHS, and then interest's with the joint best's parts and with its own these."""
    left, last, asked = iter(EPOCHS), iter(at_the_end), []

    def errors(setup, judge=None, tasks=None):
        query, interest = next(left)
        return {"query": {"log_loss": query}, "interest": {"log_loss": interest}}

    def one(setup, judge=None, tasks=None):
        asked.append(list(tasks))
        return {"interest": {"log_loss": next(last)}}

    monkeypatch.setattr(peftrec.training.loop, "validate", errors)
    monkeypatch.setattr(peftrec.training.own_parts, "validate", one)
    return asked


def recipe_of(shop, **train):
    return tiny_recipe(shop, adapter=SIDE, train={"epochs": 10, "early_stopping": {"patience": 2}, **train})


@pytest.mark.parametrize(("at_the_end", "better"), [((1.2, 0.95), True), ((0.9, 0.95), False), ((0.9, 0.9), False)])
def test_a_task_that_was_best_earlier_has_its_own_parts_of_then(shop, seen, monkeypatch, notes, at_the_end, better):
    asked = said(monkeypatch, at_the_end)
    setup = prepare(recipe_of(shop))
    done = fit(setup)
    assert (done.kept, asked) == (24, [["interest"], ["interest"]])  # a cool-down that is as good as the best is kept
    assert done.own_kept == ({"interest": PER_EPOCH} if better else {})
    final = setup.model.trainable()
    own = {name for name in final if name.split("/")[1] == "interest"}
    assert {name.split("/")[0] for name in own} == {"adapter", "head"}
    for name, parameter in final.items():
        at = PER_EPOCH if better and name in own else 24
        assert torch.equal(parameter, seen[at][name]), name
    assert ("interest: its own parts are kept as they were at step 4, by" in notes.readouterr().err) == better


def test_no_task_is_measured_again_that_was_best_together_with_the_others(shop, seen, monkeypatch):
    def all_better(setup, judge=None, tasks=None):
        assert tasks is None
        return {name: {"log_loss": 1.0 - len(seen) / 100} for name in ("query", "interest")}

    monkeypatch.setattr(peftrec.training.loop, "validate", all_better)
    monkeypatch.setattr(peftrec.training.own_parts, "validate", lambda setup, tasks: all_better(setup))
    assert fit(prepare(recipe_of(shop, epochs=2))).own_kept == {}


@pytest.fixture
def over_trained(monkeypatch):
    """Let interest's errors be 1 before the first step and grow from there on; query's are as they are."""
    measured = peftrec.training.loop.validate

    def validate(setup, judge=None, tasks=None):
        scores = measured(setup, judge, tasks)
        if "interest" in scores:
            moved = setup.model.trainable()["head/interest/mlp.3.weight"].abs().sum().item()
            scores["interest"][AT_BEST] = 1.0 + moved
        return scores

    for module in (peftrec.training.loop, peftrec.training.own_parts):
        monkeypatch.setattr(module, "validate", validate)


REFIT = {"refit": True, "epochs": 4, "checkpoint": {"every": "1 step"}, "lr": 1e-2, "head_lr": 1e-2}


def test_a_refit_takes_them_from_as_many_epochs(shop, tmp_path, over_trained, monkeypatch):
    monkeypatch.setattr(shrinking, "errors_of", lambda loss: -9.0)  # what was learned of so few rows is kept
    run = train(recipe_of(shop, **REFIT), tmp_path / "run")
    report = json.loads((run / "report.json").read_text())["tasks"]
    assert report["interest"]["own_step"] == _steps_of_first(run)  # after no step of the second
    assert "own_step" not in report["query"]
    with cut_after(monkeypatch, 9):
        train(recipe_of(shop, **REFIT), tmp_path / "again")
    again = trained_files(train(recipe_of(shop, **REFIT), tmp_path / "again", resume=True))
    expected = trained_files(run)
    assert [name for name in expected if again.get(name) != expected[name]] == []


def _steps_of_first(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return max(line["step"] for line in lines if "refit" not in line)
