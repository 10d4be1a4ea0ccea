"""What the README shows runs as it stands."""

import re
from pathlib import Path

from peftrec.recipe import make_recipe, parse_yaml

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    examples = blocks("python")
    assert len(examples) == 1
    exec(compile(examples[0], "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3 + 1 + 3
    assert (tmp_path / "runs/first/manifest.json").is_file()


def test_the_recipes_are_valid():
    examples = blocks("yaml")
    assert len(examples) == 1
    for text in examples:
        make_recipe(parse_yaml(text, "README.md"))
