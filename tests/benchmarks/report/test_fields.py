"""The page of the fields says what was measured, and docs/domains takes its table from it."""

from lines import LOST

from benchmarks.places import ROOT
from benchmarks.report.fields import fields_page

COST = {"said": "a log, thinned", "cpu_seconds": 1234.5, "peak_mb": 1380.4, "adapter_mb": 1.26, "commit": "abc"}
FOUND = {
    "video": {"recipe": "video", **COST, "tasks": {"return": LOST}},
    "customer-service": {"recipe": "support", **COST, "tasks": {"intent": LOST | {"verdict": "win"}}},
}


def test_the_page_has_every_task_and_what_its_field_costs():
    text = fields_page(FOUND)
    row = (
        "| return | MAE | 1,200 | 2.0000 | 1.5000 (1.400\u00a0to\u00a01.600) "
        "| 1.9000 median | 1.2000 boosting | 2.5000 | loss |"
    )
    assert f"| [video](../domains/video.md) {row}" in text
    assert "| [customer-service](../domains/customer-service.md) | intent |" in text
    assert "Of 2 tasks 1 win, 0 are level, 1 lose." in text
    assert "| [video](../domains/video.md) | `video` | a log, thinned | 1,234 | 1,380 | 1.3 | abc |" in text


def test_the_page_of_all_fields_shows_the_table():
    _, table, costs = fields_page(FOUND).replace("<!-- --8<-- [end", "<!-- --8<-- [start").split("<!-- --8<-- [start")
    assert table.startswith(":worth] -->") and "| loss |" in table and "a log, thinned" in costs
    shown = (ROOT / "docs/domains/index.md").read_text(encoding="utf-8")
    assert '\n--8<-- "docs/results/fields.md:worth"\n' in shown
