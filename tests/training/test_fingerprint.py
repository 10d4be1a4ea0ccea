"""Differences between what two trainings depend on: what changes the numbers, and what only their last bits."""

from peftrec.training.fingerprint import differences

THEN = {
    "recipe": {"train": {"lr": 0.1, "epochs": 3}},
    "data": {"texts": "aa", "query.train": "bb"},
    "weights": "cc",
    "versions": {"torch": "2.6"},
    "processes": 1,
    "machine": {"cpu": "one", "threads": 1},
}


def test_the_same_is_no_difference():
    assert differences(THEN, THEN) == ([], [])


def test_values_are_told_where_they_say_something_and_digests_are_not():
    now = {
        "recipe": {"train": {"lr": 0.2, "epochs": 3, "clip": 1.0}},
        "data": {"texts": "aa", "query.train": "b2"},
        "weights": "c2",
        "versions": {"torch": "2.7"},
        "processes": 2,
        "machine": {"cpu": "one", "threads": 4},
    }
    assert differences(THEN, now) == (
        [
            "recipe.train.lr: 0.1, now 0.2",
            "data.query.train: changed",
            "weights: changed",
            "versions.torch: 2.6, now 2.7",
            "processes: 1, now 2",
            "recipe.train.clip: None, now 1.0",
        ],
        ["machine.threads: 1, now 4"],
    )


def test_what_was_there_and_is_no_more_counts():
    assert differences({"recipe": {"a": 1, "b": 2}}, {"recipe": {"a": 1}}) == (["recipe.b: 2, now None"], [])
