"""Templates: a name that is not given is an error, and values in HTML are escaped."""

import pytest
from jinja2 import UndefinedError

from peftrec.runs.templates import templates


@pytest.mark.parametrize(("escape", "shown"), [(True, "&lt;b&gt;\n"), (False, "<b>\n")])
def test_values_are_escaped_where_asked(escape, shown):
    made = templates("peftrec.runs.report", escape)
    assert made.from_string("{{ name }}\n").render(name="<b>") == shown
    assert "page.html" in made.list_templates()


def test_a_name_that_is_not_given_is_an_error():
    with pytest.raises(UndefinedError, match="'nothing' is undefined"):
        templates("peftrec.runs.report", escape=False).from_string("{{ nothing }}").render()
