"""Train and valid as one: every column of the rows, and what is counted in them."""

import numpy as np
from habits import habits, load

from peftrec.data.catalogue import FOLDS
from peftrec.data.joined import train_on_all


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
