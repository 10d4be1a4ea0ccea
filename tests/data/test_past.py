"""What users had met before: as one reads it off the log, event by event."""

import numpy as np
import pytest
from habits import ITEMS, habits, load, past_of

from peftrec.data.past import barred, met, repeated


@pytest.mark.parametrize("timed", [True, False])
def test_who_met_what_is_what_the_log_says(shop, tmp_path, timed):
    data = load(shop, habits(shop, tmp_path, 0.3, timed), repeats="allow").tasks["next"]
    for part in (data.train, data.valid, data.test):
        pasts = [past_of(part, row) for row in range(len(part))]
        row, item = met(part)
        assert [item[row == n].tolist() for n in range(len(part))] == pasts
        assert repeated(part).tolist() == [int(of) in past for of, past in zip(part.item, pasts, strict=True)]
    assert 0.1 < repeated(data.train).mean() < 0.5


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("repeats", ["allow", "exclude"])
def test_the_past_bars_candidates_where_repeats_are_excluded(shop, tmp_path, timed, repeats):
    data = load(shop, habits(shop, tmp_path, 0.3, timed), repeats=repeats).tasks["next"]
    step = data.train.drawn(0, 0).take(np.arange(50))
    found = barred(step)
    for row in range(len(step)):
        own = np.arange(ITEMS) == step.item[row]
        known = np.isin(np.arange(ITEMS), past_of(step, row)) if repeats == "exclude" else False
        assert (found[row] == (own | known)).all()
    assert barred(data.train.take(np.arange(3))) is None  # without candidates


def test_a_long_log_is_read_in_blocks_of_users(shop, tmp_path, monkeypatch):
    train = load(shop, habits(shop, tmp_path, 0.3), repeats="allow").tasks["next"].train
    whole = repeated(train)
    monkeypatch.setattr("peftrec.data.log.AT_ONCE", 25)  # two users of ten events each
    assert repeated(train).tolist() == whole.tolist()
