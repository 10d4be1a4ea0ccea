"""The lines of metrics.jsonl: what each holds, when it is due, and that the norms are the gradients'."""

import numpy as np
import pytest
from tiny import make_tiny_shop, prepared

from peftrec.training import watch
from peftrec.training.loop import fit

pytestmark = pytest.mark.usefixtures("quick")

STEPS = 12
SIDE = {"method": "side", "options": {"rank": 4}}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


def history(shop, **changes):
    return fit(prepared(shop, **changes)).history


def test_a_line_holds_what_is_watched(shop):
    lines = history(shop, adapter={"method": "lora", "sharing": "shared+private"})
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))  # a short training: every step
    for line in lines:
        assert set(line["train_loss"]) == {"query", "interest"}
        assert line["weight"] == {"query": 1.0, "interest": 0.5}
        assert set(line["gradient_norm"]) == {"shared", "query", "interest"}
        assert ("vector_cosine" in line) == (line["step"] > 1)
        assert all(-1 <= of <= 1 for of in line.get("vector_cosine", {"query with interest": 0}).values())
        # At the first step heads begin at zero, and send nothing back.
        assert all((norm > 0) == (line["step"] > 1) for norm in line["vector_gradient_norm"].values())
        assert 0 < line["padding"] < 1
        assert line["examples_per_second"] > 0 and line["memory_mb"]["process"] > 50
        assert ("valid" in line) == (line["step"] % 4 == 0)
    rates = [line["learning_rate"] for line in lines]
    assert max(rate["adapter"] for rate in rates) == pytest.approx(1e-2)
    assert all(rate["head"] == pytest.approx(0.2 * rate["adapter"]) for rate in rates)  # 2e-3 to 1e-2
    assert rates[-1]["adapter"] < rates[1]["adapter"]


def test_lines_are_means_of_the_steps_between_them(shop):
    single, sparse = history(shop), history(shop, train={"log_every": 3})
    assert [line["step"] for line in sparse] == [3, 4, 6, 8, 9, 12]  # and where an epoch ends
    for line, steps in zip(sparse, [(1, 2, 3), (4,), (5, 6), (7, 8), (9,), (10, 11, 12)], strict=True):
        for group in ("train_loss", "gradient_norm", "vector_gradient_norm"):
            for name, value in line[group].items():
                assert value == pytest.approx(np.mean([single[step - 1][group][name] for step in steps]))
    assert [line["valid"] for line in sparse if "valid" in line] == [
        line["valid"] for line in single if "valid" in line
    ]


def test_a_long_training_has_about_a_hundred_lines(shop, monkeypatch):
    monkeypatch.setattr("peftrec.training.loop.validate", lambda setup, judge=None: {})
    assert watch.LINES == 100
    monkeypatch.setattr(watch, "LINES", 20)
    lines = history(shop, adapter=SIDE, train={"epochs": 15})
    assert [line["step"] for line in lines if line["step"] % 3 == 0] == list(range(3, 61, 3))
    assert all("valid" in line for line in lines if line["step"] % 3)


def test_a_backbone_that_is_not_run_pads_nothing(shop):
    assert all(line["padding"] is None for line in history(shop, adapter=SIDE))


def test_without_an_adapter_there_is_no_norm(shop):
    lines = history(shop, adapter={"method": "head_only", "sharing": "shared"})
    assert all("gradient_norm" not in line and "vector_gradient_norm" not in line for line in lines)
