"""What every kind must do, from `check` to `export`: the table's own, and one from outside with its own slots."""

import ast
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from command import peftrec
from made import made
from shop import write_csv
from tiny import at_step, fail, kept_recipe, make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.recipe import dump_recipe
from peftrec.tasks.kinds import KINDS
from peftrec.tasks.losses import LOSSES
from peftrec.training.prepare import prepare
from peftrec.training.step import one_step, plan_steps

pytestmark = pytest.mark.usefixtures("quick")

OWN = "own_friends:FRIENDS"
# An own kind as somebody outside would write it: slots `user` and `friend`, a head, a loss, a metric and a prior.
OWN_PACKAGE = '''
    """Kind FRIENDS: how well do two people get on."""

    import numpy as np
    import torch
    from torch import nn

    from peftrec.data.examples import Examples
    from peftrec.evaluation.metrics import Metric
    from peftrec.tasks.building import cut
    from peftrec.tasks.heads import Head
    from peftrec.tasks.kind import Kind
    from peftrec.tasks.losses import Loss
    from peftrec.tasks.rows import text_field
    from peftrec.data.split import by_group


    def build(tables, texts, task, data, seed):
        queries, items = tables.named["queries"], tables.named["items"]
        user = np.array([texts.add(text) for text in queries.text], np.int32)
        friend = np.array([texts.add(items.texts[item]) for item in queries.item], np.int32)
        names = {text: n for n, text in enumerate(dict.fromkeys(queries.text))}
        group = np.array([names[text] for text in queries.text])
        rows = Examples(
            slots={"user": user, "friend": friend},
            label=queries.label.astype(np.float32),
            features=np.zeros((len(user), 0), np.float32),
            group=group,
            item=np.full(len(user), -1),
            time=np.full(len(user), np.nan),
        )
        return cut(rows, by_group(group, data.split, seed), data.split)


    class Warmth(Head):
        def __init__(self, width):
            super().__init__()
            self.out = nn.Linear(width, 1)

        def forward(self, batch):
            return self.out(batch.vectors[batch.slots["user"]] * batch.vectors[batch.slots["friend"]])[:, 0]


    def huber(output, label):
        return nn.functional.smooth_l1_loss(output, label, reduction="none")


    def huber_of_rows(prediction, label, group):
        away = np.abs(prediction - label)
        each = np.where(away < 1, away**2 / 2, away - 0.5)
        return lambda weight: float((each * weight).sum() / weight.sum())


    def constant(dataset, task, examples):
        return np.full(len(examples), 0.5)


    MEASURE = Metric(huber_of_rows, higher=False)
    LOSS = Loss("number", huber, lambda output: output, "own_friends:MEASURE")
    FRIENDS = Kind(
        question="how well do two people get on",
        hub_type="text-ranking",
        build=build,
        fields={"user": text_field("user"), "friend": text_field("friend")},
        head=lambda shape, config: Warmth(shape.width),
        losses=("own_friends:LOSS",),
        metrics={"number": ("mae", "own_friends:MEASURE")},
        answer=lambda prediction, task, classes: {"warmth": float(prediction)},
        priors=("median", "own_friends:constant"),
    )
'''
KEYS = {
    "match-query": {},
    "interest": {"column": "stars", "threshold": 4},
    "next-item": {},
    "next-gap": {},
    "regression": {"column": "stars"},
    "classification": {},
    OWN: {},
}
ROWS = {  # a row of each, and what is answered
    "match-query": ({"query": "w1 w2", "item": "i3"}, {"score", "grade", "probabilities"}),
    "interest": ({"history": ["i1", {"item": "i2", "value": 1}], "item": "i3"}, {"score"}),
    "next-item": ({"user": "u1", "item_text": "w7"}, {"score"}),
    "next-gap": ({"history": [{"item": "i1", "time": 1}], "item": "i3", "time": "2026-01-01"}, {"value", "seconds"}),
    "regression": ({"history": [], "item": "i3"}, {"value"}),
    "classification": ({"text": "w1 w9"}, {"label", "probabilities"}),
    OWN: ({"user": "w1 w2", "friend": "w5"}, {"warmth"}),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = make_tiny_shop(tmp_path_factory.mktemp("shop"))
    rows = [{"text": f"w{n} w{n % 3}", "sort": f"sort {n % 3}"} for n in range(120)]
    write_csv(folder / "texts.csv", rows)
    return folder


@pytest.fixture(scope="module", autouse=True)
def own_package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    (folder / "own_friends.py").write_text(dedent(OWN_PACKAGE))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    sys.modules.pop("own_friends", None)


def recipe_of(shop: Path, kind: str, **changes):
    recipe = kept_recipe(shop, tasks={"task": {"kind": kind, **KEYS[kind]}}, **changes)
    if kind != "classification":
        return recipe
    texts = {"path": str(shop / "texts.csv"), "text": "{text}", "label": "sort"}
    raw = recipe.model_dump(mode="json")
    raw["data"] |= {"items": None, "events": None, "queries": None, "texts": texts}
    return type(recipe).model_validate(raw)


@pytest.fixture(scope="module", params=KEYS)
def trained(request, shop, tmp_path_factory, quick):
    """The kind, its recipe's file, and a run that was interrupted and went on."""
    folder = tmp_path_factory.mktemp("trained")
    file, run = folder / "mine.yaml", folder / "run"
    file.write_text(dump_recipe(recipe_of(shop, request.param)))
    checked = peftrec("check", file, "--json")
    assert checked.exit_code == 0, checked.output
    assert json.loads(checked.stdout)["tasks"]["task"]["kind"] == request.param
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 4, fail)
        broken = peftrec("train", file, "--run", run)
    assert str(broken.exception) == "power cut"
    done = peftrec("train", file, "--run", run, "--resume", "--json")
    assert done.exit_code == 0, done.output
    return request.param, file, run


def test_every_kind_is_here():
    assert set(KEYS) - {OWN} == set(KINDS)
    assert len(KINDS) == 6
    assert set(ROWS) == set(KEYS)


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("kind", KEYS)
def test_it_trains_in_each_precision_that_a_cpu_has(shop, kind, precision):
    steps = plan_steps(prepare(recipe_of(shop, kind, train={"mixed_precision": precision, "epochs": 1})))
    steps.setup.model.encoder.update()
    before = {name: tensor.detach().clone() for name, tensor in steps.trainable.items()}
    for number in range(2):
        step = one_step(steps, number)
        assert step.made and step.problem is None
        assert torch.isfinite(step.losses).all() and step.losses.dtype == torch.float32
    assert any(not torch.equal(tensor, before[name]) for name, tensor in steps.trainable.items())


def trusting(kind: str) -> list[str]:
    """A run that names code from outside is loaded only for those who say that they trust it."""
    return ["--trust-code"] if kind == OWN else []


def test_it_is_measured_again_as_it_was_after_training(trained):
    kind, _, run = trained
    kept = json.loads((run / "report.json").read_text())["tasks"]["task"]
    again = json.loads(peftrec("evaluate", run, "--json", *trusting(kind)).stdout)["tasks"]["task"]
    assert again["metrics"] == pytest.approx(kept["metrics"], abs=1e-6, nan_ok=False)
    if kind == OWN:
        assert set(kept["metrics"]) == {"mae", "own_friends:MEASURE"}
        assert set(kept["priors"]) == {"median", "own_friends:constant"}
        assert kept["priors"]["own_friends:constant"]["mae"] == pytest.approx(0.5)


def test_it_predicts_and_recommends_where_it_ranks(trained, tmp_path):
    kind, _, run = trained
    row, answered = ROWS[kind]
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    done = peftrec("predict", run, "--task", "task", "--input", tmp_path / "rows.jsonl", *trusting(kind))
    assert done.exit_code == 0, done.output
    assert set(json.loads(done.stdout)) == answered
    asked = ["--query", "w1"] if kind == "match-query" else ["--history", "i1,i2"]
    best = peftrec("recommend", run, "--task", "task", *asked, "-k", "3", "--json", *trusting(kind))
    if kind in ("match-query", "interest", "next-item", "regression"):
        assert len(json.loads(best.stdout)) == 3
    else:
        assert best.exit_code == 2
        assert f"is of kind {kind}, which ranks no items" in best.stderr


def test_it_is_compared_reported_described_and_exported(trained, tmp_path):
    kind, _, run = trained
    question = resolve_one(kind).question
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    compared = json.loads(peftrec("compare", run, copy, "--json", *trusting(kind)).stdout)[str(copy)]["tasks"]["task"][
        "differences"
    ]
    assert compared and all(of["by"] == 0 for of in compared.values() if of["by"] is not None)
    assert peftrec("report", run, "--output", tmp_path / "run.html", *trusting(kind)).exit_code == 0
    assert "validation" in (tmp_path / "run.html").read_text()
    assert question in (run / "README.md").read_text()
    assert question in (run / "adapters/task/README.md").read_text()
    exported = peftrec("export", run, "--task", "task", "--output", tmp_path / "adapter")
    assert exported.exit_code == 0, exported.output
    assert (tmp_path / "adapter" / "adapter_config.json").exists()


def test_the_card_s_row_is_one_that_it_predicts_for(trained):
    kind, _, run = trained
    shown = (run / "README.md").read_text().partition('predict("task", [')[2].partition("])")[0]
    import peftrec as package

    (found,) = package.Predictor.load(run, trust_code=kind == OWN).predict("task", [ast.literal_eval(shown)])
    assert set(found) == ROWS[kind][1]


def resolve_one(kind):
    return made(kind=kind, **KEYS[kind]).kind


LACKING = {
    "slot": ("fields={'user': text_field('user')}", "slot 'friend', of which its `fields` say nothing"),
    "metric": ("metrics={'number': ('mea',)}", "no metric 'mea'; did you mean 'mae'?"),
    "prior": ("priors=('medain',)", "no prior 'medain'; did you mean 'median'?"),
    "loss": ("losses=('huber',)", "loss: no loss 'huber'"),
    "labels": ("losses=('cross_entropy',)", "cross_entropy is for labels of the sort 'class'; kind own_lacking:LACKS"),
    "its place": ("metrics='mae', qestion=1", "cannot import 'own_lacking:LACKS': TypeError: .*'qestion'"),
}


@pytest.mark.parametrize("lacking", LACKING)
def test_a_kind_that_lacks_something_is_refused_before_training(shop, lacking, monkeypatch, own_package):
    change, message = LACKING[lacking]
    source = "from dataclasses import replace\nfrom own_friends import FRIENDS, text_field\n"
    (own_package / "own_lacking.py").write_text(f"{source}LACKS = replace(FRIENDS, {change})\n")
    monkeypatch.delitem(sys.modules, "own_lacking", raising=False)
    recipe = tiny_recipe(shop, tasks={"task": {"kind": "own_lacking:LACKS"}})
    with pytest.raises(UserError, match=message):
        prepare(recipe)


def test_an_own_loss_serves_a_kind_of_the_table(shop):
    tasks = {"task": {"kind": "regression", "column": "stars", "loss": "own_friends:LOSS"}}
    setup = prepare(tiny_recipe(shop, tasks=tasks))
    rows = setup.dataset.tasks["task"].train
    by_hand = replace(setup.tasks["task"].loss, value=LOSSES["mae"].value)
    setup.model.eval()
    own = float(setup.model.losses({"task": rows}).detach())
    setup.model.loss_of["task"] = by_hand
    assert 0 < own < float(setup.model.losses({"task": rows}).detach())  # nowhere above
