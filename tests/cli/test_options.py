"""What options take."""

import pytest
from command import peftrec


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recommend", "r", "--task", "t", "-k", "0"], "-k must be 1 or more; found 0"),
        (
            ["predict", "r", "--task", "t", "--input", "x", "--engine", "ray", "--workers", "0"],
            "--workers must be 1 or more; found 0",
        ),
        (["tune", "movielens-100k", "--trials", "-1"], "--trials must be 1 or more; found -1"),
        (["tune", "movielens-100k", "--seed", "-1"], "--seed must be 0 or more; found -1"),
    ],
)
def test_a_number_out_of_range_is_one_line_with_option_rule_and_value(arguments, message):
    done = peftrec(*arguments)
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"peftrec: {message}\n")
