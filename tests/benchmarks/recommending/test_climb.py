"""The search on validation rows."""

from benchmarks.recommending.climb import at_end, climb

LADDERS = {"a": (1, 2, 3, 4, 5), "b": ("x", "y", "z")}
VALUES = {"x": 0.0, "y": 1.0, "z": 0.5}


def worth(constants):
    return VALUES[constants["b"]] - abs(constants["a"] - 4)


def test_the_best_comes_first_and_the_rungs_beside_it_were_tried():
    found = climb(LADDERS, {"a": 2, "b": "x"}, worth, 20)
    assert found[0] == {"a": 4, "b": "y", "value": 1.0}
    tried = [(of["a"], of["b"]) for of in found]
    assert {(3, "y"), (5, "y"), (4, "x"), (4, "z")} <= set(tried)
    assert len(tried) == len(set(tried)) < 15 and [of["value"] for of in found] == sorted(
        (of["value"] for of in found), reverse=True
    )


def test_no_more_is_tried_than_may_be():
    asked = []
    found = climb(LADDERS, {"a": 1, "b": "x"}, lambda constants: asked.append(constants) or worth(constants), 3)
    assert len(found) == len(asked) == 3 and found[0]["a"] == 3


def test_ends_of_a_ladder_are_told():
    assert at_end(LADDERS, {"a": 5, "b": "y"}) == ["a"]
    assert at_end(LADDERS, {"a": 3, "b": "x"}) == ["b"]
    assert at_end(LADDERS, {"a": 2, "b": "y"}) == []
