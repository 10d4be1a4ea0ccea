"""Texts that the tokenizer does not know, or knows by the letter."""

import numpy as np
from tiny import make_tiny_shop, tiny_recipe

from peftrec.data.texts import TextTable
from peftrec.data.vocabulary import vocabulary_notes
from peftrec.model.backbone.families import tiny_tokenizer
from peftrec.training.prepare import prepare


def notes_of(*texts, rows=None):
    table, tokenizer = TextTable(), tiny_tokenizer()
    for text in texts:
        table.add(text)
    table.tokenize(tokenizer, 16, 0)
    return vocabulary_notes(table, tokenizer, rows)


def test_the_user_is_told_of_unknown_tokens_and_of_texts_that_become_alike():
    assert notes_of("電 影", "音 樂", "w1 w2", "w3 w4") == [
        "texts: 50% of the tokens are unknown to the backbone's tokenizer, in 2 of 4 texts, and 2 different texts "
        "become the same tokens as another; "
        "take a backbone whose vocabulary has this language, such as intfloat/multilingual-e5-small"
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


class ByTheLetter:
    """A vocabulary that has the words of English, and of other scripts the letters."""

    unk_token_id = None

    def __call__(self, texts, add_special_tokens):
        assert not add_special_tokens
        return {"input_ids": [self.pieces(text) for text in texts]}

    def pieces(self, text):
        return [part for word in text.split() for part in ([word] if word.isascii() else word)]


def apart(*texts, tokenizer=None, rows=None):
    table = TextTable()
    for text in texts:
        table.add(text)
    return vocabulary_notes(table, tokenizer or ByTheLetter(), rows)


RUSSIAN = [f"Посылка пришла {n}" for n in range(10)]
ENGLISH = [f"The parcel arrived {n}" for n in range(90)]


def test_texts_that_fall_apart_into_letters_are_told_with_their_share():
    assert apart(*RUSSIAN, *ENGLISH) == [  # 7 + 6 letters and a number: 14 pieces of 14
        "texts: 10% of them fall apart into letters or less, which tell a backbone little: 1 tokens a letter, "
        "where English has 0.27; take a backbone whose vocabulary has this language, such as "
        "intfloat/multilingual-e5-small"
    ]
    assert apart(*RUSSIAN, *ENGLISH, rows=np.arange(10, 100)) == [] == apart(*RUSSIAN[:4], *ENGLISH) == apart()


def test_a_vocabulary_that_has_the_words_is_no_news_nor_are_other_latin_letters_or_chinese():
    class WithWords(ByTheLetter):
        def pieces(self, text):
            return text.split()

    assert apart(*RUSSIAN, tokenizer=WithWords()) == []
    assert apart("Żółć i gęśl jaźń", "Größe: über Öl") == [] == apart("包裹晚到了两天", "1234 5678", "?!")


def test_only_the_beginnings_of_many_long_texts_are_looked_at():
    class Counting(ByTheLetter):
        asked = 0

        def __call__(self, texts, add_special_tokens):
            Counting.asked += sum(map(len, texts))
            return super().__call__(texts, add_special_tokens)

    assert apart(*(f"{'я' * 300} {n}" for n in range(3000)), tokenizer=Counting())
    assert Counting.asked == 2000 * 200
