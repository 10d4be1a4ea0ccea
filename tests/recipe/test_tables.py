import pytest
from pydantic import ValidationError

from peftrec.recipe import DataConfig, EventsConfig, FileConfig, ItemsConfig, TextsConfig


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"impression": "list"}, "impression: needs time too"),
        ({"unclicked_in_history": True}, "unclicked_in_history: needs clicked"),
        ({"moment": "order"}, "moment: needs time too"),
        ({"moment": "order", "time": "t", "impression": "list"}, "moment: what is shown in a list"),
        ({"moment": 3, "time": "t"}, "Input should be a valid string"),
    ],
)
def test_keys_of_events_that_lack_another_are_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        EventsConfig(path="a.csv", user="u", item="i", **keys)


WRONG_FILES = {
    "empty separator": ({"separator": ""}, "must be one or more characters, no quotes and no line breaks; found ''"),
    "separator with a quote": ({"separator": '"'}, "no quotes and no line breaks; found '\"'"),
    "separator with a break": ({"separator": "a\nb"}, r"no line breaks; found 'a\nb'"),
    "separator of another type": ({"separator": 1}, "Input should be a valid string"),
    "names with a header": ({"names": ["a"]}, "belongs to header: false; a first line"),
    "no header and no names": ({"header": False}, "header: false needs names: [...], one for each column, in order"),
    "no header and none named": ({"header": False, "names": []}, "header: false needs names"),
    "names twice": ({"header": False, "names": ["a", "a"]}, "names must be there and differ; found ['a', 'a']"),
    "an empty name": ({"header": False, "names": ["a", ""]}, "names must be there and differ; found ['a', '']"),
    "unknown encoding": ({"encoding": "latin-99"}, "must be an encoding that Python knows, such as utf-8, latin-1"),
    "an encoding of bytes": ({"encoding": "hex"}, "must be an encoding that Python knows"),
    "an encoding with a NUL": ({"encoding": "a\0b"}, "must be an encoding that Python knows"),
    "a long quote": ({"quote": '""'}, "must be one character such as '\"', or none; found '\"\"'"),
    "a letter as quote": ({"quote": "a"}, "must be one character such as '\"', or none; found 'a'"),
    "decimal": ({"decimal": ";"}, "Input should be '.' or ','"),
    "empty comment": ({"comment": " "}, "must be what such lines begin with, for example '#'; found ' '"),
    "comment of two lines": ({"comment": "#\n"}, "must be what such lines begin with"),
    "decimal as separator": ({"separator": ",", "decimal": ","}, "must differ from separator; found ','"),
    "comment as separator": ({"separator": "#", "comment": "#"}, "must differ from separator; found '#'"),
    "strip": ({"strip": "perhaps"}, "Input should be a valid boolean"),
    "unit": ({"time": "t", "time_unit": "hours"}, "Input should be 's', 'ms', 'us', 'ns', 'days' or 'excel'"),
    "unit without a time": ({"time_unit": "ms"}, "says how the column `time` is read: name that too"),
    "format without a time": ({"time_format": "%Y"}, "says how the column `time` is read"),
    "unit and format": (
        {"time": "t", "time_unit": "ms", "time_format": "%Y"},
        "give one of time_unit (of numbers)",
    ),
    "format of nothing": ({"time": "t", "time_format": "%Q"}, "must be a pattern with the year, such as '%Y%m%d'"),
    "format without a year": ({"time": "t", "time_format": "%d.%m."}, "must be a pattern with the year"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_wrong_keys_of_files_are_refused(name):
    keys, message = WRONG_FILES[name]
    with pytest.raises(ValidationError) as error:
        TextsConfig(path="a.csv", text="{a}", **keys)
    assert message in str(error.value)


def test_a_tab_may_be_written_as_yaml_does_not_read_it():
    assert FileConfig(path="a.csv", separator=r"\t").separator == "\t"
    assert FileConfig(path="a.csv", decimal=",").decimal == ","  # in quotes, or with another separator


def test_what_has_no_time_has_no_unit_of_it():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        ItemsConfig(path="a.csv", id="a", text="{a}", time_unit="ms")


ITEMS = {"path": "a.csv", "id": "id", "text": "{a}"}


def test_features_are_numbers_or_categories():
    items = ItemsConfig(**ITEMS, features={"price": "number", "brand": "category"})
    assert items.features == {"price": "number", "brand": "category"}
    with pytest.raises(ValidationError, match=r"features.price\n  Input should be 'number' or 'category'"):
        ItemsConfig(**ITEMS, features={"price": "float"})
    with pytest.raises(ValidationError, match="features\n  Extra inputs are not permitted"):
        TextsConfig(path="a.csv", text="{a}", features={"price": "number"})


def test_a_feature_of_users_stands_in_one_of_their_tables():
    people = {"kind": "users", "path": "a.csv", "id": "id", "features": {"age": "number"}}
    with pytest.raises(ValidationError) as error:
        DataConfig(tables={"one": people, "other": people})
    rule = "tables.other.features: users are one set over all tables, and one has the feature 'age' already"
    assert rule in str(error.value)
