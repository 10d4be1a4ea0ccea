"""Windows hold what came strictly before, and the model learns from it."""

import numpy as np
import pytest

from benchmarks.recommending import sasrec
from benchmarks.recommending.references import ranked
from benchmarks.recommending.sasrec import SASRec, TextSASRec, newest, windows_of


@pytest.mark.parametrize("shift", [0, 1])
def test_every_train_row_is_told_from_the_event_before_it(known, monkeypatch, shift):
    monkeypatch.setattr(sasrec, "LENGTH", 4)
    monkeypatch.setattr(sasrec, "STRIDE", 2)
    windows, of, place, target = windows_of(known, shift)
    found = [(*windows[w, : p + 1][-2:], t) for w, p, t in zip(of, place, target, strict=True)]
    expected, train, log = [], known.train, known.log
    for row in range(len(train)):
        own = range(*log.user_start[[train.users[row], train.users[row] + 1]])
        past = [log.items[n] for n in own if log.times[n] < train.time[row]]
        if past:
            expected.append((*past[-2:], train.item[row]))
    assert sorted(found) == sorted(expected) and place.max() == 3


def test_the_newest_events_are_read(known, pasts, monkeypatch):
    monkeypatch.setattr(sasrec, "LENGTH", 4)
    windows, last = newest(known, known.dataset.tasks["next"].test)
    for window, place, past in zip(windows, last, pasts, strict=True):
        assert window[: place + 1].tolist() == past[-4:]


@pytest.mark.parametrize("make", [SASRec, TextSASRec])
def test_the_same_seed_learns_the_same_and_no_later_event_counts(known, make, monkeypatch):
    monkeypatch.setattr(sasrec, "EPOCHS", 3)
    test = known.dataset.tasks["next"].test
    one, two = (make(known, 0, width=16, dropout=0.1) for _ in range(2))
    assert 0 <= one.epochs <= 3 and (one.scores(test) == two.scores(test)).all()
    # Of a part of the rows the same: nothing depends on what is scored beside, nor on how long windows are.
    assert one.scores(test.take(np.arange(3))) == pytest.approx(one.scores(test)[:3], abs=1e-5)
    assert np.isfinite(ranked(one, known.dataset, "test")[0])


def test_texts_speak_for_items_that_training_never_saw(known):
    model = TextSASRec(known, 0, width=16, dropout=0.1).model
    assert model.items().shape == (20, 16)
    same = known.vectors.copy()
    same[1] = same[0]
    known.vectors, kept = same, known.vectors
    vectors = TextSASRec(known, 0, width=16, dropout=0.1).model.items()
    known.vectors = kept
    assert (vectors[0] == vectors[1]).all() and (vectors[0] != vectors[2]).any()
