"""How a training ends: its learning rates have fallen to 0, cut or not, and what is said of it is true."""

import json

import pytest
import torch
from tiny import at_step, make_tiny_shop, tiny_recipe

import peftrec.training.ending
import peftrec.training.loop
from peftrec.training.loop import fit, train
from peftrec.training.optim import Cooldown
from peftrec.training.prepare import prepare

pytestmark = pytest.mark.usefixtures("quick")

PER_EPOCH = 4


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def losses_are(monkeypatch):
    """Let the validation losses be these, one evaluation after the other, the first before the first step."""

    def scripted(losses):
        left = iter(losses)

        def validate(setup, judge=None, tasks=None):
            loss = next(left)
            return {"query": {"log_loss": loss}, "interest": {"log_loss": loss}}

        monkeypatch.setattr(peftrec.training.loop, "validate", validate)
        return left

    return scripted


def fitted(shop, **config):
    setup = prepare(tiny_recipe(shop, train={"early_stopping": {"patience": 2}, "log_every": 1, **config}))
    done = fit(setup)
    return setup, done, [line["learning_rate"]["adapter"] / config["lr"] for line in done.history]


def test_a_schedule_that_is_cut_falls_to_0_from_the_rate_of_the_best_step(shop, losses_are):
    left = losses_are([1.0, 0.9, 0.8, 0.85, 0.85, 0.7])  # the best after step 8; cut after 16
    _, done, rates = fitted(shop, schedule="linear", warmup=0, epochs=10, lr=1e-3)
    assert list(left) == []
    assert done.cooldown == Cooldown(16, PER_EPOCH, best=8)  # an epoch, which is more than a fifth of 8 steps
    assert done.step == 20
    assert rates[:16] == pytest.approx([1 - step / 40 for step in range(16)])
    assert rates[16:] == pytest.approx([(1 - 7 / 40) * (1 - step / 4) for step in range(4)])


def test_the_cooldown_is_a_fifth_of_the_way_to_the_best_step(shop, losses_are):
    losses_are([1.0, *(1 - 0.01 * n for n in range(1, 16)), 0.9, 0.9, 0.5, 0.4, 0.3])  # the best after step 60
    _, done, rates = fitted(shop, schedule="cooldown", warmup=0, epochs=40, lr=1e-3)
    assert done.cooldown == Cooldown(68, 12, best=60)
    assert rates == pytest.approx([1] * 68 + [1 - step / 12 for step in range(12)])


def test_no_cooldown_goes_beyond_the_steps_that_were_asked_for(shop, losses_are):
    losses_are([1.0, 0.5, 0.6, 0.6, 0.4])
    _, done, _ = fitted(shop, schedule="linear", lr=1e-3, max_steps=14, epochs=10)
    assert (done.cooldown.first, done.step) == (12, 14)


def test_at_the_last_epoch_too_it_falls_to_0_from_the_best(shop, losses_are):
    losses_are([1.0, 0.9, 0.8, 0.7, 0.6])
    _, done, rates = fitted(shop, schedule="cooldown", warmup=0, epochs=3, lr=1e-3)
    # A fifth of 12 steps is 2: the evaluation after step 10 is the best.
    assert done.cooldown == Cooldown(10, 2, best=10)
    assert rates == pytest.approx([1] * 10 + [1, 0.5])


def test_a_constant_rate_stays_constant_and_a_full_schedule_has_fallen_already(shop, losses_are):
    losses_are([1.0, 0.9, 1.0, 1.0])
    _, done, rates = fitted(shop, schedule="constant", warmup=0, epochs=10, lr=1e-3)
    assert (done.cooldown, done.step, rates[-1]) == (None, 12, 1)
    losses_are([1.0, 0.9, 0.8, 0.7])
    assert fitted(shop, schedule="linear", epochs=3, lr=1e-3)[1].cooldown is None


@pytest.mark.parametrize(("last", "kept"), [(0.81, 8), (0.8, 20), (0.79, 20)])
def test_the_cooldown_is_kept_where_it_is_no_worse(shop, losses_are, monkeypatch, notes, last, kept):
    losses_are([1.0, 0.9, 0.8, 0.85, 0.85, last])
    seen = {}

    class Spy(peftrec.training.loop.BestEpoch):
        def see(self, step, scores, trainable, no_worse=False):
            seen[step] = {name: p.detach().clone() for name, p in trainable.items()}
            super().see(step, scores, trainable, no_worse)

    monkeypatch.setattr(peftrec.training.loop, "BestEpoch", Spy)
    monkeypatch.setattr(peftrec.training.ending, "shrink", lambda setup, first, known: {})  # what is kept of that
    started = {}

    def remember():
        started.update({name: p.detach().clone() for name, p in setup.model.trainable().items()})

    setup = prepare(tiny_recipe(shop, train={"epochs": 10, "early_stopping": {"patience": 2}}))
    at_step(monkeypatch, 16, remember)
    fit(setup)
    final = setup.model.trainable()
    assert [name for name in final if not torch.equal(final[name], seen[kept][name])] == []
    assert [name for name in final if not torch.equal(started[name], seen[8][name])] == []  # it began at the best
    said = notes.readouterr().err
    assert "step 16: no better for 2 epochs: back to step 8, and 4 steps in which the learning rates fall to 0" in said
    assert ("kept: step 8 (of 20 steps, by the validation rows)" in said) == (kept == 8)


def test_a_loss_that_still_falls_at_the_end_is_said_with_the_key(shop, losses_are, notes):
    losses_are([1.0, 0.9, 0.8, 0.7])
    fitted(shop, epochs=3, lr=1e-3)
    assert (
        "the validation loss was still falling, by 12.5% in the last epoch: raise train.epochs, which was 3"
        in notes.readouterr().err
    )
    losses_are([1.0, 0.9, 0.8])
    fitted(shop, epochs=3, max_steps=8, lr=1e-3)
    assert "by 11.1% in the last epoch: raise train.max_steps, which was 8" in notes.readouterr().err
    losses_are([1.0, 0.9, 0.8, 0.795])  # less than a hundredth
    fitted(shop, epochs=3, lr=1e-3)
    losses_are([1.0, 0.9, 0.8, 0.81])
    fitted(shop, epochs=3, lr=1e-3)
    assert "still falling" not in notes.readouterr().err


def test_without_validation_rows_it_is_the_training_loss(shop, losses_are, notes, monkeypatch):
    monkeypatch.setattr(peftrec.training.loop, "validate", lambda setup, judge=None, tasks=None: {})
    monkeypatch.setattr(peftrec.training.loop, "begin", lambda setup: None)  # else little is left to learn
    fitted(shop, epochs=3, lr=1e-2, early_stopping=None)
    assert "the training loss was still falling, by " in notes.readouterr().err


def test_a_start_that_training_does_not_improve_is_said(shop, losses_are, notes):
    losses_are([1.0, 1.1, 1.2, 1.3])
    fitted(shop, epochs=10, lr=1e-3)
    assert "kept: the start: training made it no better (of 12 steps, by the validation rows)" in notes.readouterr().err


def test_the_lines_of_the_run_show_the_cooldown(shop, tmp_path):
    recipe = tiny_recipe(shop, train={"schedule": "cooldown", "early_stopping": {}, "log_every": 1, "epochs": 5})
    lines = [json.loads(line) for line in (train(recipe, tmp_path / "run") / "metrics.jsonl").read_text().splitlines()]
    rates = [line["learning_rate"]["adapter"] for line in lines]
    assert rates[-4:] == pytest.approx([1e-2, 0.75e-2, 0.5e-2, 0.25e-2])
    assert "valid" in lines[-1] and "valid" in lines[15]
