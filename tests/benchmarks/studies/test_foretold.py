"""Whether affinity foretells: ranks of forecasts beside ranks of what came of them."""

import pytest

from benchmarks.studies.foretold import foretold


def pair(metric, *cells, arm="together", **more):
    """Cells of 60, 61, ... rows, each a forecast and a gain over a value of 0.5 alone."""
    made = {
        str(60 + n): {"forecast": forecast, "alone": 0.5, "arms": {arm: {"gain": gain}, **more}}
        for n, (forecast, gain) in enumerate(cells)
    }
    return {"metrics": {metric: made, "accuracy": {}}}


def test_it_is_the_correlation_of_ranks_over_all_cells_that_have_a_forecast():
    pairs = {
        "a": pair("log_loss", (0.1, 0.01), (0.2, 0.02), (None, 9.0)),
        "b": pair("ndcg@10", (0.3, 0.04), (0.4, 0.03)),
    }
    found = foretold(pairs)
    assert [(cell["pair"], cell["size"]) for cell in found["cells"]] == [("a", 60), ("a", 61), ("b", 60), ("b", 61)]
    assert [cell["found"] for cell in found["cells"]] == pytest.approx([0.02, 0.04, 0.08, 0.06])
    assert found["correlation"] == pytest.approx(1 - 6 * 2 / (4 * 15))  # two neighbours in the wrong order
    low, high = found["interval"]
    assert low < found["correlation"] < high == 1


def test_of_events_it_is_what_the_task_adds_to_its_data():
    reading = {"reading": {"value": 0.4}, "together": {"gain": 0.3}}
    found = foretold({"a": pair("log_loss", (0.1, 0.01), (0.2, 0.02), (0.3, 0.03), arm="co-training", **reading)})
    assert [cell["found"] for cell in found["cells"]] == pytest.approx([0.025, 0.05, 0.075])
    assert found["correlation"] == 1


def test_more_of_ndcg_is_a_share_of_what_was_lacking():
    cells = foretold({"a": pair("ndcg@10", *[(0.1 * n, 0.1) for n in range(3)]) | {}})["cells"]
    assert [cell["found"] for cell in cells] == pytest.approx([0.2] * 3)


def test_of_two_cells_nothing_is_said():
    assert foretold({"a": pair("mae", (0.1, 0.01), (0.2, 0.02), (None, 0.3))}) is None
