import pytest

from peftrec.errors import UserError
from peftrec.tasks.rows import ITEM, Event, example_row, liked_or_not, pair_field, standardised, text_field, text_of


class Shelf:
    """Two items; texts are numbered as they come."""

    def __init__(self):
        self.held = []

    def add(self, text, pair=None, passage=False):
        self.held.append((text, pair, passage))
        return len(self.held) - 1

    def item_text(self, row):
        return row["item_text"] if "item_text" in row else {"i1": "one", "i2": "two"}[row["item"]]


def test_fields_read_their_keys():
    shelf = Shelf()
    assert text_field("query").keys == ("query",)
    assert text_field("query").read({"query": "q"}, shelf) == 0
    assert ITEM.read({"item": "i2"}, shelf) == 1
    assert ITEM.read({"item_text": "new"}, shelf) == 2
    assert pair_field("query").keys == ("query", "item", "item_text")
    assert pair_field("query").read({"query": "q", "item": "i1"}, shelf) == 3
    of_items = [("two", None, True), ("new", None, True)]
    assert shelf.held == [("q", None, False), *of_items, ("q", "one", False)]


@pytest.mark.parametrize("value", [None, 3, "", "  ", ["a"]])
def test_a_text_is_not_empty(value):
    with pytest.raises(UserError, match="'text' must be a text that is not empty; found "):
        text_of({"text": value}, "text")


def test_a_text_is_valid_unicode():
    with pytest.raises(UserError, match="'text' must be valid Unicode, without halves of surrogate pairs"):
        text_of({"text": "a\ud800"}, "text")


def test_feedback_of_past_events_is_as_training_counted_it():
    past = [Event(None, 1.0), Event(4.0, 2.0), Event(3.5, 3.0)]
    assert liked_or_not(past, 4) == [1, 1, 0]
    assert liked_or_not([Event(0.5, 0.0), Event(1.0, 0.0)], None) == [0, 1]  # the column holds 0 and 1
    assert standardised(past, (3.0, 0.5)) == [0, 2, 1]


def test_the_example_row_has_what_the_slots_need():
    fields = {"query": text_field("query"), "item": ITEM, "pair": pair_field("query")}
    assert example_row(fields, ["query", "item"], "i7", False, False) == {"query": "some words", "item": "i7"}
    assert example_row(fields, ["pair"], "i7", False, False) == {"query": "some words", "item": "i7"}
    row = example_row(fields, ["item"], "i7", True, True)
    assert row == {"item": "i7", "history": [], "time": "2026-01-01"}
