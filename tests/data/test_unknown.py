"""Texts whose tokens the tokenizer does not know, through what `check` says."""

import numpy as np
from tiny import make_tiny_shop, tiny_recipe

from peftrec.data.texts import TextTable
from peftrec.data.unknown import unknown_notes
from peftrec.model.backbone.families import tiny_tokenizer
from peftrec.training.prepare import prepare


def notes_of(*texts, rows=None):
    table, tokenizer = TextTable(), tiny_tokenizer()
    for text in texts:
        table.add(text)
    table.tokenize(tokenizer, 16, 0)
    return unknown_notes(table, tokenizer, rows)


def test_the_user_is_told_of_unknown_tokens_and_of_texts_that_become_alike():
    assert notes_of("電 影", "音 樂", "w1 w2", "w3 w4") == [
        "texts: 50% of the tokens are unknown to the backbone's tokenizer, in 2 of 4 texts, and 2 different texts "
        "become the same tokens as another; "
        "take a backbone whose vocabulary has this language, such as a multilingual one"
    ]
    assert "different texts" not in notes_of("電 w1", "音 w2")[0]


def test_few_unknown_tokens_are_no_news():
    assert notes_of("w1 w2 w3", "w4 w5 w6") == []
    assert notes_of(*(f"w{n} w1 w2" for n in range(20)), "電") == []
    assert notes_of("電", "w1", rows=np.array([1])) == []
    assert notes_of() == []


def test_preparing_a_training_says_so(tmp_path):
    shop = make_tiny_shop(tmp_path)
    assert not any("unknown" in line for line in prepare(tiny_recipe(shop)).notes)
    items = shop / "items.csv"
    items.write_text("id,title\n" + "".join(f"i{n},{chr(0x4E00 + n)}\n" for n in range(20)))
    told = [line for line in prepare(tiny_recipe(shop)).notes if line.startswith("texts: ")]
    assert len(told) == 1 and "20 different texts become the same tokens" in told[0]
