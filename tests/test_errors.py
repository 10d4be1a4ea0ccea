"""Mistakes of the user: told together, with the nearest known name."""

import pytest

from peftrec.errors import (
    Problems,
    RowError,
    UserError,
    UserErrors,
    check_texts,
    cut,
    first_line,
    looked_in,
    nearest,
    shown,
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
    assert first_line(ValueError("x" * 20_000)) == "x" * 1000 + "... (20,000 letters)"


def test_where_a_relative_path_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert looked_in("items.csv") == f" (looked in {tmp_path})"
    assert looked_in(tmp_path / "items.csv") == ""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (5, "5"),
        ("it's", '"it\'s"'),
        ("x" * 200, repr("x" * 200)),
        ("x" * 20_000, f"'{'x' * 200}'... (20,000 letters)"),
        ("\x1b[31m", r"'\x1b[31m'"),
        ([1] * 1000, f"[{'1, ' * 66}1... (3,000 letters)"),
        ({"a": None}, "{'a': None}"),
    ],
)
def test_a_value_is_shown_whole_or_cut(value, said):
    assert shown(value) == said


def test_a_number_that_python_does_not_write_out_is_described():
    assert shown(10**5000) == "a whole number of more than 4,300 digits"


def test_a_text_is_cut_where_it_is_long():
    assert cut("x" * 200) == "x" * 200
    assert cut("x" * 201) == "x" * 200 + "... (201 letters)"
