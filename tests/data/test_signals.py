"""What is known of items for a row: each signal as one counts it, event by event."""

from dataclasses import replace

import numpy as np
import pytest
from habits import ITEMS, habits, load, past_of

from peftrec.data import signals
from peftrec.data.catalogue import FOLDS, Catalogue, Choices
from peftrec.data.neighbours import fit_texts
from peftrec.data.signals import ALIKE, SHARED, SIGNALS, of_every_item, of_own_item, of_pasts, of_step, with_neighbours


def by_hand(examples, row):
    """The signals (I, S) of every item for one row, without popularity, which has its own tests."""
    past, found = past_of(examples, row), np.zeros((ITEMS, len(SIGNALS)))
    fold = -1 if examples.fold is None else int(examples.fold[row])
    near = examples.catalogue.neighbours_for(fold)
    for back, item in enumerate(reversed(past), 1):
        age = back**-0.5 if examples.own is None else 1
        if back <= signals.READ:
            for other, says in zip(near.items[item], near.weights[item], strict=True):
                found[other, 2] += age * says
            for other, says in alike_to(examples.catalogue, item):
                found[other, ALIKE] += age * says
        if examples.repeats:
            found[item, 3] += 1
            found[item, 4] = found[item, 4] or age
    logs = [2, 3, ALIKE]
    found[:, logs] = np.log1p(found[:, logs])
    return found


def alike_to(catalogue, item):
    alike = catalogue.alike
    return [] if alike is None else zip(alike.items[item], alike.weights[item], strict=True)


def with_texts(data):
    """The task's data, whose items have texts that say something."""
    vectors = np.random.default_rng(1).normal(size=(ITEMS, 6)).astype(np.float32)
    return with_neighbours(data, fit_texts(vectors))


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("repeats", ["allow", "exclude"])
def test_signals_are_what_the_past_says(shop, tmp_path, monkeypatch, timed, repeats, alike):
    monkeypatch.setattr(signals, "READ", 4)
    monkeypatch.setattr(signals, "ROWS", 7)
    data = load(shop, habits(shop, tmp_path, 0.3, timed), repeats=repeats).tasks["next"]
    data = with_texts(data) if alike else data
    for part in (data.train, data.test):
        some = part.take(np.arange(40))
        every = of_every_item(some)
        assert every[:, :, 2:] == pytest.approx(np.stack([by_hand(some, row)[:, 2:] for row in range(40)]), abs=1e-4)
        for lately, signal in ((False, 0), (True, 1)):
            assert (every[:, :, signal] == some.catalogue.popularity(some.time, lately=lately)).all()
        own = every[np.arange(40), some.item]
        if not timed:  # a train row's own choice is among all that are counted
            own[:, :2] = np.log1p(np.expm1(own[:, :2]) - (some.rated >= 0)[:, None])
        assert of_own_item(some)[:, 0] == pytest.approx(own, abs=1e-5)
        drawn = replace(some, candidates=np.array([3, 11, 20]))  # a sample, which lacks most rows' own items
        step = of_step(drawn)
        assert step[:, 0] == pytest.approx(own, abs=1e-5)
        assert step[:, 1:] == pytest.approx(every[:, [3, 11, 20]], abs=1e-5)
    assert every[:, :, 2].any() and every[:, :, 3:ALIKE].any() == (repeats == "allow")
    assert every[:, :, ALIKE].any() == alike


@pytest.mark.parametrize("repeats", ["allow", "exclude"])
def test_what_pasts_say_of_few_items_is_all_that_they_say(shop, tmp_path, monkeypatch, repeats):
    monkeypatch.setattr(signals, "READ", 4)
    test = with_texts(load(shop, habits(shop, tmp_path, 0.3), repeats=repeats).tasks["next"]).test
    some = replace(test.take(np.arange(3)), fold=None)
    items, said = of_pasts(some)
    every = of_every_item(some) * (np.arange(len(SIGNALS)) >= SHARED)
    assert (items == np.unique(items)).all() and said == pytest.approx(every[:, items], abs=1e-6)
    assert every[:, items].any() and not np.delete(every, items, 1).any()


def test_what_a_train_row_is_told_does_not_know_its_own_choice(shop, tmp_path):
    """Whatever a user of the same fold chose, the signals of the row stay as they are."""
    train = load(shop, habits(shop, tmp_path, 0.3), repeats="allow").tasks["next"].train
    row = train.take(np.array([5]))
    fold, learnt = int(row.fold[0]), train.catalogue.learnt
    assert fold == row.users[0] % FOLDS
    other = np.where(learnt.users % FOLDS == fold, (learnt.items + 1) % ITEMS, learnt.items)
    changed = replace(train.catalogue, learnt=Choices(learnt.users, other, learnt.size))
    assert (of_every_item(replace(row, catalogue=changed)) == of_every_item(row)).all()
    whole = replace(row, fold=np.array([-1]))
    assert (of_every_item(replace(whole, catalogue=changed)) != of_every_item(whole)).any()


def test_an_item_that_the_catalogue_lacks_has_no_signals(shop, tmp_path):
    test = load(shop, habits(shop, tmp_path, 0.3), repeats="allow").tasks["next"].test.take(np.arange(4))
    unknown = replace(test, item=np.array([-1, 3, -1, 4]))
    assert of_own_item(unknown)[[0, 2]].tolist() == [[[0] * len(SIGNALS)]] * 2
    assert of_own_item(unknown)[[1, 3], 0].any()


def test_recently_chosen_is_what_was_chosen_since_some_snapshots_before():
    times = np.arange(1280.0)
    catalogue = Catalogue(np.zeros(2, np.int32), (times >= 640).astype(int), times)  # item 1 in the second half
    asked = np.array([640.0, 680.0, 1280.0, np.nan])
    lately = np.expm1(catalogue.popularity(asked, lately=True)).round()
    assert lately[:2].tolist() == [[80, 0], [40, 40]]  # eight snapshots are 80 choices
    assert not lately[2:, 0].any() and (lately[2:, 1] >= 70).all()
