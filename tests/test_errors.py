"""Mistakes of the user: told together, with the nearest known name."""

import pytest

from peftrec.errors import (
    Problems,
    RowError,
    UserError,
    UserErrors,
    check_texts,
    first_line,
    looked_in,
    nearest,
)


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("rank", ["r", "rank_pattern", "lora_alpha"], "did you mean 'r'?"),
        ("r", ["rank", "depth"], "did you mean 'rank'?"),
        ("alpha", ["alpha_pattern", "lora_alpha"], "did you mean 'lora_alpha'?"),
        ("dropout", ["r", "lora_dropout"], "did you mean 'lora_dropout'?"),
        ("rnak", ["rank", "r"], "did you mean 'rank'?"),
        ("x", ["rank", "depth"], "known: depth, rank"),
        ("", ["rank"], "known: rank"),
    ],
)
def test_the_nearest_name_is_one_spelt_alike_or_abbreviated(name, known, hint):
    assert nearest(name, known) == hint


def test_mistakes_that_do_not_depend_on_each_other_are_told_together_each_once():
    problems = Problems()
    for message in ("one", "two", "one"):
        with problems.collect("x: "):
            raise UserError(message)
    with problems.collect():
        raise UserErrors(["three", "four"])
    with problems.collect():
        pass
    with pytest.raises(UserErrors) as error:
        problems.stop()
    assert error.value.problems == ["x: one", "x: two", "three", "four"]
    assert str(error.value) == "x: one\nx: two\nthree\nfour"
    Problems().stop()  # nothing wrong


def test_bugs_are_no_mistakes_of_the_user():
    with pytest.raises(ZeroDivisionError), Problems().collect():
        1 / 0  # noqa: B018


def test_a_mistake_in_a_row_knows_which():
    error = RowError(3, "no item 'x'")
    assert (str(error), error.row, error.problem, error.problems) == (
        "row 3: no item 'x'",
        3,
        "no item 'x'",
        [str(error)],
    )


def test_a_text_alone_is_no_list_of_texts():
    check_texts("names", ["a", "b"])
    for given in ("ab", ["a", 1], None):
        with pytest.raises(UserError, match="names must be a list of texts; found "):
            check_texts("names", given)


def test_the_first_line_of_an_error_or_its_kind():
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(KeyError()) == "KeyError"


def test_where_a_relative_path_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert looked_in("items.csv") == f" (looked in {tmp_path})"
    assert looked_in(tmp_path / "items.csv") == ""
