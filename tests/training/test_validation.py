"""Validation scores are those of evaluating the validation rows, of the tasks that are trained and have some."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import make_tiny_shop, prepared, tiny_recipe

from peftrec.evaluation.evaluate import evaluate
from peftrec.evaluation.values import AT_BEST
from peftrec.training import doubt
from peftrec.training.prepare import prepare
from peftrec.training.starts import begin
from peftrec.training.stopping import SHARES, error
from peftrec.training.validation import validate


def test_scores_are_the_metrics_of_the_validation_rows(tmp_path):
    setup = prepared(make_tiny_shop(tmp_path))
    report = evaluate(setup.model, setup.dataset, setup.tasks, "valid", resamples=0, priors=False)
    told: list = []
    found = validate(setup, told.append)
    assert found == {name: of["metrics"] for name, of in report["tasks"].items()} and told == [found]
    data = setup.dataset.tasks
    data["query"] = replace(data["query"], valid=data["query"].valid.take(np.arange(0)))
    assert validate(setup).keys() == {"interest"}


@pytest.mark.parametrize("weighted", [False, True])
def test_an_epoch_is_judged_at_the_share_of_what_was_learned_that_is_best(tmp_path, monkeypatch, weighted):
    monkeypatch.setattr(doubt, "DOUBT", 0.0)  # labels are what they are
    setup = prepare(tiny_recipe(make_tiny_shop(tmp_path), adapter={"method": "side", "options": {"rank": 4}}))
    begin(setup)
    if weighted:
        of = setup.dataset.tasks["interest"]
        weight = np.random.default_rng(0).random(len(of.valid)).astype(np.float32)
        setup.dataset.tasks["interest"] = replace(of, valid=replace(of.valid, weight=weight))
    scale = weight.mean(dtype=np.float64) if weighted else 1  # which judges nothing
    at_first, head = validate(setup)["interest"], setup.model.head("interest")
    plain = "weighted_loss" if weighted else "log_loss"
    assert at_first[AT_BEST] * scale == pytest.approx(at_first[plain], abs=1e-6)
    first = [p.detach().clone() for p in head.outer()]
    torch.manual_seed(1)
    last = [p + torch.randn_like(p) / 5 for p in first]

    def kept(share):
        with torch.no_grad():
            for parameter, a, b in zip(head.outer(), first, last, strict=True):
                parameter.copy_(a + share * (b - a))
        return validate(setup)["interest"]

    losses = [kept(share)[plain] for share in SHARES]
    found = kept(1.0)
    assert found[AT_BEST] * scale == pytest.approx(min(losses), abs=1e-6)
    assert min(losses) < losses[-1] == pytest.approx(found[plain])
    task = setup.tasks["interest"]
    assert error(task, found) == found[AT_BEST]


def test_what_weighs_a_catalogue_is_judged_as_it_is(tmp_path):
    setup = prepare(tiny_recipe(make_tiny_shop(tmp_path), tasks={"next": {"kind": "next-item"}}))
    begin(setup)
    assert AT_BEST not in validate(setup)["next"]
