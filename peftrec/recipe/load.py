"""Reading a recipe: its file, dotted overrides, and validation errors as one line each."""

import copy
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from peftrec.errors import UserError, UserErrors, check_texts, cut, nearest, shown
from peftrec.recipe.models import Recipe
from peftrec.recipe.syntax import MOST_DEPTH, dump_yaml, parse_yaml, read_yaml


def _explain(problems: list[ErrorDetails], where: str) -> list[str]:
    lines = []
    for problem in problems:
        # pydantic's own mark of a key that is wrong itself says nothing to the user.
        place = ".".join(cut(str(part)) for part in _as_written(problem["loc"]) if part != "[key]") or "recipe"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"unknown key; {nearest(str(problem['loc'][-1]), _keys_beside(problem['loc']))}"
        elif problem["type"] in ("model_type", "dict_type"):
            message = f"must be a group of keys; found {shown(problem['input'])}"
        elif problem["type"] not in ("value_error", "missing"):
            message = f"{message}; found {shown(problem['input'])}"
        lines.append(f"{where}: {place}: {message}")
    return lines


def _as_written(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """A location without the sort that pydantic puts behind a table's name."""
    return location[:3] + location[4:] if location[:2] == ("data", "tables") else location


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    """The keys allowed where `location` ends, found by walking the models."""
    schema: dict[str, Any] = json_schema()
    definitions, node = schema["$defs"], schema
    for part in location[:-1]:
        following = node.get("properties", {}).get(part) or node.get("additionalProperties", {})
        if following.get("oneOf"):  # the sorts of tables, of which the next part names one
            node = {
                "properties": {
                    of["$ref"].split("/")[-1].removesuffix("Config").lower(): of for of in following["oneOf"]
                }
            }
            continue
        options = following.get("anyOf", [following])
        node = next((definitions[o["$ref"].split("/")[-1]] if "$ref" in o else o for o in options), {})
    return list(node.get("properties", {}))


_NO_YAML = ("%", "@", "`")


def apply_overrides(raw: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """A copy of `raw` with dotted `key=value` overrides applied, such as `train.lr=1e-4`; values are YAML."""
    check_texts("overrides", overrides)
    result, before = copy.deepcopy(raw), dict[str, str]()
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not all(key.split(".")):
            raise UserError(
                f"override {shown(override)}: what follows the recipe changes it: write key=value with a dotted "
                "key, such as train.lr=1e-4"
            )
        if key.count(".") >= MOST_DEPTH:
            raise UserError(f"override {shown(override)}: a dotted key has at most {MOST_DEPTH} parts")
        for earlier, given in before.items():
            if (earlier == key and given != override) or earlier.startswith(f"{key}."):
                raise UserError(f"override {shown(override)} would undo {shown(given)}: give one of them")
        before[key] = override
        node = result
        *path, last = key.split(".")
        for part in path:
            if node.get(part) is None:
                node[part] = {}
            node = node[part]
            if not isinstance(node, dict):
                raise UserError(f"override {shown(override)}: {shown(part)} is a value, not a group of keys")
        # No YAML value begins with these, but a pattern of times does: '%d.%m.%Y'.
        node[last] = value if value[:1] in _NO_YAML else parse_yaml(value, f"override {shown(override)}")
    return result


def make_recipe(raw: Any, where: str = "recipe") -> Recipe:
    """Validate plain values into a `Recipe`. Raises UserErrors with one line for every problem found."""
    if not isinstance(raw, dict):
        raise UserError(
            f"{where}: a recipe is a group of keys (backbone, adapter, data, tasks, train); found {type(raw).__name__}"
        )
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise UserErrors(_explain(error.errors(), where)) from None


def load_recipe(path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe file, apply dotted overrides, validate. Raises UserError.

    Relative paths inside `data` stay relative to the working directory, as on any command line.
    """
    path = Path(path)
    return make_recipe(_read_raw(path, overrides or []), str(path))


def mend_recipe(path: str | Path, overrides: list[str] | None = None) -> tuple[Recipe | None, list[str]]:
    """The recipe without the keys that are wrong, so that the rest can be checked, and what is wrong with them.

    None where nothing valid is left. Raises UserError where the file is no recipe at all.
    """
    path = Path(path)
    raw, problems, removed = _read_raw(path, overrides or []), list[str](), set[tuple[int | str, ...]]()
    while isinstance(raw, dict):
        try:
            return Recipe.model_validate(raw), problems
        except ValidationError as error:
            # A key that was removed as wrong may now be missing: that is no second mistake.
            found = [problem for problem in error.errors() if problem["loc"] not in removed]
            problems += [line for line in _explain(found, str(path)) if line not in problems]
            # What is missing cannot be mended, nor can a group whose keys contradict each other.
            if not all(_remove(raw, _as_written(problem["loc"])) for problem in error.errors()):
                return None, problems
            removed |= {problem["loc"] for problem in found}
    return make_recipe(raw, str(path)), problems


def _remove(raw: dict[str, Any], location: tuple[int | str, ...]) -> bool:
    """Take the key at `location` out of `raw`; false where there is none."""
    if location[-2:] == ("split", "kind"):
        location = location[:-1]  # its other keys belong to a kind that is not known now
    node: Any = raw
    for part in location[:-1]:
        node = node.get(part) if isinstance(node, dict) else None
    return isinstance(node, dict) and bool(location) and node.pop(location[-1], _remove) is not _remove


def _read_raw(path: Path, overrides: list[str]) -> Any:
    if path.is_dir():
        raise UserError(f"{path}: a folder, not a recipe; name the .yaml file in it (of a run: run.yaml)")
    if not path.is_file():
        raise UserError(f"{path}: no such recipe file; `peftrec recipes` lists those that come with the package")
    raw = read_yaml(path)
    if raw is None:
        raise UserError(f"{path}: the file is empty; `peftrec recipes` lists recipes to start from")
    return apply_overrides(raw, overrides) if isinstance(raw, dict) else raw


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML with every default written out; `make_recipe(parse_yaml(...))` gives an equal recipe."""
    return dump_yaml(recipe.model_dump(mode="json"))


def json_schema() -> dict[str, Any]:
    """The recipe's JSON schema, for editors."""
    return Recipe.model_json_schema()
