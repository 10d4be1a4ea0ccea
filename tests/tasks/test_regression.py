"""Kind `regression`: numbers of events and of texts, on the scale that their tails ask for."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from command import peftrec
from eventful import build, make, timeline
from made import made
from tiny import make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.serving.predictor import Predictor
from peftrec.tasks.regression import feedback
from peftrec.tasks.rows import Event


def test_regression_labels_are_the_column():
    data = build("regression", make(timeline()), column="rating")
    assert data.test.label.tolist() == [3, 4, 5] and not data.log_scale
    assert data.test.item.tolist() == [1, 2, 3]


def heavy(count=40):
    """Ratings of 1 to 5 with a 5,000 among each ten."""
    return [(user, item, time, 5000 if time % 1000 == 0 else of) for user, item, time, of in timeline(count, start=100)]


def test_heavy_tails_are_learnt_on_a_log_scale_and_said():
    data = build("regression", make(heavy()), column="rating")
    assert data.log_scale and data.test.label.max() == 5000
    (note,) = (note for note in data.notes if "heavy tails" in note)
    assert "scale: linear takes them as they are" in note
    train = np.log1p([of for *_, of in heavy()][:20])
    logs = (np.log1p([of for *_, of in heavy()]) - train.mean()) / train.std()
    np.testing.assert_allclose(data.train.log.feedback, logs, rtol=1e-5)
    assert data.scale == pytest.approx((train.mean(), train.std()))
    task = made(kind="regression", column="rating").on_scale(data.log_scale)
    given = [Event(float(of), -np.inf) for *_, of in heavy()]
    np.testing.assert_allclose(feedback(given, task, data.scale), logs, rtol=1e-6)
    assert feedback([Event(None, 0)], task, data.scale).tolist() == [0]


def test_the_scale_is_the_one_that_is_asked_for():
    linear = build("regression", make(heavy()), column="rating", scale="linear")
    assert not linear.log_scale and not any("tails" in note for note in linear.notes)
    log = build("regression", make(timeline()), column="rating", scale="log")
    assert log.log_scale and not any("tails" in note for note in log.notes)
    mean = build("regression", make(heavy()), column="rating", loss="mse")  # which is another on each scale
    assert not mean.log_scale
    with pytest.raises(UserError, match="scale: log is for loss mae, whose medians are the same on every scale; found"):
        build("regression", make(heavy()), column="rating", loss="mse", scale="log")
    with pytest.raises(UserError, match="scale: kind next-gap does not read it; found 'log'; leave it out"):
        build("next-gap", make(timeline()), scale="log")


def test_labels_of_few_numbers_are_levels_where_the_loss_asks_for_a_median():
    events = make([row for user in range(9) for row in timeline(10, user=user, start=100 + user)])
    data = build("regression", events, column="rating")
    assert data.levels == tuple(np.unique(data.train.label)) and len(data.levels) > 2
    (note,) = (note for note in data.notes if "near which predictions are drawn" in note)
    assert f"of {len(data.levels)} numbers" in note
    assert build("regression", events, column="rating", loss="mse").levels == ()
    assert build("regression", make(timeline(8)), column="rating").levels == ()  # that never come again
    mostly = [(user, item, time, 5 if time % 2000 else 1) for user, item, time, _ in timeline(90)]
    stars = build("regression", make(mostly), column="rating")
    assert stars.levels == (1, 5) and not stars.log_scale  # a few far from the others, and yet no tail


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A shop where two things are bought at a time, a few of them in thousands; its texts have prices of all sizes."""
    folder = make_tiny_shop(tmp_path_factory.mktemp("heavy"))
    random = np.random.default_rng(1)
    header, *lines = (folder / "events.csv").read_text().splitlines()
    events = [line.rsplit(",", 1)[0] for line in lines]
    more = [f"{user},i{random.integers(20)},{time}" for user, _, time in (line.split(",") for line in events)]
    counts = np.round(np.exp(random.normal(size=len(events + more)) * 2)).astype(int)
    rows = [f"{event},{count}" for event, count in zip([*events, *more], counts, strict=True)]
    (folder / "events.csv").write_text("\n".join([header, *rows]))
    prices = np.exp(random.normal(size=60) * 3)
    lines = [f"w{n} w{n % 7},{price:.3f}" for n, price in enumerate(prices)]
    (folder / "texts.csv").write_text("\n".join(["text,price", *lines]))
    recipe = tiny_recipe(folder).model_dump(mode="json", exclude_none=True)
    recipe["data"]["texts"] = {"path": f"{folder}/texts.csv", "text": "{text}", "split": "random"}
    recipe["tasks"] = {
        "count": {"kind": "regression", "column": "stars"},
        "price": {"kind": "regression", "label": "price"},
        "gap": {"kind": "next-gap"},
    }
    recipe["train"] = {"epochs": 1, "batch_size": 64}
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    done = peftrec("train", folder / "recipe.yaml", "--run", folder / "run")
    assert done.exit_code == 0, done.stderr
    return folder / "run"


def test_what_a_run_predicts_of_its_test_rows_is_what_it_measured(run):
    """Of users that the run knows, and of the same past when a row brings it along."""
    predictor = Predictor.load(run)
    events = [line.split(",") for line in (run.parent / "events.csv").read_text().splitlines()[1:]]
    for task in ("count", "gap"):
        tests = pq.read_table(run / "test" / f"{task}.parquet").to_pylist()
        known, brought = [], []
        for row in tests:
            asked = {"item": row["item"], "time": row["time"]}
            past = sorted(
                (of for of in events if of[0] == row["group"] and int(of[2]) < row["time"]), key=lambda of: of[2]
            )
            known.append({"user": row["group"], **asked})
            history = [{"item": item, "time": int(time), "value": int(stars)} for _, item, time, stars in past]
            brought.append({"history": history, **asked})
        for rows in (known, brought):
            found = [of["value"] for of in predictor.predict(task, rows)]
            assert found == pytest.approx([row["prediction"] for row in tests], rel=1e-4, abs=1e-5)


def test_the_report_is_in_units_of_the_labels(run):
    report = json.loads((run / "report.json").read_text())["tasks"]
    for task in ("count", "price"):
        rows = pq.read_table(run / "test" / f"{task}.parquet")
        label, prediction = (np.array(rows[name].to_pylist()) for name in ("label", "prediction"))
        assert label.max() > 20 and report[task]["metrics"]["mae"] == pytest.approx(np.abs(label - prediction).mean())
    assert {name for name, of in json.loads((run / "model.json").read_text())["tasks"].items() if of["log_scale"]} == {
        "count",
        "price",
    }
    again = peftrec("evaluate", run, "--json")
    found = json.loads(again.stdout)["tasks"]["price"]["metrics"]
    assert found == pytest.approx(report["price"]["metrics"], rel=1e-3)  # the start is kept in 16 bits
