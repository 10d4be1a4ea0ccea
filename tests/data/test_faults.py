from peftrec.data.faults import SHOWN, told


def test_one_row_is_told_by_itself():
    assert told("title", "must not be empty", [("a.csv", 3, "")], 1) == (
        "a.csv: row 3, column 'title': must not be empty; found ''"
    )


def test_several_rows_are_counted_and_the_first_named_with_their_file_where_it_is_another():
    first = [("a.csv", 3, "x"), ("a.csv", 1200, None), ("b.csv", 1, "y")]
    assert told("age", "must be a number", first, 3) == (
        "a.csv: row 3, column 'age': must be a number; found 'x'; 3 rows break it: also row 1200 (None), "
        "b.csv: row 1 ('y')"
    )


def test_what_is_not_named_is_counted():
    first = [("a.csv", row, row) for row in range(1, SHOWN + 1)]
    assert told("n", "must be even", first, 1005).endswith(
        "found 1; 1,005 rows break it: also row 2 (2), row 3 (3), row 4 (4), row 5 (5) and 1,000 more"
    )
