"""Train and valid as one: every column of the rows, and what is counted in them."""

import numpy as np
from habits import ITEMS, habits, load

from peftrec.data.catalogue import FOLDS
from peftrec.data.joined import train_on_all
from peftrec.data.neighbours import fit_texts
from peftrec.data.signals import with_neighbours
from peftrec.tasks import mixing


def test_validation_rows_become_train_rows_and_count_for_what_goes_together(shop, tmp_path):
    dataset = load(shop, habits(shop, tmp_path, 0.3), repeats="allow")
    before, after = dataset.tasks["next"], train_on_all(dataset).tasks["next"]
    rows = len(before.train)
    assert len(after.train) == rows + len(before.valid) and len(after.valid) == 0
    for name in ("item", "users", "time", "stop"):
        both = [np.asarray(getattr(part, name)) for part in (before.train, before.valid)]
        assert np.asarray(getattr(after.train, name)).tolist() == np.concatenate(both).tolist()
    assert after.train.fold.tolist() == (after.train.users % FOLDS).tolist()
    assert after.train.catalogue is after.test.catalogue
    learnt = after.train.catalogue.learnt
    assert learnt.items.tolist() == after.train.item.tolist() and len(before.train.catalogue.learnt.items) == rows
    assert (after.train.catalogue.neighbours.weights != before.train.catalogue.neighbours.weights).any()


def test_what_signals_count_is_chosen_by_the_same_rows_again(shop, tmp_path, monkeypatch):
    """By the validation rows, of whose own choices nothing is known yet; texts alike are known to them too."""
    monkeypatch.setattr(mixing, "FEW", 10)
    dataset = load(shop, habits(shop, tmp_path, 0.3), repeats="allow")
    before, after = dataset.tasks["next"], train_on_all(dataset).tasks["next"]
    assert len(before.valid) >= mixing.FEW
    assert mixing.fit_weights(after).tolist() == mixing.fit_weights(before).tolist()
    alike = fit_texts(np.random.default_rng(1).normal(size=(ITEMS, 6)).astype(np.float32))
    before, after = (with_neighbours(of, alike) for of in (before, after))
    assert mixing.fit_weights(after).tolist() == mixing.fit_weights(before).tolist()
    assert after.divided[1].catalogue.learnt is before.valid.catalogue.learnt
