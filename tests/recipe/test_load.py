import copy
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from minimal import MINIMAL

from peftrec.errors import UserError
from peftrec.recipe import (
    AUTO,
    Recipe,
    apply_overrides,
    dump_recipe,
    json_schema,
    load_recipe,
    make_recipe,
    mend_recipe,
    parse_yaml,
)
from peftrec.recipe.shipped import recipe_files


@pytest.mark.parametrize("text", ["5e-4", "5E-4", "+5e-4", "5.0e-4", "0.0005"])
def test_a_learning_rate_is_a_number_however_it_is_written(text):
    assert parse_yaml(f"lr: {text}", "r.yaml") == {"lr": 0.0005}


@pytest.mark.parametrize(
    ("text", "value"), [("-1e3", -1000.0), ("e4", "e4"), ("5e", "5e"), ("5e-4x", "5e-4x"), ("7", 7)]
)
def test_only_what_reads_as_a_number_becomes_one(text, value):
    found = parse_yaml(text, "r.yaml")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a: 1\nb: 2\na: 3\n", ["'a' is given twice", "line 3, column 1"]),
        ("a: {x: 1, x: 1}\n", ["'x' is given twice", "line 1, column 11"]),
        ("a: [1\n", ["line 2, column 1"]),
        ("a:\n\t- 1\n", ["line 2, column 1"]),
        ("!!python/object/apply:os.system [ls]", ["line 1, column 1"]),
        ("{[1]: 2}", ["a key must be plain text", "line 1, column 2"]),
        ("? {a: 1}\n: 2", ["a key must be plain text", "line 1, column 3"]),
        ("~: 2", ["a key must be plain text", "line 1, column 1"]),
        ("day: 2024-13-01", ["month must be in 1..12"]),
    ],
)
def test_bad_yaml_is_refused_with_its_place(text, parts):
    with pytest.raises(UserError) as error:
        parse_yaml(text, "r.yaml")
    assert str(error.value).startswith("r.yaml: not valid YAML: ")
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_overrides_set_dotted_keys_and_leave_the_original():
    raw = copy.deepcopy(MINIMAL)
    method = ["adapter.method=lora", "adapter.layers=[0, 1]"]
    result = apply_overrides(
        raw, ["train.lr=1e-4", "backbone.quantize=nf4", *method, "train.clip=null", "backbone.name=a=b"]
    )
    recipe = make_recipe(result)
    assert (recipe.train.lr, recipe.backbone.quantize, recipe.adapter.layers) == (1e-4, "nf4", [0, 1])
    assert recipe.train.clip is None
    assert recipe.backbone.name == "a=b"
    assert raw == MINIMAL


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lr", "write key=value"),
        ("=1", "write key=value"),
        ("train..lr=1", "write key=value"),
        ("backbone.name.x=1", "'name' is a value, not a group of keys"),
        ("train.lr=[1", "not valid YAML"),
        ("more.yaml", "what follows the recipe changes it: write key=value"),
    ],
)
def test_a_malformed_override_is_refused(override, message):
    with pytest.raises(UserError, match="override") as error:
        apply_overrides(MINIMAL, [override])
    assert message in str(error.value)
    assert repr(override) in str(error.value)


@pytest.mark.parametrize(
    ("first", "second"),
    [("train.lr=1", "train.lr=2"), ("train.lr=1", "train={epochs: 2}"), ("train.checkpoint.keep=1", "train={}")],
)
def test_an_override_that_would_undo_another_is_refused_naming_both(first, second):
    with pytest.raises(UserError) as error:
        apply_overrides(MINIMAL, [first, "backbone.name=a", second])
    assert str(error.value) == f"override {second!r} would undo {first!r}: give one of them"


def test_an_override_that_begins_as_no_yaml_does_is_a_text():
    result = apply_overrides(MINIMAL, ["data.events.time_format=%d.%m.%Y", "train.run=@home"])
    assert result["data"]["events"]["time_format"] == "%d.%m.%Y" and result["train"]["run"] == "@home"


def test_overrides_that_agree_are_taken():
    result = apply_overrides(MINIMAL, ["train={epochs: 2}", "train.lr=1", "train.lr=1", "train.lr_=3"])
    assert result["train"] == {"epochs": 2, "lr": 1, "lr_": 3}


def test_a_key_that_is_wrong_is_not_missing_too(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(yaml.safe_dump(MINIMAL))
    recipe, problems = mend_recipe(file, ["backbone.name=", "train.epochs=0"])
    assert recipe is None
    assert problems == [
        f"{file}: backbone.name: Input should be a valid string; found None",
        f"{file}: train.epochs: Input should be greater than or equal to 1; found 0",
    ]


def test_a_file_is_loaded_with_its_overrides(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(yaml.safe_dump(MINIMAL))
    assert load_recipe(file) == make_recipe(MINIMAL)
    assert load_recipe(file, ["train.epochs=7"]).train.epochs == 7
    with pytest.raises(UserError, match=r"r\.yaml: train\.epoch: unknown key; did you mean 'epochs'"):
        load_recipe(file, ["train.epoch=7"])


@pytest.mark.parametrize("overrides", ["train.lr=1", {"train.lr": 1}, [1]])
def test_overrides_are_a_list_of_texts(tmp_path, overrides):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(MINIMAL))
    with pytest.raises(UserError, match=re.escape(f"overrides must be a list of texts; found {overrides!r}")):
        load_recipe(tmp_path / "r.yaml", overrides)


def test_a_date_where_text_belongs_is_an_ordinary_mistake(tmp_path):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(MINIMAL).replace("some/model", "2024-01-02"))
    with pytest.raises(UserError, match=r"backbone\.name: Input should be a valid string; found datetime\.date"):
        load_recipe(tmp_path / "r.yaml")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match="no such recipe file"):
        load_recipe(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: caf\xe9".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8"):
        load_recipe(tmp_path / "latin.yaml")
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(UserError, match=r"empty\.yaml: the file is empty"):
        load_recipe(tmp_path / "empty.yaml")
    with pytest.raises(UserError, match=r"a folder, not a recipe; name the \.yaml file in it"):
        load_recipe(tmp_path)


text = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=12) | st.from_regex(
    r"[-+]?[0-9]{1,3}(\.[0-9]?)?[eE][-+]?[0-9]{1,2}|true|null|~|2024-01-02|[0-9]{1,2}:[0-9]{2}", fullmatch=True
)
rate = st.floats(1e-9, 10, exclude_min=True)
options = st.dictionaries(text, st.none() | st.booleans() | st.integers() | rate | text | st.lists(text), max_size=3)
sharing = st.sampled_from(["shared", "private", "shared+private"])
adapters = st.fixed_dictionaries({}, optional={"method": st.just(AUTO), "sharing": sharing}) | st.fixed_dictionaries(
    {"method": text.filter(lambda name: name != AUTO)},
    optional={
        "sharing": sharing,
        "layers": st.sampled_from(["all", "top-2"]) | st.lists(st.integers(0, 40), min_size=1, max_size=4, unique=True),
        "options": options,
    },
)
tasks = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True).filter(lambda name: name != "shared"),
    st.fixed_dictionaries(
        {"kind": text, "weight": rate},
        optional={"loss": text, "threshold": st.none() | rate, "share": rate, "adapter": adapters},
    ),
    min_size=1,
    max_size=3,
)
recipes = st.fixed_dictionaries(
    {"backbone": st.fixed_dictionaries({"name": text}, optional={"max_length": st.integers(4, 512)}), "tasks": tasks},
    optional={
        "adapter": adapters,
        "weighting": st.fixed_dictionaries({"method": text, "options": options}),
        "train": st.fixed_dictionaries(
            {},
            optional={
                "lr": rate,
                "epochs": st.integers(1, 99),
                "clip": st.none() | rate,
                "early_stopping": st.none() | st.fixed_dictionaries({"metric": st.none() | text}),
            },
        ),
    },
)


@settings(max_examples=60)
@given(recipes, text, st.integers(0, 1000))
def test_a_dumped_recipe_loads_as_an_equal_one(raw, source, history):
    recipe = make_recipe({**raw, "data": {"source": source, "history": history}})
    dumped = dump_recipe(recipe)
    assert make_recipe(parse_yaml(dumped, "dumped")) == recipe
    assert dump_recipe(make_recipe(parse_yaml(dumped, "dumped"))) == dumped


def test_the_schema_describes_every_top_level_key():
    assert set(json_schema()["properties"]) == set(Recipe.model_fields)
    assert json_schema()["additionalProperties"] is False


def test_every_shipped_recipe_loads():
    files = recipe_files()
    for path in files.values():
        load_recipe(path)
    movielens = ["movielens-100k", "movielens-100k-retrieval", "movielens-100k-smollm2", "movielens-latest-small"]
    assert list(files) == [
        "chinese",
        "clinc150",
        "esci",
        "finance",
        *movielens,
        "news",
        "shop",
        "social",
        "support",
        "video",
    ]
