"""The tables and the shop that growth is measured on."""

import numpy as np

from benchmarks.studies.growth import KINDS, Shop, grown


def test_the_log_and_the_catalogue_grow_and_histories_stay_as_long():
    one, more = grown(1, 1), grown(2, 3)
    assert len(more.named["events"].time) == 2 * len(one.named["events"].time) == 200_000
    assert len(more.named["items"]) == 3 * len(one.named["items"]) == 3 * 1682
    assert len(set(more.named["items"].texts)) == len(set(one.named["items"].texts)) * 3
    assert (
        len(more.named["events"].time) / len(np.unique(more.named["events"].user))
        < 1.01 * len(one.named["events"].time) / 943
    )
    assert more.named["events"].item.max() >= 2 * 1682


def test_a_user_keeps_to_two_kinds():
    history, kinds = Shop().new_user()
    assert len(history) == 20 and len(kinds) <= 2
    assert {int(item) % KINDS for item in history} <= kinds
