"""What a recipe may hold: each mistake is named with key, rule and value."""

import copy
from typing import get_args

import pytest
from minimal import MINIMAL

from peftrec.errors import UserError
from peftrec.recipe import (
    TrainConfig,
    make_recipe,
)


def changed(key, value):
    """MINIMAL with one dotted key set."""
    raw = copy.deepcopy(MINIMAL)
    node = raw
    *path, last = key.split(".")
    for part in path:
        node = node.setdefault(part, {})
    node[last] = value
    return raw


def complaint(raw):
    with pytest.raises(UserError) as error:
        make_recipe(raw, "r.yaml")
    return str(error.value)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("backbon", "backbone"),
        ("backbone.quantise", "quantize"),
        ("adapter.metod", "method"),
        ("data.split.kin", "kind"),
        ("tasks.interest.wieght", "weight"),
        ("tasks.interest.adapter.option", "options"),
        ("train.batchsize", "batch_size"),
        ("train.early_stopping.patients", "patience"),
        ("weighting.metho", "method"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known(key, nearest):
    assert complaint(changed(key, 1)) == f"r.yaml: {key}: unknown key; did you mean '{nearest}'?"


def test_an_unknown_key_without_a_near_one_lists_what_is_known():
    message = complaint(changed("weighting.zzz", 1))
    assert message == "r.yaml: weighting.zzz: unknown key; known: method, options"


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        ("train.epochs", "three", ["valid integer", "'three'"]),
        ("train.epochs", 0, ["greater than or equal to 1", "found 0"]),
        ("train.batch_size", 0, ["greater than or equal to 1", "found 0"]),
        ("train.lr", -1e-3, ["greater than 0", "-0.001"]),
        ("train.lr", float("nan"), ["finite", "nan"]),
        ("train.warmup", 1.0, ["less than 1", "found 1.0"]),
        ("train.optimizer", "adam", ["'adamw', 'sgd' or 'adafactor'", "'adam'"]),
        ("tasks.interest.weight", -0.1, ["greater than or equal to 0", "-0.1"]),
        ("tasks.interest.weight", float("inf"), ["finite", "inf"]),
        ("tasks", {}, ["at least 1"]),
        ("tasks", [1], ["tasks: must be a group of keys; found [1]"]),
        ("train", None, ["train: must be a group of keys; found None"]),
        ("backbone.quantize", "int4", ["'nf4', 'fp4' or 'int8'", "'int4'"]),
        ("backbone.double_quant", True, ["double_quant needs quantize: nf4 or fp4", "found quantize: None"]),
        ("backbone.name", None, ["valid string", "None"]),
        ("adapter.layers", "top-0", ["'top-K' with K >= 1", "'top-0'"]),
        ("adapter.layers", [0, 0], ["distinct", "[0, 0]"]),
        ("adapter.layers", [], ["at least one", "[]"]),
        ("adapter.layers", [-1], ["numbers from 0", "[-1]"]),
        ("adapter.layers", 2, ["or a list of distinct numbers", "found 2"]),
        ("adapter.layers", ["top"], ["or a list of distinct numbers", "found ['top']"]),
        ("adapter.layers", [True], ["or a list of distinct numbers", "found [True]"]),
        ("tasks", {1: {"kind": "interest"}}, ["tasks.1: Input should be a valid string; found 1"]),
        ("data.split", {"test": 0.6, "valid": 0.4}, ["test + valid must stay below 1", "0.6 + 0.4"]),
        ("data.history", -1, ["greater than or equal to 0", "found -1"]),
        ("data.items", {"path": "i.csv", "id": "id", "text": "{t}"}, ["either source or tables"]),
        ("data", {}, ["give a source, or at least one of"]),
        ("data", {"texts": {"path": "t", "text": "{t}", "label": "l"}, "path": "x"}, ["path belongs to a source"]),
        ("train.seed", 2**63, ["must be at most 4294967295", "found 9223372036854775808"]),
        ("train.epochs", 10**30, ["must be at most 4294967295"]),
        ("train.lr", 1e300, ["must be at most 1e+30 in size", "found 1e+300"]),
        ("train.lr", "1e300", ["must be at most 1e+30 in size", "found 1e+300"]),
        ("train.head_lr", 1e-300, ["must be 0 or at least 1e-30: 32-bit numbers lose", "found 1e-300"]),
        ("train.weight_decay", float("inf"), ["must be a finite number", "found inf"]),
        ("train.clip", float("inf"), ["must be a finite number", "found inf"]),
        ("tasks.interest.weight", 1e-300, ["must be 0 or at least 1e-30: 32-bit numbers lose", "found 1e-300"]),
        ("tasks.interest.threshold", -1e300, ["must be at most 1e+30 in size", "found -1e+300"]),
        ("tasks.interest.threshold", float("nan"), ["must be a finite number", "found nan"]),
        (
            "tasks.interest.class_weight",
            "balance",
            ["class_weight must be 'balanced', or labels with", "found 'balance'"],
        ),
        ("tasks.interest.class_weight", {"pos": -1}, ["a number from 0 to 1,000,000 each", "found {'pos': -1}"]),
        ("tasks.interest.class_weight", {"pos": True}, ["class_weight must be", "found {'pos': True}"]),
        ("tasks.interest.class_weight", {"pos": float("nan")}, ["class_weight must be", "nan"]),
        ("tasks.interest.class_weight", {"pos": 1e-300}, ["class_weight must be", "1e-300"]),
        ("tasks.interest.class_weight", {}, ["class_weight must be", "found {}"]),
        ("tasks.interest.class_weight", [1, 2], ["class_weight must be", "found [1, 2]"]),
        ("tasks.interest.row_weight", 3, ["valid string", "found 3"]),
        ("tasks.interest.gain", "log", ["'exponential' or 'linear'", "'log'"]),
        ("tasks.interest.share", 1e29, ["less than or equal to 1000000", "found 1e+29"]),
        ("train", {"accumulate": 9, "batch_size": 8}, ["accumulate cuts a step's", "at most 8; found 9"]),
        ("train.lr", 1e-300, ["0 or at least 1e-30", "found 1e-300"]),
        ("train.schedule", "wsd", ["'linear', 'cosine', 'constant' or 'cooldown'", "found 'wsd'"]),
        ("train.early_stopping", True, ["must be a group of keys; found True"]),
        ("train.checkpoint.every", "9" * 5000 + " steps", ["write 'N steps'", "(5,006 letters)"]),
        ("adapter.layers", "top-" + "9" * 5000, ["'top-K'", "(5,004 letters)"]),
        ("train.optimizer", "x" * 20_000, ["'adamw'", "found 'xxx", "... (20,000 letters)"]),
        ("train.epochs", ["x"] * 20_000, ["valid integer", "found ['x', 'x'", "... (100,000 letters)"]),
        ("train." + "x" * 20_000, 1, ["unknown key", "... (20,000 letters): "]),
        (
            "data",
            {"events": {"path": "e", "user": "u", "item": "i", "time": "t"}},
            ["give data.items too", "id: i, text: '{i}'"],
        ),
    ],
)
def test_a_wrong_value_is_named_with_key_rule_and_value(key, value, parts):
    message = complaint(changed(key, value))
    assert message.startswith(f"r.yaml: {key.partition('.')[0]}")
    assert "\n" not in message
    assert len(message) < 700
    for part in parts:
        assert part in message


NUMBERS = [
    "backbone.max_length",
    "data.history",
    "data.split.test",
    "tasks.interest.weight",
    "tasks.interest.threshold",
    "tasks.interest.share",
    *(
        f"train.{key}"
        for key, of in TrainConfig.model_fields.items()
        if {int, float} & {getattr(kind, "__origin__", kind) for kind in (of.annotation, *get_args(of.annotation))}
    ),
]


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("key", NUMBERS)
def test_true_and_false_are_no_numbers(key, value):
    assert complaint(changed(key, value)) == f"r.yaml: {key}: must be a number; found {str(value).lower()}"


def test_a_number_of_more_digits_than_python_writes_is_named():
    # pydantic's own conversion meets the limit first
    assert complaint(changed("train.epochs", 10**5000)).startswith("r.yaml: train.epochs: ")


def test_a_whole_number_may_be_written_with_a_point():
    assert make_recipe(changed("train.epochs", 5.0)).train.epochs == 5
    assert len(NUMBERS) == 19


def test_labels_that_are_numbers_are_names_of_classes():
    found = make_recipe(changed("tasks.interest.class_weight", {0: 1, 1.0: 2.5, 0.5: 3, "yes": 4}))
    assert found.tasks["interest"].class_weight == {"0": 1, "1": 2.5, "0.5": 3, "yes": 4}


def test_every_problem_is_a_line_of_its_own():
    raw = changed("train.epochs", 0)
    raw["backbone"] = {}
    assert complaint(raw).splitlines() == [
        "r.yaml: backbone.name: Field required",
        "r.yaml: train.epochs: Input should be greater than or equal to 1; found 0",
    ]


@pytest.mark.parametrize("raw", [None, [], "text", 3])
def test_a_recipe_is_a_group_of_keys(raw):
    assert "a recipe is a group of keys" in complaint(raw)


@pytest.mark.parametrize("name", ["query", "q", "next-gap", "a_b", "interest2", "2nd", "vidéo", "x" * 64, "查" * 64])
def test_a_good_task_name_is_taken(name):
    assert list(make_recipe(changed("tasks", {name: {"kind": "interest"}})).tasks) == [name]


@pytest.mark.parametrize(
    "name",
    ["", "_a", "a_", "-a", "a-", "a__b", "a.b", "a b", "a/b", "..", "shared", "x" * 65, "a\n", "\U0001d49c" * 51],
)
def test_a_bad_task_name_is_refused(name):
    message = complaint(changed("tasks", {name: {"kind": "interest"}}))
    assert "a task name is 1 to 64 letters" in message
    assert repr(name) in message


def test_task_names_differ_by_more_than_case_and_some_weight_is_positive():
    kind = {"kind": "interest"}
    assert "differ by more than case" in complaint(changed("tasks", {"Query": kind, "query": kind}))
    assert "at least one task needs a weight above 0" in complaint(changed("tasks", {"a": {**kind, "weight": 0}}))


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        make_recipe(MINIMAL).train.epochs = 5
