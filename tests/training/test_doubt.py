"""What few rows say: a label may be wrong, by hand; of numbers and ranks the metric as it is."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from peftrec.evaluation.metrics import find_metric
from peftrec.tasks.losses import LOSSES, on_levels
from peftrec.training import doubt
from peftrec.training.doubt import errors_of, judged

RANDOM = np.random.default_rng(0)


def loss_of(labels, metric="log_loss"):
    """All that is read of a loss."""
    return SimpleNamespace(labels=labels, metric=metric, free=np.asarray)


def drawn(labels, rows):
    """Probabilities of four classes, of each of three, or of one, and labels."""
    if labels == "class":
        return RANDOM.dirichlet(np.ones(4), rows), RANDOM.integers(0, 4, rows)
    shape = (rows, 3) if labels == "tags" else (rows,)
    return RANDOM.random(shape), (RANDOM.random(shape) > 0.5).astype(np.float32)


@pytest.mark.parametrize("rows", [1, 12, 1000])
def test_a_label_is_right_or_wrong_whatever_is_right_then(rows):
    chances, label = drawn("class", rows)
    weight, wrong = RANDOM.random(rows), 2 / (rows + 2)
    each = [(1 - wrong) * np.log(p[y]) + wrong * np.log(p.sum() - p[y]) for p, y in zip(chances, label, strict=True)]
    found = judged(loss_of("class"), chances, label, label)(weight)
    assert found == pytest.approx(-np.average(each, weights=weight))


@pytest.mark.parametrize("labels", ["liked", "tags"])
def test_what_is_true_or_not_may_be_otherwise(labels):
    chances, label = drawn(labels, 12)
    true = label * 12 / 14 + (1 - label) * 2 / 14
    each = -(true * np.log(chances) + (1 - true) * np.log(1 - chances)).reshape(12, -1).mean(1)
    assert judged(loss_of(labels), chances, label, np.arange(12))(np.ones(12)) == pytest.approx(each.mean())


def test_a_dozen_rows_all_right_prove_less_than_certainty():
    label, ones = np.zeros(12, np.int64), np.ones(12)

    def at(sure):
        chances = np.tile([sure, (1 - sure) / 2, (1 - sure) / 2], (12, 1))
        return judged(loss_of("class"), chances, label, label)(ones)

    assert min(np.linspace(0.5, 0.999, 500), key=at) == pytest.approx(12 / 14, abs=0.002)
    assert np.isfinite([at(0), at(1)]).all()


@pytest.mark.parametrize("labels", ["class", "liked", "tags"])
def test_without_doubt_it_is_the_metric(monkeypatch, labels):
    monkeypatch.setattr(doubt, "DOUBT", 0.0)
    chances, label = drawn(labels, 12)
    found = judged(loss_of(labels), chances, label, np.arange(12))(np.ones(12))
    assert found == pytest.approx(find_metric("log_loss")(chances, label, np.arange(12)))


@pytest.mark.parametrize(("labels", "metric"), [("number", "mae"), ("choice", "log_loss")])
def test_numbers_and_ranks_are_judged_as_they_are(labels, metric):
    said, label = RANDOM.random(12), np.round(RANDOM.random(12))
    found = judged(loss_of(labels, metric), said, label, np.arange(12))(np.ones(12))
    assert found == find_metric(metric)(said, label, np.arange(12))


def test_numbers_of_levels_are_judged_before_they_are_drawn_near_them():
    """Of twelve rows one that passes from a star to the next is a twelfth of a star of what is predicted."""
    loss, label, ones = on_levels(LOSSES["mae"], (1.0, 2.0, 3.0)), np.full(12, 2.0), np.ones(12)

    def at(first):
        raw = torch.tensor([first, *[2.0] * 11])
        return judged(loss, loss.predict(raw).numpy(), label, np.arange(12))(ones)

    assert at(1.51) - at(1.49) == pytest.approx(-0.02 / 12, abs=1e-5)
    mae = find_metric("mae")(loss.predict(torch.tensor([1.49])).numpy(), label[:1], label[:1])
    assert mae > 0.9


def test_of_numbers_a_difference_must_be_larger():
    assert errors_of(LOSSES["mae"]) == errors_of(LOSSES["mse"]) == 2
    assert {name: errors_of(LOSSES[name]) for name in ("bce", "softmax", "cross_entropy")} == dict.fromkeys(
        ("bce", "softmax", "cross_entropy"), 1
    )


def test_rows_that_all_weigh_nothing_have_no_value():
    label = np.zeros(3, np.int64)
    assert np.isnan(judged(loss_of("class"), np.full((3, 2), 0.5), label, label)(np.zeros(3)))
