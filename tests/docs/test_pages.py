"""The documents name what there is: links, commands, recipes, keys, public names; and only what there is."""

import re
import shlex
from typing import Any, get_args

import pytest
import yaml
from pages import DOCS, PAGES, README, ROOT, blocks, load, name, read
from pydantic import BaseModel
from typer.main import get_command

import peftrec
from peftrec.cli.verbs import app
from peftrec.recipe import Recipe, make_recipe, parse_yaml

HOOKS = load(DOCS / "hooks.py")
HOST = "https://github.com/peftrec/peftrec"
WHOLE = {
    "backbone": {"name": "x"},
    "data": {"source": "movielens-100k"},
    "tasks": {"interest": {"kind": "interest", "column": "rating", "threshold": 4}},
}


def test_the_pages_are_found():
    assert len(PAGES) >= 35


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target = link.partition("#")[0]
        if target.startswith(HOST):
            target = re.sub(r"^/(blob|tree)/main/", "", target.removeprefix(HOST))
            assert not target or (ROOT / target).exists(), link
        elif target and "://" not in target:
            assert (page.parent / target).exists(), link


def test_every_page_is_in_the_navigation():
    config = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader=yaml.SafeLoader)

    def files(node: Any) -> list[str]:
        inner = node.values() if isinstance(node, dict) else node
        return [node] if isinstance(node, str) else [file for one in inner for file in files(one)]

    written = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert written == set(files(config["nav"]))


@pytest.mark.parametrize("page", [page for page in PAGES if "extend" in page.parts or blocks(page, "yaml")], ids=name)
def test_recipes_are_valid(page):
    for text in blocks(page, "yaml"):
        given = parse_yaml(text, name(page))
        make_recipe(given if "backbone" in given else {**WHOLE, **given}, name(page))


def commands(page) -> list[list[str]]:
    """The peftrec commands of the page's indented blocks and of the README's table."""
    text = re.sub(r"\\\n\s*", " ", read(page))
    lines = re.findall(r"^    (?:[A-Z_]+=\S+ )*(?:.* -m (?:-- )?)?(peftrec .*)$", text, re.MULTILINE)
    lines += re.findall(r"`(peftrec [a-z][^`]*)`", text)
    return [shlex.split(line, comments=True) for line in lines]


def test_commands_have_verbs_and_options_that_there_are():
    verbs = dict(HOOKS.walk(get_command(app))) | {"peftrec cache": get_command(app).commands["cache"]}
    seen = set()
    for page in PAGES:
        for command in commands(page):
            full = " ".join(command[:3])
            verb = full if full in verbs else " ".join(command[:2])
            assert verb in verbs, f"{name(page)}: {command}"
            seen.add(verb)
            known = {option for parameter in verbs[verb].params for option in parameter.opts}
            given = {word.partition("=")[0] for word in command if re.match(r"-[-a-z]", word)}
            assert given <= known, f"{name(page)}: {command}"
    assert {verb.split()[1] for verb in seen} == {verb.split()[1] for verb in verbs}  # each verb is used somewhere


def test_the_readme_lists_every_verb():
    shown = re.findall(r"`(?:peftrec )?([a-z]+)[ `]", read(README).split("## The command line")[1].split("\n\n")[1])
    assert set(shown) >= set(get_command(app).commands)


def keys(model: type[BaseModel], path: str = "") -> set[str]:
    """Dotted names of every key of a recipe's model; NAME stands for a name of the user's own."""
    found = set()
    for key, field in model.model_fields.items():
        full, kind = f"{path}{key}", field.annotation
        while get_args(kind):  # X | None, dict[str, X], list[X]
            full += ".NAME" if getattr(kind, "__origin__", None) is dict and full != "adapter.options" else ""
            inner = [one for one in get_args(kind) if one not in (str, type(None))]
            kind = inner[0] if inner else None
        if isinstance(kind, type) and issubclass(kind, BaseModel) and (full == key or key != "adapter"):
            found |= keys(kind, f"{full}.")
        else:
            found.add(full.removesuffix(".NAME"))
    return found


def test_every_key_of_a_recipe_is_documented():
    documented = HOOKS.key_names()
    assert len(documented) == len(set(documented)) > 50
    assert keys(Recipe) <= set(documented)
    page = HOOKS.on_page_markdown(read(DOCS / "guide/recipe.md"))
    assert page.count("\n## ") >= 8
    assert "| `train.warmup` | number ≥\N{NO-BREAK SPACE}0, <\N{NO-BREAK SPACE}1 | `0.05` | share of the steps" in page
    assert "| `train.lr` | number >\N{NO-BREAK SPACE}0 or null |  | learning rate of adapters" in page


def test_every_verb_and_public_name_is_documented():
    page = HOOKS.on_page_markdown(read(DOCS / "reference/command-line.md"))
    for verb, _ in HOOKS.walk(get_command(app)):
        assert f"\n## {verb}\n\n```text\nUsage: {verb} " in page
    page = HOOKS.on_page_markdown(read(DOCS / "reference/api.md"))
    assert [line.rpartition(".")[2] for line in page.splitlines() if line.startswith("::: ")] == peftrec.__all__


def test_every_room_has_its_sentence():
    shown = re.findall(r"^\| `([\w/.]+)` \| (.+) \| \d+ \| [\d,]+ \|$", HOOKS.rooms(), re.MULTILINE)
    inside = [path for path in (ROOT / "peftrec").iterdir() if path.name[0] not in "_."]
    package = {f"{p.name}/" if p.is_dir() else p.name for p in inside if p.is_dir() or p.suffix == ".py"}
    assert {room for room, _ in shown} - {"__main__.py"} == package
    tree = read(README).split("## The source tree")[1].split("\n\n")[1]
    assert re.findall(r"^      ([\w.]+/?) ", tree, re.MULTILINE) == [room for room, _ in shown][:-1]


def test_files_and_functions_that_pages_name_are_there():
    text = "".join(map(read, PAGES))
    named = set(re.findall(r"`(?:peftrec/)?((?:cli|recipe|data|tasks|model|runs|training|serving)/[\w/.]*)`", text))
    assert len(named) >= 12
    assert [path for path in sorted(named) if not (ROOT / "peftrec" / path).exists()] == []
    walks = re.findall(r"`([\w/]+\.py)`, `([\w.]+)`", read(DOCS / "architecture.md"))
    assert len(walks) >= 10
    for file, thing in walks:
        assert re.search(rf"\b{thing.rpartition('.')[2]}\b", read(ROOT / "peftrec" / file)), f"{file}: {thing}"


def test_docstrings_become_lists():
    pytest.importorskip("griffe", reason="comes with the extra docs")
    text = "Train.\n\ncache   whether states are kept\n        on disk\nresume  go on\n\nMore."
    lines = ["Train.", "", "- `cache`: whether states are kept", "    on disk", "- `resume`: go on", "", "More."]
    made = load(DOCS / "docstrings.py").as_markdown(text)
    assert re.sub(r"\n+", "\n", made) == re.sub(r"\n+", "\n", "\n".join(lines))
