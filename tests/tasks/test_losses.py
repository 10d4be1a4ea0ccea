"""What every loss must say of itself: the table's entries, and one from outside."""

import sys
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made import made

from peftrec.data.scales import pulled
from peftrec.evaluation.at_k import CHOICE
from peftrec.evaluation.metrics import METRICS
from peftrec.tasks.kinds import KINDS
from peftrec.tasks.losses import LOSSES, TAG_LOSSES, Loss, on_levels, on_log

HINGE = Loss(
    "liked",
    lambda output, label: (1 - output * (2 * label - 1)).clamp(min=0),
    torch.sigmoid,
    "own_losses:HINGE_METRIC",
)
ALL = {**LOSSES, "own_losses:HINGE": HINGE}
seeds = st.integers(0, 2**32 - 1)


def rows(labels: str, seed: int):
    """Raw outputs and labels of 20 rows, as a head and a builder make them."""
    random = np.random.default_rng(seed)
    if labels == "tags":
        return random.normal(size=(20, 4)), random.integers(0, 2, (20, 4))
    if labels == "class":
        return random.normal(size=(20, 4)), random.integers(0, 4, 20)
    if labels == "choice":
        return random.normal(size=(20, 7)), np.ones(20)
    return random.normal(size=20), random.integers(0, 2, 20) if labels == "liked" else random.normal(size=20)


NAMED = [*LOSSES.values(), *TAG_LOSSES.values()]


def test_the_table_is_whole():
    assert {name: loss.labels for name, loss in TAG_LOSSES.items()} == {"bce": "tags"}
    assert set(LOSSES) == {"cross_entropy", "softmax", "bce", "mse", "mae"}
    assert {loss.labels for loss in LOSSES.values()} == {"class", "choice", "liked", "number"}


@pytest.mark.parametrize("loss", NAMED, ids=lambda loss: loss.labels)
@settings(deadline=None, max_examples=30)
@given(seed=seeds)
def test_its_metric_stands_for_it(loss, seed):
    output, label = rows(loss.labels, seed)
    tensor = torch.from_numpy(output)
    each = loss.value(tensor, torch.from_numpy(label).to(tensor.dtype))
    assert each.shape == (20,)
    value = float(each.mean())
    if loss.labels == "choice":  # measured by the log-probability of the own item
        found = CHOICE[loss.metric](torch.log_softmax(tensor, -1)[:, 0].numpy(), label, np.arange(20))
    else:
        found = METRICS[loss.metric](loss.predict(tensor).numpy(), label, np.arange(20))
        weight = np.random.default_rng(seed).exponential(size=20)
        weighed = METRICS[loss.metric](loss.predict(tensor).numpy(), label, np.arange(20), weight)
        assert weighed**loss.power == pytest.approx(np.average(each.numpy(), weights=weight), rel=1e-6)
    assert found**loss.power == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("loss", NAMED, ids=lambda loss: loss.labels)
@settings(deadline=None, max_examples=20)
@given(seed=seeds)
def test_no_constant_is_better_than_its_start(loss, seed):
    _, label = rows(loss.labels, seed)
    shift, scale = loss.start(label.astype(np.float64))
    if loss.labels in ("class", "choice"):
        assert (shift, scale) == (0, 1)  # heads of several outputs start by themselves
        return
    if (label == label[0]).all():
        return  # training refuses it
    target = torch.from_numpy(label).double()
    constant = torch.from_numpy(np.broadcast_to(shift, label.shape).astype(np.float64))
    best = float(loss.value(constant, target).mean())
    for away in (-0.5, -0.01, 0.01, 0.5):
        assert best <= float(loss.value(constant + away, target).mean()) + 1e-12
    assert scale == pytest.approx(1.0 if loss.labels in ("liked", "tags") else label.std() + 1e-6)


@pytest.mark.parametrize("name", ALL)
def test_every_kind_with_such_labels_takes_it_and_no_other(name, monkeypatch):
    module = types.ModuleType("own_losses")
    module.HINGE = HINGE
    monkeypatch.setitem(sys.modules, "own_losses", module)
    taken = []
    for kind, of in KINDS.items():
        try:
            task = made(kind=kind, loss=name)
        except ValueError:
            assert name not in of.losses
            continue
        assert task.loss is ALL[name] and task.config.loss == name
        own = (HINGE.metric,) if name == "own_losses:HINGE" else ()  # what stands for an own loss is measured too
        assert task.metrics == (*task.kind.metrics[ALL[name].labels], *own)
        taken.append(kind)
    if ":" in name:
        assert taken == ["interest"]
    else:
        others = ["match-query"] if name == "softmax" else []  # of matches alone: another form of the kind
        assert taken == [kind for kind, of in KINDS.items() if name in of.losses or kind in others] != []


def test_a_loss_on_the_log_scale_reads_and_gives_numbers_as_they_are():
    label = np.array([0.0, 2, -5, 8, 30_000])
    raw = np.array([0.5, 1.0, -2.0, 0.0, 10.0])
    logs = np.array([0, np.log(3), -np.log(6), np.log(9), np.log(30_001)])
    loss = on_log(LOSSES["mae"])
    each = loss.value(torch.from_numpy(raw), torch.from_numpy(label))
    assert each.numpy() == pytest.approx(np.abs(raw - logs))
    predicted = [np.expm1(0.5), np.expm1(1), -np.expm1(2), 0, np.expm1(10)]
    assert loss.predict(torch.from_numpy(raw)).numpy() == pytest.approx(predicted)
    shift, scale = loss.start(label)
    assert shift == pytest.approx(np.log(3)) and scale == pytest.approx(logs.std(), rel=1e-5)
    assert (loss.metric, loss.labels, loss.power) == ("mae", "number", 1)


def test_a_loss_on_levels_draws_what_is_predicted_near_them_and_learns_as_before():
    raw, label, levels = (
        torch.tensor([0.2, 1.4, 1.6, 3.9, 7.0, -2.0]),
        torch.tensor([1.0, 1, 2, 4, 4, 1]),
        (1.0, 2.0, 4.0),
    )
    loss = on_levels(LOSSES["mae"], levels)
    assert loss.predict(raw).numpy() == pytest.approx([0.92, 1.04, 1.96, 3.99, 4.3, 0.7], abs=1e-6)
    assert loss.predict(raw).numpy() == pytest.approx(pulled(raw.numpy(), levels), abs=1e-6)
    assert torch.equal(loss.value(raw, label), LOSSES["mae"].value(raw, label))
    assert loss.free(loss.predict(raw).numpy()) == pytest.approx(raw.numpy(), abs=1e-5)
    logs = on_levels(on_log(LOSSES["mae"]), (0.0, 100.0))
    assert logs.predict(torch.tensor([np.log(51.5), np.log(49)])).numpy() == pytest.approx([95.05, 4.8], rel=1e-4)
