"""Tables under names: of one sort, the only one, and users numbered alike in all of them."""

import numpy as np
import pytest

from peftrec.data.tables import Events, Items, Tables, Users


def events(users, names, catalogue="items") -> Events:
    user = np.array(users, np.int32)
    return Events(user, np.arange(len(user), dtype=np.int32), None, {}, names, catalogue=catalogue).ordered()


def test_tables_are_found_by_sort_and_users_without_texts_are_no_catalogue():
    named = {"goods": Items(["a"], ["A"]), "people": Users(["u"], []), "clicks": events([0], ["u"])}
    tables = Tables(named)
    assert list(tables.of(Items)) == ["goods"] and list(tables.of(Events)) == ["clicks"]
    assert tables.one(Items).ids == ["a"]
    with pytest.raises(ValueError, match="not enough"):
        Tables({}).one(Items)
    assert list(Tables({**named, "people": Users(["u"], ["a person"])}).of(Items)) == ["goods", "people"]


def test_users_are_one_set_by_id_over_all_tables():
    clicks, orders = events([0, 1, 1], ["x", "y"]), events([0, 0, 1], ["z", "y"])
    tables = Tables({"people": Users(["y"], []), "clicks": clicks, "orders": orders}).with_one_set_of_users()
    assert tables.user_ids == ["y", "x", "z"]
    clicks, orders = tables.named["clicks"], tables.named["orders"]
    assert (clicks.user.tolist(), clicks.item.tolist()) == ([0, 0, 1], [1, 2, 0])  # y's two, then x's
    assert (orders.user.tolist(), orders.item.tolist()) == ([0, 2, 2], [2, 0, 1])
    assert clicks.user_start.tolist() == [0, 2, 3, 3] and orders.user_start.tolist() == [0, 1, 1, 3]


def test_one_table_s_users_stay_as_they_are():
    tables = Tables({"clicks": events([1, 0], ["x", "y"])})
    assert tables.with_one_set_of_users() is tables
