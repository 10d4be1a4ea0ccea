"""A step's gradient: its norms an owner, and what a task of weight zero asks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from tiny import make_tiny_shop, prepared

from peftrec.errors import UserError
from peftrec.machine import processes
from peftrec.training.step import _Joint, clip_gradients, gradient_norms, joint_backward
from peftrec.training.weighting import Static

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("method", ["lora", "side"])
@pytest.mark.parametrize("sharing", ["shared", "shared+private"])
def test_the_norms_are_those_of_the_gradients(shop, method, sharing):
    adapter = {"method": method, "sharing": sharing}
    model, data, rows = batch_of(prepared(shop, adapter=adapter, train={"dropout": 0.0}))
    norms = step(model, data, rows, [1.0, 0.5])
    for owner, parameters in model.encoder.parameters_by_owner().items():
        squares = sum(float(p.grad.square().sum()) for p in parameters.values() if p.grad is not None)
        assert norms[f"gradient_norm/{owner}"] == pytest.approx(squares**0.5, rel=1e-5)
        assert squares > 0
    for task, weight in (("query", 1.0), ("interest", 0.5)):
        assert norms[f"vector_gradient_norm/{task}"] == pytest.approx(
            weight * vector_gradient(model, task, data[task].take(rows[task])), rel=1e-4
        )


def test_a_task_of_weight_zero_asks_nothing_of_the_encoder(shop):
    model, data, rows = batch_of(prepared(shop, adapter={"method": "lora", "sharing": "shared"}))
    norms = step(model, data, rows, [1.0, 0.0])
    assert norms["vector_gradient_norm/interest"] == 0
    assert not any(name.startswith("vector_cosine/") for name in norms)
    assert norms["vector_gradient_norm/query"] > 0


@pytest.mark.parametrize(("parts", "count"), [(1, 1), (3, 1), (1, 3), (4, 2)])
def test_rows_count_by_their_weight_however_a_step_is_cut_or_shared_out(shop, monkeypatch, parts, count):
    setup = prepared(shop, adapter={"method": "side"}, train={"dropout": 0.0})
    model, data, rows = batch_of(setup)
    own = data["interest"]
    weight = np.random.default_rng(0).exponential(size=len(own)).astype(np.float32)
    data["interest"] = replace(own, weight=weight)
    trained = list(model.trainable().values())
    each = [model.losses({"interest": own.take(rows["interest"][[n]])})[0] for n in range(20)]
    expected = sum(w * loss for w, loss in zip(weight[:20].tolist(), each, strict=True)) / 20
    gradients = torch.autograd.grad(expected, trained, allow_unused=True)

    model.parts = parts
    monkeypatch.setattr(processes, "count", lambda: count)
    total, found = torch.zeros(2), [torch.zeros_like(p) for p in trained]
    for number in range(count):  # one after the other what several processes do, and their sums
        monkeypatch.setattr(processes, "number", lambda number=number: number)
        joint = _Joint(model, data, rows, Static(torch.tensor([0.0, 1.0])), Accelerator())
        joint.weights = torch.tensor([0.0, 1.0])
        for parameter in trained:
            parameter.grad = None
        total += joint.backward()
        found = [f if p.grad is None else f + p.grad for f, p in zip(found, trained, strict=True)]
    assert total[1].item() == pytest.approx(expected.item(), rel=1e-5)
    for one, other in zip(found, gradients, strict=True):
        torch.testing.assert_close(one, torch.zeros_like(one) if other is None else other, rtol=1e-4, atol=1e-6)


def test_a_loss_that_gives_the_mean_is_refused(shop):
    setup = prepared(shop, adapter={"method": "side"})
    loss = setup.model.loss_of["query"]
    setup.model.loss_of["query"] = replace(loss, value=lambda output, label: loss.value(output, label).mean())
    with pytest.raises(UserError, match=r"tasks\.query\.loss: its `value` must give each row's loss, .* \(7,\), not"):
        setup.model.losses({"query": setup.dataset.tasks["query"].train.take(np.arange(7))})


def batch_of(setup):
    model = setup.model.train()
    data = {task: of.train for task, of in setup.dataset.tasks.items()}
    with torch.no_grad():  # away from the zero start, where gradients vanish
        generator = torch.Generator().manual_seed(1)
        for parameter in model.trainable().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model, data, {task: np.arange(20) for task in data}


def step(model, data, rows, weights):
    torch.manual_seed(0)
    joint_backward(model, data, rows, Static(torch.tensor(weights)), Accelerator())
    return gradient_norms(model, Accelerator())


def vector_gradient(model, task, examples):
    """Norm of the gradient of one task's loss on the text vectors that its head reads."""
    kept = []
    encode = model.encoder.encode

    def encoded(*arguments):
        kept.append(encode(*arguments).detach().requires_grad_())
        return kept[-1]

    model.encoder.encode = encoded
    loss = model.losses({task: examples})[0]
    del model.encoder.encode
    return float(torch.autograd.grad(loss, kept)[0].norm())


SIZES = st.floats(1e-3, 1e3)


@given(shared=SIZES, query=SIZES, interest=SIZES, most=SIZES)
def test_each_owner_is_clipped_by_its_own_norm(shared, query, interest, most):
    sizes = {"adapter/shared/a": shared, "adapter/query/a": query, "head/query/b": query, "head/interest/b": interest}
    sizes["fusion/shared/t"] = shared
    random = np.random.default_rng(0)
    values = {name: size * random.normal(size=7) for name, size in sizes.items()}
    parameters = {name: torch.nn.Parameter(torch.zeros(7, dtype=torch.float64)) for name in values}
    parameters["head/interest/untouched"] = torch.nn.Parameter(torch.zeros(2))
    for name, value in values.items():
        parameters[name].grad = torch.from_numpy(value.copy())
    assert clip_gradients(parameters, most, Accelerator())
    for owner in ("shared", "query", "interest"):
        of = {name: value for name, value in values.items() if name.split("/")[1] == owner}
        norm = float(np.sqrt(sum((value**2).sum() for value in of.values())))
        for name, value in of.items():
            assert parameters[name].grad.numpy() == pytest.approx(value * min(1, most / (norm + 1e-6)), rel=1e-4)


@pytest.mark.parametrize("method", ["lora", "side"])
def test_what_is_a_task_s_own_is_clipped_as_if_it_were_alone(shop, method):
    options = {"lora": {"lora_dropout": 0.0}, "side": {}}[method]
    private = {"method": method, "sharing": "private", "options": options}
    model, data, rows = batch_of(prepared(shop, adapter=private, train={"dropout": 0.0}))
    found = {}
    for asked in (["query", "interest"], ["query"], ["interest"]):
        for parameter in model.trainable().values():
            parameter.grad = None
        some = {task: rows[task] for task in asked}
        joint_backward(model, data, some, Static(torch.ones(len(asked))), Accelerator())
        assert clip_gradients(model.trainable(), 1e-2, Accelerator())
        found[tuple(asked)] = {name: p.grad.clone() for name, p in model.trainable().items() if p.grad is not None}
    together = found["query", "interest"]
    for task in ("query", "interest"):
        alone = {name: of for name, of in found[(task,)].items() if name.split("/")[1] == task}
        assert alone and all(torch.allclose(of, together[name], rtol=1e-3, atol=1e-7) for name, of in alone.items())
        norm = float(sum(of.square().sum() for of in alone.values()) ** 0.5)
        assert norm == pytest.approx(1e-2, rel=1e-4)


def test_a_gradient_that_is_not_finite_is_told(shop):
    parameter = torch.nn.Parameter(torch.zeros(3))
    parameter.grad = torch.tensor([0.0, float("inf"), 1.0])
    for most in (None, 1.0):
        assert not clip_gradients({"head/query/a": parameter}, most, Accelerator())
