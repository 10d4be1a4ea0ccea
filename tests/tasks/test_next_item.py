"""The retrieval task: which item comes next, by one dot product with every item of the catalogue."""

import io
import json
import shutil
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from rich.console import Console
from shop import shop_recipe, write_csv

import peftrec.data.catalogue as catalogues
from peftrec.cli.tables import format_report
from peftrec.data.batches import HeadInput, UniqueRows
from peftrec.data.signals import SIGNALS, of_every_item
from peftrec.errors import UserError
from peftrec.evaluation.ranking import each_alone, rank_catalogue
from peftrec.model.backbone import load_backbone
from peftrec.model.co_learner import build_model
from peftrec.runs.compare import compare_runs
from peftrec.serving.predictor import Predictor
from peftrec.tasks.dataset import load_data
from peftrec.tasks.heads import HeadShape
from peftrec.tasks.kinds import resolve
from peftrec.tasks.mixing import fit_weights
from peftrec.tasks.next_item import RetrievalHead
from peftrec.tasks.priors.ranking import popularity_so_far
from peftrec.training import step as training
from peftrec.training.loop import train
from peftrec.training.step import joint_backward
from peftrec.training.weighting import Static

pytestmark = pytest.mark.usefixtures("quick")

LIKED = {"next": {"kind": "next-item", "column": "stars", "threshold": 4}}
ITEMS = 30


def made(shop, tasks=LIKED, **changes):
    recipe = shop_recipe(shop, tasks=tasks, **changes)
    dataset = load_data(recipe)
    torch.manual_seed(0)
    model = build_model(recipe, resolve(recipe), load_backbone(recipe.backbone), dataset, 0.0)
    model.encoder.update()
    return recipe, dataset, model


@pytest.fixture(scope="module")
def tastes(shop, tmp_path_factory):
    """The shop with 150 users, three quarters of whose events are films of their one genre, which they like."""
    folder, random = tmp_path_factory.mktemp("tastes"), np.random.default_rng(0)
    shutil.copytree(shop, folder, dirs_exist_ok=True)
    events = []
    for user in range(150):
        own, others = np.arange(user % 5, ITEMS, 5), np.delete(np.arange(ITEMS), np.arange(user % 5, ITEMS, 5))
        films = random.permutation(np.concatenate([random.permutation(own)[:5], random.permutation(others)[:2]]))
        times = 1_600_000_000 + np.sort(random.integers(0, 10**7, len(films)))
        for time, n in zip(times.tolist(), films.tolist(), strict=True):
            events.append({"user": f"u{user}", "item": f"i{n}", "time": time, "stars": 5 if n % 5 == user % 5 else 2})
    write_csv(folder / "events.csv", events)
    return folder


@pytest.fixture(scope="module")
def run(tastes, tmp_path_factory):
    """Retrieval learned together with interest."""
    tasks = {**LIKED, "interest": {"kind": "interest", "column": "stars", "threshold": 4}}
    changes = {"epochs": 8, "batch_size": 64, "head_lr": 3e-3, "dropout": 0.2}
    return train(shop_recipe(tastes, tasks=tasks, train=changes), tmp_path_factory.mktemp("next") / "run")


def plain(head, batch):
    """The head's formula, one example and one item at a time."""
    vectors = head.norm(batch.vectors)
    items, bias = head.item(vectors), head.bias(vectors)[:, 0]
    rows = []
    for n, (own, history, feedback) in enumerate(
        zip(batch.slots["item"].tolist(), batch.history.tolist(), batch.feedback.tolist(), strict=True)
    ):
        past = [
            (len(history) - place, row, said) for place, (row, said) in enumerate(zip(history, feedback, strict=True))
        ]
        past = [(back, row, said) for back, row, said in past if row >= 0]
        reads = []
        for r in range(len(head.fade)):
            scores = [
                head.attend(vectors[row])[r] + head.liked[r] * said - head.fade[r] * np.log(b) for b, row, said in past
            ]
            weights = torch.stack(scores).softmax(0) if past else []
            read = torch.zeros(items.shape[1], dtype=vectors.dtype)
            for weight, (_, row, said) in zip(weights, past, strict=True):
                read = read + weight * (head.past(vectors[row]) + said * head.feedback[r])
            reads.append(read)
        user = head.user(torch.cat([*reads, torch.tensor([np.log1p(len(past))], dtype=vectors.dtype)]))
        line = [user @ items[own] + bias[own] + head.signals @ batch.signals[n, 0]]
        for c, row in enumerate(batch.candidates.tolist()):
            score = user @ items[row] + bias[row] + head.signals @ batch.signals[n, 1 + c]
            line.append(torch.tensor(-np.inf, dtype=vectors.dtype) if batch.barred[n, c] else score)
        rows.append(torch.stack(line))
    return torch.stack(rows)


def test_the_head_is_its_formula_and_every_parameter_learns():
    torch.manual_seed(0)
    head = RetrievalHead(HeadShape(16, 0, 0, 0.0)).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    g = torch.Generator().manual_seed(0)
    history = torch.randint(0, 20, (12, 5), generator=g)
    history[torch.arange(5)[None] < 5 - torch.arange(12)[:, None] % 6] = -1  # lengths 0 to 5
    batch = HeadInput(
        vectors=torch.randn(20, 16, generator=g, dtype=torch.float64),
        slots={"item": torch.randint(0, 20, (12,), generator=g)},
        history=history,
        feedback=torch.randint(0, 2, (12, 5), generator=g).double() * (history >= 0),
        features=torch.zeros(12, 0),
        candidates=torch.arange(3, 20),
        barred=torch.rand(12, 17, generator=g) < 0.1,
        signals=torch.rand(12, 18, len(SIGNALS), generator=g, dtype=torch.float64),
    )
    scores = head(batch)
    torch.testing.assert_close(scores, plain(head, batch), atol=1e-9, rtol=1e-9)
    assert torch.isinf(scores).any(1).sum() >= 10
    loss = (scores.logsumexp(-1) - scores[:, 0]).mean()
    for name, gradient in zip(
        dict(head.named_parameters()), torch.autograd.grad(loss, [*head.parameters()]), strict=True
    ):
        assert float(gradient.abs().max()) > 0, name


def test_it_starts_as_its_signals(shop):
    _, dataset, model = made(shop)
    targets, head = dataset.tasks["next"].test, model.head("next")
    targets = targets.take(np.arange(len(targets)))
    weights = fit_weights(dataset.tasks["next"])
    head.begin(dataset.tasks["next"])
    assert head.signals.tolist() == weights.tolist() and weights.any()
    scores = model.ranker("next", dataset.items["items"].rows)(targets)
    assert scores == pytest.approx(of_every_item(targets) @ weights, abs=1e-5)
    head.signals.data = torch.eye(len(SIGNALS))[0]
    priors = {"popularity_so_far": partial(popularity_so_far, dataset, "next")}
    found = rank_catalogue(model, dataset, "next", each_alone(targets), priors)
    model, prior = found["model"], found["popularity_so_far"]
    assert model.place == pytest.approx(prior.place, abs=1e-4)
    assert model.log_probability == pytest.approx(prior.log_probability, abs=1e-4)


def test_popularity_is_of_what_was_chosen_before(shop):
    _, dataset, _ = made(shop)
    data = dataset.tasks["next"]
    assert all((part.label == 1).all() for part in (data.train, data.valid, data.test))
    every = data.train.log
    for row in np.linspace(0, len(data.train) - 1, 40).astype(int):
        one = data.train.take(np.array([row]))
        before = (every.feedback > 0) & (every.times < one.time[0])
        exact = np.bincount(every.items[before], minlength=ITEMS)
        known = np.expm1(one.catalogue.popularity(one.time)[0]).round()
        assert (known <= exact).all() and exact.sum() - known.sum() <= 2  # the last snapshot is at most 2 choices old
    assert one.catalogue.popularity(np.array([np.nan])).sum() == pytest.approx(
        np.log1p(np.bincount(every.items[every.feedback > 0], minlength=ITEMS)).sum()
    )
    assert not one.catalogue.popularity(np.array([0.0])).any()


def test_without_a_threshold_every_event_is_to_be_found(shop):
    _, liked, _ = made(shop)
    _, every, _ = made(shop, tasks={"next": {"kind": "next-item"}})
    count = [sum(len(data.tasks["next"].split(p)) for p in ("train", "valid", "test")) for data in (liked, every)]
    assert count == [int((liked.tasks["next"].train.log.feedback > 0).sum()), 480]
    assert "below the threshold" in " ".join(liked.notes)


@pytest.mark.parametrize("candidates", [4096, 10])
def test_pieces_of_a_step_add_up_to_its_gradient(shop, monkeypatch, candidates):
    monkeypatch.setattr(catalogues, "CANDIDATES", candidates)
    _, dataset, model = made(shop, tasks={**LIKED, "interest": {"kind": "interest", "column": "stars", "threshold": 4}})
    found = []
    for parts in (1, 3):
        model.zero_grad()
        tasks = {name: of.train.drawn(0, 7, np.arange(len(of.train))) for name, of in dataset.tasks.items()}
        assert len(tasks["next"].candidates) == min(candidates, ITEMS) and tasks["interest"].candidates is None
        rows = {"next": np.arange(20), "interest": np.arange(31)}
        model.parts = parts
        losses, _ = joint_backward(model, tasks, rows, Static(torch.ones(2)), Accelerator())
        found.append((losses, {name: p.grad.clone() for name, p in model.trainable().items()}))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-5, rtol=1e-5)
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][name], atol=1e-6, rtol=1e-4)


def test_it_learns_tastes_beyond_popularity(run):
    report = json.loads((run / "report.json").read_text())["tasks"]["next"]
    assert list(report["metrics"]) == ["hr@10", "ndcg@10", "mrr@10", "log_loss"]
    assert report["ranked"] == report["n"]
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(format_report({"tasks": {"next": report}}))
    shown = console.export_text()
    assert f"next: {report['n']:,} rows" in shown and "users ranked" not in shown  # every row is
    priors = {"random", "popularity", "popularity_so_far", "recent_popularity", "item_item"}
    assert set(report["priors"]) == priors  # no user here has a film twice
    for prior in ("popularity_so_far", "recent_popularity"):
        assert report["metrics"]["hr@10"] > report["priors"][prior]["hr@10"] + 0.3
    assert report["metrics"]["log_loss"] < min(of["log_loss"] for of in report["priors"].values()) - 0.2
    assert report["metrics"]["log_loss"] < report["start"]["log_loss"]
    history = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert history[-1]["train_loss"]["next"] < history[0]["train_loss"]["next"]
    assert set(history[-1]["valid"]["next"]) == set(report["metrics"])


def test_recommend_is_the_scores_of_predict_in_order(run):
    predictor = Predictor.load(run)
    best = predictor.recommend("next", user="u3", k=100)
    assert len(best) == ITEMS - 7
    rows = [{"user": "u3", "item": row["item"]} for row in best]
    scores = [row["score"] for row in predictor.predict("next", rows)]
    assert [row["score"] for row in best] == pytest.approx(scores, abs=1e-4) and scores == sorted(scores, reverse=True)
    again = Predictor.load(run)
    assert again.recommend("interest", user="u3", k=2) == predictor.recommend("interest", user="u3", k=2)
    assert again.recommend("next", user="u3", k=100) == best


def test_new_users_and_new_items(run):
    predictor = Predictor.load(run)
    assert len(predictor.recommend("next", history=[], k=ITEMS)) == ITEMS
    history = [{"item": "i1", "value": 5}, {"item_text": "The space adventure film nobody knows", "value": 5}]
    best = predictor.recommend("next", history=history, k=5)
    assert sum("space" in row["text"] for row in best) >= 4 and "i1" not in {row["item"] for row in best}
    (one,) = predictor.predict("next", [{"history": ["i1"], "item_text": "The space adventure film number 99"}])
    assert np.isfinite(one["score"])
    # A past hour knows less: what was chosen later does not count.
    then = predictor.predict("next", [{"history": [], "item": "i1", "time": 1_500_000_000}])
    now = predictor.predict("next", [{"history": [], "item": "i1"}])
    catalogue, never = predictor.run.catalogues["next"], np.array([np.nan])
    known = [catalogue.popularity(never, np.array([1]), lately=lately)[0, 0] for lately in (False, True)]
    weights = predictor.model.head("next").signals.detach().numpy()[:2]
    assert now[0]["score"] - then[0]["score"] == pytest.approx(float(weights @ known), abs=1e-4) and known[0] > 0


def test_resumed_in_the_middle_it_ends_in_the_same_bytes(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogues, "CANDIDATES", 12)
    changes = {"epochs": 2, "batch_size": 32, "dropout": 0.1, "checkpoint": {"every": "1 steps"}}
    recipe = shop_recipe(shop, tasks=LIKED, train=changes)
    whole = train(recipe, tmp_path / "whole")

    counted, real = [], training.joint_backward

    def stopping(*given):
        counted.append(1)
        if len(counted) == 3:
            raise KeyboardInterrupt
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(training, "joint_backward", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "cut")
    train(recipe, tmp_path / "cut", resume=True)
    for file in ("heads/next.safetensors", "adapters/next/adapter_model.safetensors"):
        assert (whole / file).read_bytes() == (tmp_path / "cut" / file).read_bytes()


def test_two_items_of_one_text_are_no_alternatives(tmp_path, shop):
    """The catalogue may hold a text twice; the two cannot be told apart, so neither stands against the other."""
    _, dataset, model = made(shop)
    data = dataset.tasks["next"].train
    same = data.catalogue.rows.copy()
    same[1] = same[0]
    some = (
        replace(data, catalogue=replace(data.catalogue, rows=same))
        .drawn(0, 0, np.arange(len(data)))
        .take(np.arange(len(data)))
    )
    some = replace(some, slots={"item": same[some.item]})
    unique = UniqueRows({"next": some}, len(dataset.texts))
    output = model.head("next")(unique.head_input("next", some, model.encoder.encode(unique.rows, "next")))
    assert (some.item < 2).any()
    assert torch.isinf(output[torch.from_numpy(some.item < 2)][:, 1:3]).all()


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"column": "stars"}, r"tasks\.next: column: kind next-item reads it only with a threshold; found 'stars'"),
        ({"column": "stras", "threshold": 4}, r"tasks\.next: column: the events have no numeric column 'stras'"),
        ({"loss": "bce"}, r"tasks\.next\.loss: kind next-item has no loss 'bce'.*softmax"),
        ({"input": "joint"}, r"tasks\.next: input: kind next-item does not read it"),
        ({"column": "stars", "threshold": 9}, r"tasks\.next: threshold: no event has stars >= 9"),
    ],
)
def test_wrong_recipes_are_one_message(shop, task, message):
    with pytest.raises(UserError, match=message):
        load_data(shop_recipe(shop, tasks={"next": {"kind": "next-item", **task}}))


def test_wrong_rows_are_one_message(shop, tmp_path):
    recipe = shop_recipe(shop, tasks={"next": {"kind": "next-item"}}, train={"epochs": 1, "max_steps": 1})
    predictor = Predictor.load(train(recipe, tmp_path / "run"))
    assert predictor.predict("next", [{"history": ["i2"], "item": "i1"}])
    with pytest.raises(UserError, match=r"row 1: 'value' is not read by task 'next', which has no threshold"):
        predictor.predict("next", [{"history": [{"item": "i2", "value": 5}], "item": "i1"}])


def test_early_stopping_may_watch_the_ranking(shop, tmp_path):
    changes = {"early_stopping": {"patience": 1, "metric": "next.hr@10"}, "epochs": 2}
    assert train(shop_recipe(shop, tasks=LIKED, train=changes), tmp_path / "run").is_dir()
    changes = {"early_stopping": {"patience": 1, "metric": "next.auc"}}
    with pytest.raises(UserError, match=r"next\.auc.*no task\.metric"):
        train(shop_recipe(shop, tasks=LIKED, train=changes), tmp_path / "other")


def test_runs_are_compared_by_rank(run, tastes, tmp_path):
    quick = shop_recipe(tastes, tasks=LIKED, train={"epochs": 1, "max_steps": 1})
    other = train(quick, tmp_path / "other")
    of = compare_runs([run, other], resamples=100)[str(other)]["tasks"]["next"]
    assert set(of["differences"]) == set(of["metrics"]) == {"hr@10", "ndcg@10", "mrr@10", "log_loss"}
    assert of["differences"]["log_loss"]["interval"][1] < 0 and of["differences"]["hr@10"]["by"] <= 0


def test_approximate_search_finds_what_exact_search_does(run):
    predictor = Predictor.load(run)
    for asked in ({"user": "u3"}, {"history": []}, {"history": ["i1", "i6"]}):
        exact, near = (predictor.recommend("next", k=8, approximate=how, **asked) for how in (False, True))
        assert [row["item"] for row in near] == [row["item"] for row in exact]  # 30 items are one cell
        assert [row["score"] for row in near] == pytest.approx([row["score"] for row in exact], abs=1e-4)
    with pytest.raises(
        UserError, match=r"approximate search needs a task that ranks its catalogue.*; 'interest' is none"
    ):
        predictor.recommend("interest", user="u3", approximate=True)


def test_without_faiss_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match=r"pip install 'peftrec\[faiss\]'"):
        Predictor.load(run).recommend("next", user="u3", approximate=True)
