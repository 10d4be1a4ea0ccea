"""A measurement in a process of its own: what it answers, and what is said where it fails."""

import pytest

from benchmarks.children import chosen, measured, run_child


def test_a_child_that_fails_says_so_in_its_last_words(tmp_path):
    with pytest.raises(SystemExit, match=r"studies\.no_such .*No module named benchmarks\.studies\.no_such"):
        measured("studies.no_such", {"a": 1})
    said = run_child("studies.no_such", tmp_path / "spec.json", tmp_path / "out", 1)
    assert said.startswith("failed; to repeat it: ") and "-m benchmarks.studies.no_such" in said
    assert not (tmp_path / "out").exists()


def test_names_that_are_asked_for_are_known_ones_in_their_order():
    known = {"one": 1, "two": 2, "three": 3}
    assert chosen(["three", "one"], known, "log") == ["one", "three"]
    assert chosen(None, known, "log") == list(known)
    with pytest.raises(SystemExit, match=r"no log five, four; there are one, two, three"):
        chosen(["four", "one", "five"], known, "log")
