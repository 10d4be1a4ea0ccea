"""Anything that predicts ranks a catalogue: by what it says of every item in place of a row's own."""

import numpy as np
from habits import ITEMS, habits, load

from peftrec.model.scorer import Scorer, with_items


class Told(Scorer):
    """Says which row and which item it is asked about."""

    def predict(self, task, examples):
        return examples.time * 100 + examples.item


def test_pairs_are_the_rows_with_the_items_and_their_texts(shop, tmp_path):
    data = load(shop, habits(shop, tmp_path, 0.3))
    test, rows = data.tasks["next"].test, data.items_of("next").rows
    row, item = np.array([3, 0, 3]), np.array([7, 7, 29])
    pairs = with_items(test, row, item, rows)
    assert pairs.item.tolist() == [7, 7, 29] and pairs.slots["item"].tolist() == rows[item].tolist()
    assert (pairs.users == test.users[row]).all() and (pairs.time == test.time[row]).all()


def test_a_ranker_s_scores_are_the_predictions_of_every_pair(shop, tmp_path):
    data = load(shop, habits(shop, tmp_path, 0.3))
    some = data.tasks["next"].test.take(np.arange(5))
    scores = Told().ranker("next", data.items_of("next").rows)(some)
    assert scores.shape == (5, ITEMS)
    assert (scores == some.time[:, None] * 100 + np.arange(ITEMS)).all()
