"""Tables for people: a report beside its priors, a matrix of methods."""

from command import printed

from peftrec.cli.tables import matrix_cells, matrix_markdown, matrix_reasons


def test_printed_report_says_why_a_value_is_missing():
    text = printed(
        {
            "tasks": {
                "interest": {
                    "n": 3,
                    "metrics": {"auc": None, "ece": 0.25},
                    "intervals": {"auc": None, "ece": [0.2, 0.3]},
                    "priors": {"random": {"auc": None, "ece": 0.2}},
                    "gains": {"ece": {"prior": "random", "by": -0.05, "interval": [-0.1, -0.01]}},
                    "undefined": {"auc": "needs rows of at least two classes"},
                }
            }
        }
    )
    assert "auc: no value, needs rows of at least two classes" in text
    assert "0.2000*" in text and "-0.0500" in text and "worse" in text
    assert text.splitlines()[-1].startswith("*  ") and "open" not in text


def test_the_matrix_is_written_out():
    rows = [
        {"method": m, "family": f, "quantize": q, "ok": ok, "reason": reason}
        for m, f, q, ok, reason in [
            ("a", "X", None, True, ""),
            ("a", "X", "nf4", False, "too small"),
            ("a", "X", "int8", True, ""),
            ("a", "Y", None, True, ""),
            ("a", "Y", "nf4", True, ""),
            ("a", "Y", "int8", True, ""),
            ("b", "X", None, True, "alone"),
            ("b", "X", "nf4", False, "too small"),
            ("b", "X", "int8", False, "too small"),
            ("b", "Y", None, False, "never"),
            ("b", "Y", "nf4", False, "never"),
            ("b", "Y", "int8", False, "never"),
        ]
    ]
    assert matrix_cells(rows) == [["", "X", "Y"], ["a", "not nf4", "yes"], ["b", "only unquantised", "no"]]
    assert matrix_reasons(rows) == [
        "a, b on X on nf4, int8: too small",
        "b on X on unquantised: alone",
        "b on Y: never",
    ]
    assert matrix_markdown(rows).splitlines()[:2] == ["|  | X | Y |", "| --- | --- | --- |"]
