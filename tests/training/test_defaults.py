"""What `train` leaves open is chosen by stated rules, in one place, and said."""

import json
from types import SimpleNamespace

import pytest
from minimal import MINIMAL
from tiny import make_tiny_shop, tiny_recipe

from peftrec.recipe import TrainConfig, load_recipe, make_recipe
from peftrec.training.defaults import chosen_notes, rows_an_epoch, settle, settled
from peftrec.training.loop import train
from peftrec.training.prepare import prepare

OPEN = ("epochs", "batch_size", "lr", "head_lr", "schedule", "weight_decay", "dropout", "refit")


def chosen(rows=10_000, methods=("lora",), watched=True, **config):
    return settle(TrainConfig(**config), rows, methods, watched)


@pytest.mark.parametrize(
    ("rows", "batch", "epochs", "patience"),
    [
        (1, 16, 40, 100),  # one step an epoch
        (50, 16, 40, 25),  # 2 * sqrt(50) = 14.1; 4 steps an epoch
        (500, 32, 40, 7),  # 44.7 -> 32 = 2^5 (log2 5.48); 16 steps
        (2_000, 64, 32, 4),  # 89.4 -> 64 (log2 6.48); 32 steps: 1,000 / 32 = 31.25
        (10_000, 256, 25, 3),  # 200 -> 256 (log2 7.64); 40 steps
        (100_000, 512, 6, 3),  # 632 -> 512 (log2 9.30); 196 steps
        (1_000_000, 2048, 4, 3),  # 2,000 -> 2,048; 489 steps
        (100_000_000, 2048, 4, 3),
    ],
)
def test_batches_grow_with_the_rows_and_epochs_make_steps(rows, batch, epochs, patience):
    found = chosen(rows)
    assert (found.batch_size, found.epochs, found.early_stopping.patience) == (batch, epochs, patience)


def test_patience_is_for_every_task():
    assert [chosen(500, methods=["side"] * tasks).early_stopping.patience for tasks in (1, 2, 3)] == [7, 13, 19]
    assert chosen(100_000, methods=["side", "lora"]).early_stopping.patience == 3  # of 196 steps each


def test_what_is_given_stays_and_the_rest_follows_it():
    found = chosen(10_000, batch_size=1000, lr=3e-4, early_stopping={"patience": 2, "metric": "a.b"})
    assert (found.batch_size, found.lr, found.epochs) == (1000, 3e-4, 40)  # 10 steps an epoch
    assert (found.early_stopping.patience, found.early_stopping.metric) == (2, "a.b")
    assert chosen(epochs=1, schedule="linear").model_dump() == {
        **chosen().model_dump(),
        "epochs": 1,
        "schedule": "linear",
    }
    assert chosen(50, accumulate=30).batch_size == 30  # parts have rows


def test_rates_follow_the_method_the_smallest_where_there_are_several():
    assert chosen(methods=["full"]).lr < chosen(methods=["side"]).lr < chosen(methods=["lora"]).lr
    assert chosen(methods=["side", "LORA"]).lr == chosen(methods=["side"]).lr
    assert chosen(methods=["package.module:Mine"]).lr == chosen().lr


@pytest.mark.parametrize(("batch", "lr", "head_lr"), [(1024, 2e-3, 2e-3), (256, 1e-3, 1e-3), (16, 2.5e-4, 2.5e-4)])
def test_rates_go_by_the_square_root_of_the_batch(batch, lr, head_lr):
    found = chosen(batch_size=batch)
    assert (found.lr, found.head_lr) == pytest.approx((lr, head_lr))
    assert chosen(50).head_lr == pytest.approx(2.5e-4)  # its batches are 16


def test_without_validation_rows_nothing_is_watched_and_training_is_shorter():
    found = chosen(watched=False)
    assert (found.early_stopping, found.schedule, found.epochs) == (None, "linear", 8)
    assert chosen(early_stopping=None).model_dump() == found.model_dump()
    assert chosen(early_stopping=False).early_stopping is None
    assert (chosen().schedule, chosen(1_000_000, watched=False).epochs) == ("cooldown", 4)


def test_few_rows_are_trained_on_again_with_those_of_validation():
    assert [chosen(rows).refit for rows in (20, 20_000, 20_001)] == [True, True, False]
    assert not chosen(watched=False).refit and not chosen(early_stopping=None).refit
    assert chosen(30_000, refit=True).refit and not chosen(20, refit=False).refit


@pytest.mark.parametrize("timed", [True, False])
def test_so_they_are_with_times_and_without(shop, open_recipe, timed):
    raw = open_recipe.model_dump()
    events = raw["data"]["events"] | ({} if timed else {"time": None})
    split = {"kind": "random", "test": 0.2, "valid": 0.2}
    data = raw["data"] | {"events": events, "split": split}
    setup = prepare(make_recipe(raw | {"data": data, "tasks": {"next": {"kind": "next-item"}}}))
    assert setup.config.refit is True


def test_what_was_chosen_is_said():
    given = TrainConfig(batch_size=100, lr=1e-3, head_lr=1e-3, schedule="linear", weight_decay=0, dropout=0)
    assert chosen_notes(given, settle(given, 1000, ["lora"], True)) == [
        "train: chosen epochs 40, refit True, early_stopping.patience 10"
    ]
    complete = settle(given, 1000, ["lora"], True)
    assert chosen_notes(complete, settle(complete, 1000, ["lora"], True)) == []


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def open_recipe(shop):
    """The tiny recipe without a `train` section."""
    return make_recipe(tiny_recipe(shop).model_dump() | {"train": {}})


def test_rows_and_methods_are_those_of_the_trained_tasks(open_recipe):
    setup = prepare(open_recipe)
    rows = {name: len(of.train) for name, of in setup.dataset.tasks.items()}
    assert rows_an_epoch(open_recipe, setup.dataset) == rows
    assert setup.config == settled(open_recipe, setup.dataset) == chosen(sum(rows.values()), ["lora"] * len(rows))
    halved = make_recipe({**open_recipe.model_dump(), "tasks": {"query": {"kind": "match-query", "share": 0.5}}})
    assert rows_an_epoch(halved, setup.dataset) == {"query": round(rows["query"] / 2)}


@pytest.mark.parametrize(
    ("temperature", "shares", "expected"),
    [
        (1, {}, {"a": 100, "b": 10_000, "c": 400}),
        (0, {}, {"a": 3500, "b": 3500, "c": 3500}),
        (0.5, {}, {"a": 808, "b": 8077, "c": 1615}),  # 10,500 rows in proportion 10 : 100 : 20
        (0.5, {"b": 0.1}, {"a": 167, "b": 1000, "c": 333}),  # of a and c 500 rows, 10 : 20
        (0, {"a": 2, "b": 1, "c": 0.001}, {"a": 200, "b": 10_000, "c": 1}),
    ],
)
def test_tasks_without_a_share_give_rows_by_temperature_as_many_in_all(temperature, shares, expected):
    rows = {"a": 100, "b": 10_000, "c": 400}
    tasks = {name: {"kind": "interest", **({"share": shares[name]} if name in shares else {})} for name in rows}
    recipe = make_recipe({**MINIMAL, "tasks": tasks, "sampling": {"temperature": temperature}})
    dataset = SimpleNamespace(tasks={name: SimpleNamespace(train=range(n)) for name, n in rows.items()})
    assert rows_an_epoch(recipe, dataset) == expected


@pytest.mark.usefixtures("quick")
def test_a_run_keeps_what_was_written_and_its_report_what_was_chosen(shop, open_recipe, tmp_path):
    raw = open_recipe.model_dump() | {"train": {"max_steps": 3, "head_lr": 1e-3}}
    run = train(make_recipe(raw), tmp_path / "run")
    written, report = load_recipe(run / "run.yaml"), json.loads((run / "report.json").read_text())
    assert written == make_recipe(raw)
    assert (written.train.epochs, written.train.early_stopping.patience) == (None, None)
    assert report["train"] == prepare(written).config.model_dump(mode="json")
    assert all(report["train"][key] is not None for key in OPEN)
    assert report["train"]["head_lr"] == 1e-3
