"""The text table against the tokenizer itself."""

import numpy as np
import pytest
from transformers import AutoTokenizer

from peftrec.data.texts import TextTable
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
