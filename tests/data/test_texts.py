"""The text table against the tokenizer itself."""

import numpy as np
import pytest
from transformers import AutoTokenizer

from peftrec.data.texts import Prompts, TextTable
from peftrec.model.backbone import locate


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(locate("sentence-transformers/all-MiniLM-L6-v2")[0])


def test_equal_texts_share_a_row_and_pairs_are_their_own():
    table = TextTable()
    rows = [
        table.add("a"),
        table.add("b"),
        table.add("a"),
        table.add("a", "b"),
        table.add("b", "a"),
        table.add("a", "b"),
    ]
    assert rows == [0, 1, 0, 2, 3, 2]
    assert len(table) == 4


def test_passages_have_rows_and_a_prompt_of_their_own(tokenizer):
    table = TextTable()
    rows = [table.add("a film"), table.add("a film", passage=True), table.add("a film", "b"), table.add("a film")]
    assert rows == [0, 1, 2, 0]
    table.tokenize(tokenizer, 32, 0, Prompts("query: ", "passage: "))
    ids, mask, _ = table.pad(np.arange(3))
    expected = tokenizer(["query: a film", "passage: a film"])["input_ids"] + tokenizer([["a film", "b"]])["input_ids"]
    assert [of[keep > 0].tolist() for of, keep in zip(ids, mask, strict=True)] == expected
    assert table.texts[:2] == ["a film"] * 2  # what is shown has none
    table.add("new", passage=True)
    table.keep_guests(np.zeros(0, np.int64))
    assert table.add("new") == 3 and table.passages == [False, True, False, False]


def test_padding_gives_what_the_tokenizer_gives(tokenizer):
    table = TextTable()
    texts = ["a short one", "a text that is a good deal longer than the first", "电影"]
    for text in texts:
        table.add(text)
    table.add("query", "an item's text")
    table.tokenize(tokenizer, 32, tokenizer.pad_token_id)
    ids, mask, types = table.pad(np.array([0, 1, 2]))
    expected = tokenizer(texts, padding=True, return_tensors="pt")
    assert ids.tolist() == expected["input_ids"].tolist()
    assert mask.tolist() == expected["attention_mask"].tolist()
    assert types.sum() == 0
    ids, _, types = table.pad(np.array([3]))
    expected = tokenizer(["query"], ["an item's text"], return_tensors="pt")
    assert ids.tolist() == expected["input_ids"].tolist()
    assert types.tolist() == expected["token_type_ids"].tolist()


def test_rows_added_later_are_tokenised_later_and_the_rest_stays(tokenizer):
    table, at_once = TextTable(), TextTable()
    table.add("first text")
    table.tokenize(tokenizer, 16, 0)
    before = table.digests(np.arange(1))
    table.add("second", "pair")
    table.add("third text")
    table.tokenize(tokenizer, 16, 0)
    for text, pair in zip(table.texts, table.pairs, strict=True):
        at_once.add(text, pair)
    at_once.tokenize(tokenizer, 16, 0)
    assert table.digests(np.arange(3)).tolist() == at_once.digests(np.arange(3)).tolist()
    assert table.digests(np.arange(1)).tolist() == before.tolist()
    assert len(set(map(tuple, table.digests(np.arange(3)).tolist()))) == 3
    assert table.lengths.tolist() == [4, 5, 4]


def test_long_texts_and_pairs_are_cut_at_max_length_keeping_both_sides(tokenizer):
    table = TextTable()
    table.add("word " * 100)
    table.add("query here", "word " * 100)
    table.tokenize(tokenizer, 12, 0)
    assert table.lengths.tolist() == [12, 12]
    ids, _, types = table.pad(np.array([1]))
    assert tokenizer.decode(ids[0].tolist()).startswith("[CLS] query here [SEP] word")
    assert types[0].sum() == 8  # seven words and the closing separator


WORDS = ["own one", "own two", "guest of three tokens", "guest b", "guest c", "guest d"]


def with_guests(tokenizer):
    """Two rows of its own, four guests, of which "guest b" was asked for last, and one before it."""
    table = TextTable()
    for text in WORDS[:2]:
        table.add(text)
    table.tokenize(tokenizer, 16, 0)
    for text in WORDS[2:]:
        table.add(text)
    table.tokenize(tokenizer, 16, 0)
    table.add("guest of three tokens")
    table.add("guest b")
    table.add("own one")
    return table


def test_guests_are_the_rows_after_the_first_tokenize_and_in_the_order_of_last_use(tokenizer):
    table = with_guests(tokenizer)
    assert (table.own, table.guests) == (2, 4)
    assert table.recent_guests(2).tolist() == [2, 3]
    assert table.recent_guests(3).tolist() == [2, 3, 5]
    table.add("not tokenised")
    assert table.recent_guests(3).tolist() == [2, 3, 5]
    assert table.recent_guests(9).tolist() == [2, 3, 4, 5]
    assert TextTable().guests == 0


def test_guests_that_are_kept_are_renumbered_and_the_others_are_gone(tokenizer):
    table = with_guests(tokenizer)
    table.add("not tokenised", "pair")
    before = table.digests(np.arange(6))
    table.keep_guests(np.array([3, 5]))
    assert table.texts == ["own one", "own two", "guest b", "guest d"]
    assert table.pairs == [None] * 4
    assert table.digests(np.arange(4)).tolist() == before[[0, 1, 3, 5]].tolist()
    assert len(table.ids) == len(table.types) == table.lengths.sum()
    assert [table.add(text) for text in table.texts] == [0, 1, 2, 3]
    assert table.recent_guests(1).tolist() == [3]  # as just asked for
    assert table.add("not tokenised", "pair") == 4  # anew
    assert table.add("guest of three tokens") == 5
    table.tokenize(tokenizer, 16, 0)
    assert table.digests(np.array([5])).tolist() == before[[2]].tolist()


def test_the_order_of_last_use_outlives_forgetting(tokenizer):
    table = with_guests(tokenizer)
    table.keep_guests(np.array([2, 3, 4]))
    assert table.recent_guests(1).tolist() == [3]
    assert table.recent_guests(2).tolist() == [2, 3]
    table.keep_guests(table.recent_guests(0))
    assert (table.texts, table.guests) == (["own one", "own two"], 0)
    assert table.lengths.tolist() == [4, 4]


def test_rows_that_a_table_is_told_to_adopt_are_its_own(tokenizer):
    table = with_guests(tokenizer)
    table.adopt()
    row = table.add("one more")
    table.tokenize(tokenizer, 16, 0)
    assert (table.own, table.guests, table.add("one more")) == (7, 0, row)
    table.add("a guest again")
    table.tokenize(tokenizer, 16, 0)
    assert (table.own, table.guests) == (7, 1)


def test_equal_tables_have_equal_digests():
    def digest(*rows):
        table = TextTable()
        for row in rows:
            table.add(*row)
        return table.digest()

    one = digest(("a", None, True), ("b", None, True))
    assert one == digest(("a", None, True), ("b", None, True))
    others = [
        digest(("b", None, True), ("a", None, True)),
        digest(("a", None, True), ("b", None, False)),
        digest(("a", "b", True)),
        digest(("ab", None, True)),
        digest(),
    ]
    assert len({one, *others}) == 6


def test_who_keeps_something_of_the_rows_is_told_which_guests_stay(tokenizer):
    class Keeper:
        def keep_guests(self, rows):
            told.append((rows.tolist(), len(table)))

    table, told, keeper = with_guests(tokenizer), [], Keeper()
    table.keepers["states"] = keeper
    table.keep_guests(np.array([3]))
    assert told == [([3], 6)]  # before the table is shorter
    del keeper
    table.keep_guests(np.zeros(0, np.int64))
    assert len(told) == 1
