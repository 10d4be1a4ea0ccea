"""The start of events: what it reads by plain loops over the file, what it learns where the truth is known."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from eventful import LIKED, two_tables
from kept import asked_of
from scipy.special import expit
from tiny import make_tiny_shop, tiny_recipe

from peftrec.data.joined import train_on_all
from peftrec.data.neighbours import Neighbours
from peftrec.data.rates import Rates, counts_beside
from peftrec.tasks.dataset import load_data
from peftrec.tasks.priors import PRIORS
from peftrec.tasks.starts import events as module
from peftrec.tasks.starts.events import (
    AS_READ,
    RATES,
    Target,
    columns,
    fit,
    fit_events,
    learnt_from,
    load,
    read,
    renumber,
)
from peftrec.tasks.starts.expected import Expected
from peftrec.tasks.starts.others import of_others
from peftrec.tasks.starts.pasts import Alike, Known, akin, past_of

STARS = {"interest": {"kind": "interest", "column": "stars", "threshold": 4}}
NUMBERS = {"interest": {"kind": "interest", "column": "stars", "loss": "mse"}}
ALONE = len(RATES) + len(AS_READ)
RANDOM = np.random.default_rng(5)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The tiny shop, whose users like some items more than others, and each other's a little."""
    folder = make_tiny_shop(tmp_path_factory.mktemp("tiny"), users=120)
    rows = list(csv.DictReader((folder / "events.csv").open()))
    worth, taste = RANDOM.normal(size=20), RANDOM.normal(size=120)
    for row in rows:
        value = worth[int(row["item"][1:])] + taste[int(row["user"][1:])] + 0.7 * RANDOM.normal()
        row["stars"] = int(np.clip(np.round(3.3 + 1.2 * value), 1, 5))
    with (folder / "events.csv").open("w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def loaded(shop, tasks=STARS):
    recipe = tiny_recipe(shop, tasks=tasks)
    dataset = load_data(recipe)
    held = RANDOM.normal(size=(len(dataset.texts), 6)).astype(np.float32)
    return dataset, recipe.tasks["interest"], lambda rows: held[rows], held


def test_what_is_read_is_what_plain_loops_find(shop):
    dataset, _, vectors, held = loaded(shop)
    data = dataset.tasks["interest"]
    expected = Expected(np.full(6, 0.1, np.float32), np.arange(6, dtype=np.float32))
    some = data.test.take(np.arange(0, len(data.test), 7))
    alike = Alike(Neighbours(np.zeros((20, 1), np.int32), np.zeros((20, 1), np.float32)))
    said = read(some, Known(alike, expected, vectors), False)
    whole = past_of(some, lambda texts: expected.unit(held[texts]) @ expected.weight)
    events = list(csv.DictReader((shop / "events.csv").open()))
    unit = held - 0.1
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    texts = {f"i{n}": row for n, row in enumerate(dataset.items_of("interest").rows)}
    for n in range(len(some)):
        user, item, time = f"u{some.users[n]}", f"i{some.item[n]}", some.time[n]
        earlier = [of for of in events if int(of["time"]) < time]
        for name, mine in (("item", item), ("user", user)):
            likes = [int(of["stars"]) >= 4 for of in earlier if of[name] == mine]
            assert said[f"{name}_sum"][n] == pytest.approx(sum(likes), abs=1e-4)
            assert said[f"{name}_count"][n] == pytest.approx(len(likes), abs=1e-4)
        past = [of for of in earlier if of["user"] == user][-5:]
        assert said["met"][n] == len(past)
        alike = {True: [], False: []}
        for of in past:
            alike[int(of["stars"]) >= 4].append(float(unit[texts[item]] @ unit[texts[of["item"]]]))
        assert said["share"][n] == pytest.approx(len(alike[True]) / max(1, len(past)))
        assert said["liked"][n] == pytest.approx(np.mean(alike[True] or [0]), abs=1e-6)
        assert said["other"][n] == pytest.approx(np.mean(alike[False] or [0]), abs=1e-6)
        assert said["most"][n] == pytest.approx(max(alike[True] or [0]), abs=1e-6)
        cosines = unit[whole.rows] @ unit[texts[item]]
        assert said["akin"][n] == pytest.approx(akin(whole, cosines)[n], abs=1e-6)
        assert said["leaning"][n] == pytest.approx(whole.leaning[n], abs=1e-6) and said["together"][n] == 0
        assert said["expected"][n] == pytest.approx(unit[texts[item]] @ expected.weight, abs=1e-5)


def test_of_several_tables_the_others_are_read_too():
    _, dataset = two_tables()
    start, test = fit(dataset, "task", LIKED, None).start, dataset.tasks["task"].test
    assert len(start.weight) == ALONE + 2 and (start.weight[-2:] != 0).all()
    found = columns(read(test, start.known, True), start.shrink, True)
    assert found[:, -2:] == pytest.approx(of_others(test))
    assert len(fit(two_tables(history=["few"])[1], "task", LIKED, None).start.weight) == ALONE


def test_of_several_tables_the_task_s_own_alone_says_how_events_were_received():
    (few, _), dataset = two_tables()
    start, test = fit(dataset, "task", LIKED, None).start, dataset.tasks["task"].test
    said, past, several = read(test, start.known, True), test.history(), 0
    for n, (user, time) in enumerate(zip(test.users, test.time, strict=True)):
        newest = int((past.marks[n][past.rows[n] >= 0] == 0).sum())  # of the history, which holds so many of either
        stars = few.columns["rating"][(few.user == user) & (few.time < time)][::-1][:newest]
        assert said["met"][n] == newest
        assert said["share"][n] == pytest.approx((stars >= LIKED.threshold).sum() / max(1, newest))
        several += 0 < newest < (past.rows[n] >= 0).sum()
    assert several > 5
    before = replace(test, rates=Rates(test.rates.log, test.rates.base, counts_beside(test.log, 0, apart=False)))
    mixed = read(before, start.known, True)
    assert (mixed["met"] == (past.rows >= 0).sum(1)).all() and (mixed["share"] > said["share"]).any()


def test_a_run_of_before_that_reads_nothing_of_the_others_says_what_it_said():
    _, dataset = two_tables()
    test, start = dataset.tasks["task"].test, fit(dataset, "task", LIKED, None).start
    asked = asked_of(dataset)
    again = load(start.settings(), start.tensors(), asked)
    assert np.array_equal(again(test), start(test))
    kept = {name: of for name, of in start.tensors().items() if name != "ends"}
    before = load(start.settings(), {**kept, "weight": start.weight[:-2]}, asked)
    uncut = replace(start, ends=np.repeat([[-np.inf], [np.inf]], len(start.weight), 1))
    others = of_others(test) @ start.weight[-2:]
    assert before(test) == pytest.approx(uncut(test) - others, abs=1e-5)
    with pytest.raises(ValueError, match=r"weight: 13 numbers; found float32 \(15,\)"):
        load(start.settings(), start.tensors(), replace(asked, several=False))


def test_means_shrink_to_what_the_text_lets_expect_and_to_all():
    said = dict.fromkeys(("base", "met", "share", *AS_READ), np.zeros(1))
    said |= {"base": np.array([0.4]), "expected": np.array([0.2])}
    said |= {
        "item_sum": np.array([3.0]),
        "item_count": np.array([4.0]),
        "user_sum": np.zeros(1),
        "user_count": np.ones(1),
    }
    found = columns(said, (4.0, 9.0), binary=False)[0]
    assert found[:3] == pytest.approx([(3 + 4 * 0.6) / 8, 9 * 0.4 / 10, 0.4])
    odds = columns(said, (4.0, 9.0), binary=True)[0]
    assert odds[:3] == pytest.approx(np.log(found[:3] / (1 - found[:3])))


def test_a_column_that_hardly_differs_in_few_rows_is_not_everything():
    """Texts are alike but for a millionth in 60 rows, and those of one that is asked about are not."""
    random = np.random.default_rng(0)
    known = np.column_stack([random.normal(size=60), 1e-6 * random.normal(size=60)])
    label = (random.random(60) < 1 / (1 + np.exp(-known[:, 0] - 1e6 * known[:, 1]))).astype(float)
    for binary in (True, False):
        weight = learnt_from(known, Target(label, None, binary), 1.0).weight
        assert abs(weight[0]) > 0.05 and abs(weight[1]) < 1


def test_counts_are_cut_at_the_least_and_the_largest_of_the_train_rows_and_all_else_three_deviations_further():
    random = np.random.default_rng(0)
    known = random.normal(size=(500, ALONE))
    label = (random.random(500) < expit(known.sum(1))).astype(float)
    model = learnt_from(known, Target(label, None, True), 1.0)
    counts = np.array([name.endswith("count") or name == "met" for name in (*RATES, *AS_READ)])
    assert counts.sum() == 3
    further = np.where(counts, 0, 3 * known.std(0))
    assert model.ends == pytest.approx(np.array([known.min(0) - further, known.max(0) + further]))
    for by, end in ((100.0, 1), (-100.0, 0)):
        for column in range(ALONE):
            beyond, at_end = known[:1].copy(), known[:1].copy()
            beyond[:, column] += by
            at_end[:, column] = model.ends[end, column]
            assert model(beyond) == model(at_end)
    assert model(known[:1]) == pytest.approx(known[0] @ model.weight + model.bias)


@pytest.mark.parametrize("binary", [True, False])
def test_what_was_fitted_to_few_rows_is_less_sure_of_others(binary):
    random = np.random.default_rng(0)
    for count in (60, 10_000):
        known = random.normal(size=(count, ALONE))
        likely = expit(known[:, 0] - 1)
        label = (random.random(count) < likely).astype(float) if binary else likely + random.normal(size=count)
        free = learnt_from(known, Target(label, None, binary), 1.0)
        calm = free.calmed(known, Target(label, None, binary))
        assert calm.weight == pytest.approx(free.weight * count / (count + 2 * ALONE))
        raw = known.clip(*calm.ends) @ calm.weight + calm.bias
        assert (expit(raw) if binary else raw).mean() == pytest.approx(label.mean(), abs=1e-6)
    assert np.array_equal(calm.ends, free.ends)
    same = Target(np.ones(count), None, binary)
    one = learnt_from(known, same, 1.0)
    assert one.calmed(known, same) is one


def test_numbers_are_fitted_as_strictly_as_likes():
    """Where nothing is sure the logistic loss bends by a quarter, and the same weights are as far from zero."""
    random = np.random.default_rng(0)
    known = random.normal(size=(400, ALONE))
    liked = (random.random(400) < expit(0.1 * known[:, 0])).astype(float)
    for strength in (0.1, 0.001):
        odds = learnt_from(known, Target(liked, None, True), strength).weight
        number = learnt_from(
            known, Target(4 * (liked - 0.5), None, False), strength
        ).weight  # what Newton's step from zero fits
        assert number == pytest.approx(odds, rel=0.05, abs=0.01)


def test_numbers_that_weigh_nothing_are_not_learnt_and_likes_weigh_alike(shop):
    for tasks, alike in ((NUMBERS, False), (STARS, True)):
        dataset, _, vectors, _ = loaded(shop, tasks)
        data = dataset.tasks["interest"]
        weight = (np.arange(len(data.train)) % 2).astype(np.float32)
        other = np.where(weight, data.train.label, data.train.label[::-1]).astype(np.float32)
        said = [
            fit_events(replace(data, train=of), vectors, alike).whole(data.test)
            for of in (data.train, replace(data.train, weight=weight))
        ]
        assert np.array_equal(*said) == alike
        known = RANDOM.normal(size=(len(weight), ALONE))
        models = []
        for label in (data.train.label, other):
            target = Target(label, weight, False)
            models.append(learnt_from(known, target, 1.0).calmed(known, target))
        assert models[0].weight == pytest.approx(models[1].weight) and models[0].bias == pytest.approx(models[1].bias)
        assert not np.array_equal(data.train.label, other)


def test_a_start_says_of_longer_pasts_what_it_says_of_the_longest_it_learnt_from(shop):
    dataset, config, _, _ = loaded(shop)
    start, test = fit(dataset, "interest", config, None).start, dataset.tasks["interest"].test
    said = columns(read(test, start.known, False), start.shrink, start.binary)
    assert (said > start.ends[1]).any()
    raw = said.clip(*start.ends) @ start.weight + start.bias
    assert start(test) == pytest.approx(raw, abs=1e-5)


def test_few_rows_are_all_asked_what_to_fit_and_none_about_itself(monkeypatch):
    """Of 200 rows that say nothing the most strictly fitted is best, whatever a few validation rows say by chance."""
    random, seen = np.random.default_rng(0), []
    monkeypatch.setattr(module, "strictest", lambda losses: seen.append([len(of) for of in losses]) or 0)
    _, dataset = two_tables()
    data = dataset.tasks["task"]
    fit(dataset, "task", LIKED, None)
    known, label = random.normal(size=(200, ALONE)), random.integers(0, 2, 200).astype(float)
    free, strict = (
        loss(module._by_folds(known, Target(label, None, True), strength), label) for strength in (1.0, 0.01)
    )
    assert strict < free and free > np.log(2)
    monkeypatch.setattr(module, "FEW_ROWS", 10)
    fit(dataset, "task", LIKED, None)
    ways, valid, train = len(module.STRENGTHS), len(data.valid), len(data.train)
    assert seen == [[valid + train] * ways, [valid] * ways]


def test_rows_that_were_learnt_are_told_by_the_other_folds(shop):
    """Of labels that nothing tells, what was fitted to a row says too much of it."""
    dataset, _, vectors, _ = loaded(shop, NUMBERS)
    data = dataset.tasks["interest"]
    train = data.train.take(np.arange(0, len(data.train), 8))
    few = replace(train, label=RANDOM.normal(size=len(train)).astype(np.float32))
    fitted = fit_events(replace(data, train=few), vectors, False)
    assert fitted.first is fitted.whole and len(fitted.apart(fitted.first, few)) == len(few)
    error = [np.mean((said - few.label) ** 2) for said in (fitted.apart(fitted.first, few), fitted.first(few))]
    assert error[0] > error[1] < np.var(few.label)


def loss(raw, label):
    return float((np.logaddexp(0, raw) - label * raw).mean())


def test_a_second_training_chooses_as_the_first_and_fits_to_all(shop):
    dataset, config, _, _ = loaded(shop)
    first, second = (fit(of, "interest", config, None).start for of in (dataset, train_on_all(dataset)))
    assert second.shrink == first.shrink and (second.weight != first.weight).any()
    data = train_on_all(dataset).tasks["interest"]
    left = [abs((1 / (1 + np.exp(-of(data.train))) - data.train.label).mean()) for of in (first, second)]
    assert left[1] < 1e-4 < left[0]  # 0 of a logistic regression on the rows that it was fitted to


@pytest.mark.parametrize("texts", [True, False])
def test_it_says_more_than_any_rate_alone(shop, texts):
    dataset, config, vectors, _ = loaded(shop)
    started = fit(dataset, "interest", config, vectors if texts else None)
    assert started.start.name == ("rates + past + likeness" if texts else "rates + past")
    test = dataset.tasks["interest"].test
    own = loss(started.start(test), test.label)
    for prior in ("majority", "item_rate", "user_rate"):
        said = PRIORS[prior](dataset, "interest", test)
        assert own < loss(np.log(said / (1 - said)), test.label)


def test_numbers(shop):
    dataset, config, vectors, _ = loaded(shop, NUMBERS)
    started = fit(dataset, "interest", config, vectors)
    test = dataset.tasks["interest"].test
    error = np.mean((started.start(test) - test.label) ** 2)
    assert error < 0.8 * np.mean((PRIORS["majority"](dataset, "interest", test) - test.label) ** 2)


@pytest.mark.parametrize("texts", [True, False])
def test_what_is_kept_says_the_same(shop, texts):
    dataset, config, vectors, _ = loaded(shop)
    start = fit(dataset, "interest", config, vectors if texts else None).start
    again = load(start.settings(), start.tensors(), asked_of(dataset, vectors if texts else None, "interest"))
    test = dataset.tasks["interest"].test
    assert np.array_equal(again(test), start(test)) and again.name == start.name
    tensors, far = start.tensors(), np.array([[-np.inf], [np.inf]], np.float32)
    of_before = {name: of for name, of in tensors.items() if name != "ends"}
    asked = asked_of(dataset, vectors if texts else None, "interest")
    for kept, cut in ((of_before, []), ({**of_before, "ends": tensors["ends"][:, 3:6]}, [3, 4, 5])):
        ends = np.tile(far, ALONE)
        ends[:, cut] = tensors["ends"][:, cut]
        assert np.array_equal(load(start.settings(), kept, asked)(test), replace(start, ends=ends)(test))
    if texts:
        with pytest.raises(ValueError, match="needs the frozen backbone's vectors"):
            load(start.settings(), start.tensors(), asked_of(dataset, None, "interest"))


@pytest.mark.parametrize(
    ("name", "made", "message"),
    [
        ("weight", lambda of: of[1:], r"weight: 13 numbers; found float32 \(12,\)"),
        ("weight", lambda of: of.astype(int), r"weight: 13 numbers; found int64 \(13,\)"),
        ("alike.weights", lambda of: of[1:], r"alike.weights: 20 x 20 numbers; found float32 \(19, 20\)"),
        ("alike.items", lambda of: of.astype(np.float32), "alike.items: any x any whole numbers; found float32"),
        ("alike.items", lambda of: of + 20, "alike.items: numbers from 0 to 19"),
        ("alike.items", lambda of: of - 1, "alike.items: numbers from 0 to 19"),
    ],
)
def test_what_does_not_fit_is_no_start(shop, name, made, message):
    dataset, config, _, _ = loaded(shop)
    start = fit(dataset, "interest", config, None).start
    with pytest.raises(ValueError, match=message):
        load(
            start.settings(),
            {**start.tensors(), name: made(start.tensors()[name])},
            asked_of(dataset, None, "interest"),
        )


def test_items_of_other_numbers_are_the_same_items(shop):
    """Half of the items are new, and one of the old ones is no more: what is said of the others does not change."""
    dataset, config, vectors, _ = loaded(shop)
    start = fit(dataset, "interest", config, vectors).start
    test = dataset.tasks["interest"].test
    numbers = 2 * np.arange(20)[::-1]
    told = start.known.alike.whole.weights.sum()
    moved = renumber(start, numbers).known.alike.whole
    assert len(moved.items) == 39 and moved.weights.sum() == pytest.approx(told)
    for item in range(20):
        near, of = start.known.alike.whole.items[item], start.known.alike.whole.weights[item] > 0
        assert moved.items[numbers[item]][of].tolist() == numbers[near[of]].tolist()
    gone = renumber(start, np.where(np.arange(20) == 3, -1, np.arange(20))).known.alike.whole
    assert not gone.weights[3].any() and not gone.weights[gone.items == 3].any()
    assert np.array_equal(renumber(start, np.arange(20))(test), start(test))
