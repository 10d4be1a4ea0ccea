"""The arm that is chosen elsewhere: by other fields' pairs alone, and none where none gained."""

from benchmarks.studies.chosen import choose


def pair(field, **metrics):
    """Metrics -> sizes -> gains of (begun, together, after) over a value of 0.5 alone."""
    made = {
        metric: {
            size: {
                "alone": 0.5,
                "arms": {
                    arm: {"value": 0.0, "gain": gain, "interval": [gain - 0.01, gain + 0.01]}
                    for arm, gain in zip(("begun", "together", "after"), gains, strict=True)
                },
            }
            for size, gains in sizes.items()
        }
        for metric, sizes in metrics.items()
    }
    return {"field": field, "metrics": made}


def chosen(pairs):
    """Pair -> metric -> size -> the arm."""
    choose(pairs)
    return {
        name: {
            metric: {size: cell["arms"]["chosen"]["arm"] for size, cell in cells.items()}
            for metric, cells in of["metrics"].items()
        }
        for name, of in pairs.items()
    }


def test_of_a_pair_it_is_what_gained_most_on_other_fields_pairs_by_their_first_metric():
    pairs = {
        "a": pair("texts", log_loss={"60": (0.9, 0.0, 0.0)}, macro_f1={"60": (0.0, 0.0, 0.9)}),
        "b": pair("texts", log_loss={"60": (0.8, 0.0, 0.1)}),
        "c": pair("films", log_loss={"60": (0.0, 0.2, 0.1)}),
    }
    assert chosen(pairs) == {
        "a": {"log_loss": {"60": "together"}, "macro_f1": {"60": "together"}},
        "b": {"log_loss": {"60": "together"}},
        "c": {"log_loss": {"60": "begun"}},
    }
    cell = pairs["a"]["metrics"]["macro_f1"]["60"]["arms"]
    assert cell["chosen"] == cell["together"] | {"arm": "together"}


def test_gains_are_shares_of_a_loss_or_of_what_is_lacking_and_sizes_go_by_place():
    pairs = {
        "a": pair("texts", **{"ndcg@10": {"60": (0.1, 0.0, 0.0), "1600": (0.0, 0.0, 0.1)}}),
        "b": pair("films", log_loss={"60": (0.0, 0.0, 0.0), "900": (0.0, 0.0, 0.0)}),
        "c": pair("shop", mae={"60": (0.0, 0.15, 0.0)}),
    }
    assert chosen(pairs)["b"]["log_loss"] == {"60": "together", "900": "after"}


def test_where_no_other_gained_it_is_alone_and_gains_nothing():
    pairs = {"a": pair("texts", mae={"60": (0.1, 0.1, 0.1)}), "b": pair("films", mae={"60": (-0.1, -0.2, -0.3)})}
    assert chosen(pairs) == {"a": {"mae": {"60": "alone"}}, "b": {"mae": {"60": "begun"}}}
    level = {"value": 0.5, "gain": 0.0, "interval": [0.0, 0.0], "arm": "alone"}
    assert pairs["a"]["metrics"]["mae"]["60"]["arms"]["chosen"] == level
