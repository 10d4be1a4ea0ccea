"""One predictor, many threads; several predictors over one backbone in memory: scores are those of single calls."""

import random
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
from tiny import THREE, make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.model.backbone import Backbone, load_backbone
from peftrec.model.backbone.families import tiny_backbone
from peftrec.recipe import BackboneConfig
from peftrec.serving import predictor as serving
from peftrec.serving.predictor import Predictor
from peftrec.training.loop import train

pytestmark = pytest.mark.usefixtures("quick")

LORA = {"method": "lora", "sharing": "private", "layers": "top-1", "options": {"r": 4, "lora_alpha": 8}}
OWN = {
    "query": {"method": "bottleneck", "layers": "top-1"},
    "interest": {"method": "ia3"},
    "time": {"method": "prefix", "sharing": "private", "options": {"num_virtual_tokens": 2}},
}
TIME = 1_700_000_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def runs(shop, tmp_path_factory):
    """Side; two of LoRA with equal names for all, of other seeds; one whose tasks have a method each."""
    folder, short = tmp_path_factory.mktemp("runs"), {"max_steps": 3, "lr": 5e-2}
    each = {name: {**task, "adapter": OWN[name]} for name, task in THREE.items()}
    recipes = {
        "side": tiny_recipe(shop, tasks=THREE, adapter={"method": "side"}, train=short),
        "lora": tiny_recipe(shop, tasks=THREE, adapter=LORA, train=short),
        "lora again": tiny_recipe(shop, tasks=THREE, adapter=LORA, train={**short, "seed": 5}),
        "each": tiny_recipe(shop, tasks=each, train=short),
    }
    return {name: train(recipe, folder / name.replace(" ", "-")) for name, recipe in recipes.items()}


def asked(number):
    """Requests of every task, of known and of new texts; no two numbers have a new text in common."""
    user, item = f"u{number}", f"i{number}"
    return [
        ("query", [{"query": f"w1 w{number}", "item": item}, {"query": "w2 w3", "item": item}]),
        ("interest", [{"user": user, "item": item}, {"history": ["i1", "i6"], "item": "i9"}]),
        ("interest", [{"history": [], "item_text": f"w4 w5 w{number}"}, {"user": user, "item": item}]),
        ("time", [{"user": user, "item": item, "time": TIME + 9999 * number}]),
        ("time", [{"user": user, "item_text": f"w6 w{number} w7 w8", "time": TIME}]),
    ]


def answers(predictor, number):
    found = [predictor.predict(task, rows) for task, rows in asked(number)]
    found.append(predictor.recommend("interest", user=f"u{number}", k=5))
    found.append(predictor.recommend("query", query=f"w9 w{number}", k=5))
    with pytest.raises(UserError, match="row 2: no item 'i99'"):
        predictor.predict("query", [{"query": f"w10 w{number}", "item": "i1"}, {"query": "w1", "item": "i99"}])
    return found


def in_threads(predictors, numbers=range(10), threads=8):
    """Every predictor's answers to all numbers, each asked twice, in some order, from several threads at once."""
    jobs = [(name, number) for name in predictors for number in numbers] * 2
    random.Random(0).shuffle(jobs)
    with ThreadPoolExecutor(threads) as pool:
        done = list(pool.map(lambda job: answers(predictors[job[0]], job[1]), jobs))
    return list(zip(jobs, done, strict=True))


@pytest.fixture(scope="module")
def alone(runs):
    """(name, number) -> what a run answers to a number, loaded by itself and asked from one thread; asked once."""
    load = cache(lambda name: Predictor.load(runs[name]))
    return cache(lambda name, number: answers(load(name), number))


@pytest.mark.parametrize("name", ["lora", "side"])
def test_eight_threads_get_what_single_calls_get(runs, alone, name):
    predictor = Predictor.load(runs[name])
    expected = [alone(name, number) for number in range(10)]
    assert len({str(answer) for answer in expected}) == 10
    for (_, number), found in in_threads({name: predictor}):
        assert found == expected[number]
    assert [answers(predictor, number) for number in range(10)] == expected  # and it is whole afterwards


def test_runs_that_share_a_backbone_score_as_each_does_alone_in_any_order_and_thread(runs, alone):
    expected = {name: [alone(name, number) for number in range(4)] for name in runs}
    assert len({str(answer) for answer in expected.values()}) == 4
    predictors = {"side": Predictor.load(runs["side"])}
    for name in ("lora", "lora again", "each"):
        predictors[name] = Predictor.load(runs[name], backbone=predictors["side"])
    models = {id(predictor.model.encoder.backbone.model) for predictor in predictors.values()}
    assert len(models) == 1
    for number in range(4):  # in turn
        for name, predictor in predictors.items():
            assert answers(predictor, number) == expected[name][number], name
    again = {name: Predictor.load(run, backbone=predictors["each"]) for name, run in runs.items()}
    for (name, number), found in in_threads(again, range(4)):
        assert found == expected[name][number], name


def test_a_loaded_backbone_serves_runs_whose_weights_it_has(shop, runs, alone):
    backbone = load_backbone(BackboneConfig(name=str(shop / "model"), dtype="fp32", max_length=16))
    one = Predictor.load(runs["lora"], backbone=backbone)
    assert isinstance(backbone, Backbone)
    assert one.model.encoder.backbone.model is backbone.model
    assert answers(one, 1) == alone("lora", 1)
    with pytest.raises(UserError, match=r"trained on a backbone with digest .* but memory has"):
        Predictor.load(runs["lora"], backbone=tiny_backbone("BERT"))


def test_full_is_served_alone(shop, runs, tmp_path):
    adapter = {"method": "full", "sharing": "shared", "layers": "all"}
    tasks = {"query": {"kind": "match-query"}}
    full = train(tiny_recipe(shop, adapter=adapter, tasks=tasks, train={"max_steps": 1}), tmp_path / "run")
    lora = Predictor.load(runs["lora"])
    expected = answers(lora, 2)
    with pytest.raises(UserError, match="method full has a backbone of its own, which no other"):
        Predictor.load(full, backbone=lora)
    assert answers(lora, 2) == expected
    with pytest.raises(UserError, match="method full has trained them"):
        Predictor.load(runs["lora"], backbone=Predictor.load(full))


@pytest.mark.parametrize("name", ["lora", "side"])
def test_threads_whose_new_texts_are_forgotten_meanwhile(runs, alone, name, monkeypatch):
    """Scores then differ by rounding, as a text that comes back is computed beside others."""
    expected = [alone(name, number) for number in range(8)]
    monkeypatch.setattr(serving, "GUESTS", 3)
    predictor = Predictor.load(runs[name])
    for (_, number), found in in_threads({name: predictor}, range(8)):
        assert_close(found, expected[number])
    assert predictor.texts.guests <= 3


def assert_close(found, expected):
    if isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_close(found[key], value)
    else:
        assert found == (pytest.approx(expected, rel=1e-4, abs=1e-6) if isinstance(expected, float) else expected)
