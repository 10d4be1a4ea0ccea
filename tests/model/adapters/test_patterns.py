"""Regular expressions of adapter configurations: those that take for ever are refused at once."""

import json

import pytest
from encoders import configured, make_encoder, rebuilt, save_all

from peftrec.errors import UserError
from peftrec.model.adapters import patterns
from peftrec.model.adapters.patterns import check_patterns, patterns_of
from peftrec.model.backbone.families import tiny_backbone

PATHS = ["encoder.layer.0.attention.self.query", "encoder.layer.0.attention.self.value", "encoder.layer.0.output.dense"]
ENDLESS = r"^(([a-z0-9_.])+)+X$"


@pytest.mark.parametrize(
    ("option", "value", "found"),
    [
        ("target_modules", "a.*", ["a.*"]),
        ("target_modules", ["query", "value"], []),  # names, not patterns
        ("exclude_modules", "a.*", ["a.*"]),
        ("feedforward_modules", "a.*", ["a.*"]),
        ("layers_pattern", "layer", ["layer"]),
        ("layers_pattern", ["layer", "h"], ["layer", "h"]),
        ("rank_pattern", {"a.*": 4, 5: 1}, ["a.*"]),
        ("alpha_pattern", {"b": 4}, ["b"]),
        ("target_modules", None, []),
        ("layers_to_transform", [1], []),
    ],
)
def test_where_peft_reads_patterns(option, value, found):
    assert patterns_of(option, value) == found


def test_good_patterns_pass_and_plain_names_start_no_process(monkeypatch):
    check_patterns("here", [r".*(query|value)", r"(?i).*DENSE", r"(\w+\.)*query", ".*a.*b.*c.*d.*e", "a{,3}"], PATHS)
    monkeypatch.setattr(patterns.subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
    check_patterns("here", ["query", "encoder.layer.0.output.dense", "all-linear"], PATHS)


@pytest.mark.parametrize("pattern", [ENDLESS, ".*" * 12 + "X", r"((\w+)\.?)+!|x", r"(?i)(([A-Z.0-9])+)+!"])
def test_a_pattern_that_takes_for_ever_is_refused(monkeypatch, pattern):
    monkeypatch.setattr(patterns, "LIMIT_S", 0.5)
    with pytest.raises(UserError) as error:
        check_patterns("here", ["query", pattern], PATHS)
    assert str(error.value) == (
        "here: to match it against the names of the model's modules takes more than 0.5 seconds; write it without "
        f"repeats inside repeats; found {pattern!r}"
    )


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        ("a" * 1001, "a pattern has at most 1,000 letters; found 'aaa"),
        ("(", "not a regular expression (missing ), unterminated subpattern at position 0); found '('"),
        ("a{99999999999}", "not a regular expression (the repetition number is too large)"),
        ("(" * 480 + ")" * 480, "not a regular expression (maximum recursion depth exceeded"),
    ],
)
def test_what_is_no_pattern_is_refused(pattern, rule):
    with pytest.raises(UserError) as error:
        check_patterns("here", [pattern], PATHS)
    assert str(error.value).startswith(f"here: {rule}")


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ENDLESS},
        {"target_modules": ["query"], "exclude_modules": ENDLESS},
        {"target_modules": ["query"], "layers_to_transform": [0], "layers_pattern": [ENDLESS]},
        {"rank_pattern": {ENDLESS: 4}},
        {"alpha_pattern": {ENDLESS: 4}},
    ],
)
def test_a_recipe_with_one_is_refused_naming_its_option(monkeypatch, options):
    monkeypatch.setattr(patterns, "LIMIT_S", 0.5)
    with pytest.raises(UserError) as error:
        make_encoder(tiny_backbone("BERT", layers=2), {"query": configured("lora", **options)})
    assert str(error.value).startswith(f"adapter.options.{list(options)[-1]}: to match it against the names")


@pytest.mark.parametrize("option", ["target_modules", "exclude_modules"])
def test_a_saved_adapter_with_one_is_refused_naming_its_file(tmp_path, monkeypatch, option):
    monkeypatch.setattr(patterns, "LIMIT_S", 0.5)
    config = {"query": configured("lora", sharing="private")}
    save_all(make_encoder(tiny_backbone("BERT", layers=2), config), ["query"], tmp_path)
    file = tmp_path / "query" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), option: ENDLESS}))
    with pytest.raises(UserError) as error:
        rebuilt(tiny_backbone("BERT", layers=2), config, tmp_path)
    assert str(error.value).startswith(f"{file}: {option}: to match it against the names")
