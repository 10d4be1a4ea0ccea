"""What may be searched, and how mistakes in it are told. Nothing here is trained."""

import pytest

from peftrec.errors import UserError
from peftrec.recipe import make_recipe
from peftrec.training.search_space import Choice, Range, parse_space, value_at, with_values

RECIPE = make_recipe(
    {
        "backbone": {"name": "m"},
        "data": {"source": "s"},
        "adapter": {"method": "side", "options": {"rank": 32}},
        "tasks": {"interest": {"kind": "interest", "weight": 0.5}, "time": {"kind": "next-gap"}},
    }
)


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("train.lr=1e-4..1e-2 log", Range("train.lr", 1e-4, 1e-2, log=True)),
        ("train.dropout=0..0.5", Range("train.dropout", 0.0, 0.5)),
        ("train.dropout = 0.0..0.4 step 0.1", Range("train.dropout", 0.0, 0.4, step=0.1)),
        ("tasks.interest.weight=0..1", Range("tasks.interest.weight", 0.0, 1.0)),  # the key takes fractions
        ("train.epochs=1..8", Range("train.epochs", 1, 8)),
        ("adapter.options.rank=16..128 step 16", Range("adapter.options.rank", 16, 128, step=16)),
        ("train.batch_size=256..4096 log", Range("train.batch_size", 256, 4096, log=True)),
        ("train.schedule=[linear, cosine]", Choice("train.schedule", ["linear", "cosine"])),
        ("train.clip=[null, 1, 5e-1]", Choice("train.clip", [None, 1.0, 0.5])),
        ("adapter.layers=[all, [0, 2]]", Choice("adapter.layers", ["all", [0, 2]])),
        ("train.early_stopping.patience=1..3", Range("train.early_stopping.patience", 1, 3)),
    ],
)
def test_what_is_written_is_what_is_searched(text, dimension):
    assert parse_space([text], RECIPE) == [dimension]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "--search: nothing to search; write KEY=LOW..HIGH"),
        (["train.lr"], "--search 'train.lr': write KEY=LOW..HIGH"),
        (["train..lr=1..2"], "write KEY=LOW..HIGH"),
        (["train.lrr=1e-4..1e-2"], "recipe: train.lrr: unknown key; did you mean 'lr'?"),
        (["train.lr=0..1e-2"], "train.lr: Input should be greater than 0; found 0"),
        (["train.lr=1e-2..1e-4"], "the first end must be below the second; found 0.01 and 0.0001"),
        (["train.dropout=0..0.5 log"], "log needs ends above 0; found 0.0"),
        (["train.epochs=1..8 step 0.5"], "train.epochs takes whole numbers; found step 0.5"),
        (["train.epochs=1..8 step 9"], "the step must be above 0, and no longer than the range; found 9"),
        (["train.epochs=1..8 steps 2"], "needs a range or at least two different choices"),
        (["train.lr=low..high"], "'low' is no number"),
        (["train.gradient_checkpointing=0..1"], "train.gradient_checkpointing takes no numbers"),
        (["train.schedule=linear"], "needs a range or at least two different choices"),
        (["train.schedule=[linear, linear]"], "needs a range or at least two different choices"),
        (
            ["train.schedule=[linear, cosin]"],
            "train.schedule: Input should be 'linear', 'cosine', 'constant' or 'cooldown'",
        ),
        (["train.epochs=1..8", "train.epochs=2..4"], "--search: train.epochs is searched twice"),
        (["adapter.options=[{}, {rank: 8}]", "adapter.options.rank=2..4"], "adapter.options is searched twice"),
    ],
)
def test_a_mistake_is_one_message(texts, message):
    with pytest.raises(UserError) as error:
        parse_space(texts, RECIPE)
    assert message in str(error.value)


def test_what_is_searched_is_a_list_of_texts():
    with pytest.raises(UserError, match=r"search must be a list of texts; found 'train\.lr=1\.\.2'"):
        parse_space("train.lr=1..2", RECIPE)


def test_all_mistakes_are_told_together():
    with pytest.raises(UserError) as error:
        parse_space(["train.lrr=1..2", "train.epochs=8..1"], RECIPE)
    assert len(str(error.value).splitlines()) == 2


def test_values_at_dotted_keys():
    changed = with_values(RECIPE, {"adapter.options.rank": 8, "train.early_stopping.patience": 4, "train.clip": None})
    assert changed.adapter.options == {"rank": 8}
    assert (changed.train.early_stopping.patience, changed.train.clip) == (4, None)
    assert value_at(RECIPE, "adapter.options.rank") == 32
    assert value_at(RECIPE, "train.early_stopping.patience") is None
