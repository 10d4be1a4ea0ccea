"""The worked files of docs/extend: each is named in a recipe from outside, trained and asked."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from pages import DOCS, EXAMPLES, SNIPPET, blocks
from tiny import make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.model.backbone.families import FAMILIES, tiny_backbone
from peftrec.model.probe import probe_method
from peftrec.recipe import AdapterConfig, make_recipe
from peftrec.serving.predictor import Predictor
from peftrec.training.loop import train

TESTED = {"method", "kind", "loss", "weighting", "source"}


@pytest.fixture(scope="module", autouse=True)
def _importable():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield


@pytest.fixture(scope="module")
def tiny_shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


def test_every_example_is_shown_on_its_page_and_tested_here():
    assert {file.stem for file in EXAMPLES.glob("*.py")} == TESTED
    for name in TESTED:
        shown = [SNIPPET.fullmatch(block) for block in blocks(DOCS / f"extend/{name}.md", "python")]
        assert [match[1] for match in shown if match] == [f"docs/extend/examples/{name}.py"]


@pytest.mark.parametrize("sharing", ["shared", "private", "shared+private"])
@pytest.mark.parametrize("family", ["BERT", "Llama"])
def test_the_method_passes_the_probe(family, sharing):
    assert family in FAMILIES
    config = AdapterConfig(method="method:LayerMix", sharing=sharing, options={"scale": 2.0})
    probe_method(lambda: tiny_backbone(family, pooling="mean"), config)


@pytest.mark.usefixtures("quick")
def test_the_method_trains_and_answers(tiny_shop, tmp_path):
    run = train(tiny_recipe(tiny_shop, adapter={"method": "method:LayerMix"}), tmp_path / "run")
    parts = sorted(file.stem for file in (run / "parts").iterdir())
    assert parts == ["interest", "query", "shared"]
    (answer,) = Predictor.load(run, trust_code=True).predict("interest", [{"user": "u1", "item": "i1"}])
    assert 0 < answer["score"] < 1


@pytest.mark.usefixtures("quick")
def test_the_kind_trains_and_answers_for_items_that_nobody_rated(tiny_shop, tmp_path):
    task = {"kind": "kind:APPEAL", "column": "stars"}
    run = train(tiny_recipe(tiny_shop, tasks={"promise": task}), tmp_path / "run")
    report = json.loads((run / "report.json").read_text())["tasks"]["promise"]
    assert report["n"] == 4  # a fifth of the items
    assert report["priors"].keys() == {"median", "kind:train_mean"}
    predictor = Predictor.load(run, trust_code=True)
    given, new = predictor.predict("promise", [{"item": "i1"}, {"item_text": "w1 w2"}])
    assert all(1 <= answer["value"] <= 5 for answer in (given, new))
    with pytest.raises(UserError, match="column: kind kind:APPEAL needs it; the numeric columns are stars"):
        train(tiny_recipe(tiny_shop, tasks={"promise": {"kind": "kind:APPEAL"}}), tmp_path / "other")


@pytest.mark.usefixtures("quick")
def test_the_loss_is_least_at_the_quantile_and_equals_its_metric(tiny_shop, tmp_path):
    from loss import NINE_OF_TEN, PINBALL, start

    label = torch.arange(100.0)
    values = [float(NINE_OF_TEN.value(torch.full_like(label, guess), label).mean()) for guess in range(100)]
    assert int(np.argmin(values)) in (89, 90)  # the loss is flat between the two
    assert start(label.numpy())[0] == pytest.approx(89.1)
    guess = np.full(100, 70.0)
    assert PINBALL(guess, label.numpy(), np.arange(100)) == pytest.approx(values[70])
    assert PINBALL(guess[:2], np.array([80, 60]), np.arange(2), np.array([3, 1])) == pytest.approx((3 * 9 + 1) / 4)

    time = {"kind": "next-gap", "loss": "loss:NINE_OF_TEN"}
    rates = {"lr": 1e-4, "head_lr": 1e-4, "early_stopping": {"patience": 3}}  # by the validation loss: by its metric
    run = train(tiny_recipe(tiny_shop, tasks={"time": time}, train=rates), tmp_path / "run")
    report = json.loads((run / "report.json").read_text())["tasks"]["time"]
    assert list(report["metrics"]) == ["mae", "rmse", "r2", "loss:PINBALL"]
    found = pq.read_table(run / "test/time.parquet")
    below = (found["label"].to_numpy() <= found["prediction"].to_numpy()).mean()
    assert below > 0.75  # by the median it would be a half


@pytest.mark.usefixtures("quick")
def test_the_weighting_makes_losses_of_any_unit_equal(tiny_shop, tmp_path):
    from weighting import EqualScale

    weigh = EqualScale(torch.tensor([1.0, 0.5]), momentum=0.5)
    assert weigh(torch.tensor([4.0, 0.0])).tolist() == [0.25, 0.5]  # no row of the second task yet
    assert weigh(torch.tensor([2.0, 0.1])).tolist() == pytest.approx([1 / 3, 5])
    assert set(weigh.state_dict()) == {"mean"}
    recipe = tiny_recipe(tiny_shop, weighting={"method": "weighting:EqualScale"})
    run = train(recipe, tmp_path / "run")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    of_steps = [[line["weight"][task] * line["train_loss"][task] for task in ("query", "interest")] for line in lines]
    assert np.mean(of_steps, 0).tolist() == pytest.approx([1.0, 0.5], rel=0.2)  # a step's own loss goes up and down


@pytest.mark.usefixtures("quick")
def test_the_source_reads_what_lies_inside_books(tiny_shop, tmp_path):
    random = np.random.default_rng(0)
    with (tmp_path / "books.jsonl").open("w") as file:
        for number in range(12):
            reviews = [
                {"reader": f"r{n}", "stars": int(random.integers(1, 6)), "date": f"2024-{n + 1:02}-{number + 1:02}"}
                for n in range(8)
            ]
            print(json.dumps({"id": f"b{number}", "title": f"w{number} w7", "reviews": reviews}), file=file)
    recipe = tiny_recipe(tiny_shop).model_dump(mode="json")
    recipe["data"] = {"source": "source:load", "path": str(tmp_path), "split": {"valid": 0.2}}
    recipe["tasks"] = {"liked": {"kind": "interest", "column": "stars", "threshold": 4}}
    run = train(make_recipe(recipe), tmp_path / "run")
    assert json.loads((run / "report.json").read_text())["tasks"]["liked"]["n"] >= 12
    found = Predictor.load(run, trust_code=True).recommend("liked", history=["b1", "b2"], k=3)
    assert len(found) == 3 and not {"b1", "b2"} & {item["item"] for item in found}
