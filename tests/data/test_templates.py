import pytest

from peftrec.data.templates import parse_template, template_columns
from peftrec.errors import UserError


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("plain", "names at least one column"),
        ("{}", "plain column names"),
        ("{a:>3}", "plain column names"),
        ("{a!r}", "plain column names"),
        ("{a", "expected '}'"),
    ],
)
def test_a_wrong_template_names_its_key(template, reason):
    with pytest.raises(UserError) as error:
        parse_template(template, "data.items.text")
    assert str(error.value).startswith("data.items.text: ") and reason in str(error.value)
    assert repr(template) in str(error.value)


def test_the_columns_of_a_template_stand_in_its_order():
    assert template_columns("{b} ({a}) {{not}}", "k") == ["b", "a"]
