"""What a study searches: recipe keys by dotted name, each a range or a list of choices.

train.lr=1e-4..1e-2 log              numbers, here by order of magnitude
train.dropout=0.0..0.5               fractions, or whole numbers where the key takes those
adapter.options.rank=16..128 step 16
train.schedule=[linear, cosine]      anything, as in YAML
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from peftrec.errors import Problems, UserError, check_texts, shown
from peftrec.recipe import Recipe, apply_overrides, make_recipe, parse_yaml

_RANGE = re.compile(r"(?P<low>\S+?)\.\.(?P<high>\S+)(?:\s+(?P<log>log)|\s+step\s+(?P<step>\S+))?")
_FORM = "write KEY=LOW..HIGH, with 'log' or 'step N' behind it if need be, or KEY=[A, B, ...]"


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones where both are."""

    key: str
    low: float
    high: float
    log: bool = False
    step: float | None = None

    def suggest(self, trial: Any) -> Any:
        """The value for an optuna trial."""
        if isinstance(self.low, int):
            return trial.suggest_int(self.key, self.low, self.high, log=self.log, step=self.step or 1)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log, step=self.step)

    def parameter(self, value: Any) -> Any:
        """How optuna stores the value; None where it lies outside."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if number and self.low <= value <= self.high else None

    def value(self, parameter: Any) -> Any:
        """The value that optuna stores as `parameter`."""
        return parameter


@dataclass(frozen=True)
class Choice:
    """One of some values, whatever they are. Optuna stores them as JSON."""

    key: str
    values: list[Any]

    def suggest(self, trial: Any) -> Any:
        """The value for an optuna trial."""
        return json.loads(trial.suggest_categorical(self.key, [json.dumps(value) for value in self.values]))

    def parameter(self, value: Any) -> Any:
        """How optuna stores the value; None for one that is not among them."""
        return json.dumps(value) if value in self.values else None

    def value(self, parameter: Any) -> Any:
        """The value that optuna stores as `parameter`."""
        return json.loads(parameter)


Dimension = Range | Choice


def parse_space(texts: list[str], recipe: Recipe) -> list[Dimension]:
    """The dimensions, each tried on the recipe at its ends or with every choice. Raises UserErrors for all mistakes."""
    check_texts("search", texts)
    problems, space = Problems(), []
    for text in texts:
        with problems.collect(f"--search {shown(text)}: "):
            space.append(_parse(text, recipe))
    keys = [dimension.key for dimension in space]
    with problems.collect("--search: "):
        if not texts:
            raise UserError(f"nothing to search; {_FORM}")
        for key in keys:
            if any(other != key and f"{other}.".startswith(f"{key}.") for other in keys) or keys.count(key) > 1:
                raise UserError(f"{key} is searched twice")
    problems.stop()
    return space


def with_values(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """The recipe with other values at dotted keys. Raises UserError."""
    raw = recipe.model_dump(mode="json")
    return make_recipe(apply_overrides(raw, [f"{key}={json.dumps(value)}" for key, value in values.items()]))


def value_at(recipe: Recipe, key: str) -> Any:
    """What the recipe has at a dotted key; None where it has nothing."""
    node: Any = recipe.model_dump(mode="json")
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _parse(text: str, recipe: Recipe) -> Dimension:
    key, equals, rest = text.partition("=")
    key, rest = key.strip(), rest.strip()
    if not equals or not all(key.split(".")):
        raise UserError(_FORM)
    found = _RANGE.fullmatch(rest)
    if found is None:
        values = parse_yaml(rest, "the choices")
        if not isinstance(values, list) or len(values) < 2 or any(values.count(value) > 1 for value in values):
            raise UserError(f"needs a range or at least two different choices; {_FORM}")
        return Choice(key, [value_at(with_values(recipe, {key: value}), key) for value in values])
    low, high, step = (_number(found[part]) for part in ("low", "high", "step"))
    ends = [value_at(with_values(recipe, {key: end}), key) for end in (low, high)]
    if any(isinstance(end, bool) or not isinstance(end, int | float) for end in ends):
        raise UserError(f"{key} takes no numbers; {_FORM}")
    whole = all(isinstance(end, int) for end in ends)
    if not whole:
        ends = [float(end) for end in ends]
    elif step is not None and not isinstance(step, int):
        raise UserError(f"{key} takes whole numbers; found step {step}")
    if ends[0] >= ends[1]:
        raise UserError(f"the first end must be below the second; found {ends[0]} and {ends[1]}")
    if found["log"] and ends[0] <= 0:
        raise UserError(f"log needs ends above 0; found {ends[0]}")
    if step is not None and not 0 < step <= ends[1] - ends[0]:
        raise UserError(f"the step must be above 0, and no longer than the range; found {step}")
    return Range(key, ends[0], ends[1], log=bool(found["log"]), step=step)


def _number(text: str | None) -> Any:
    if text is None:
        return None
    value = parse_yaml(text, "the number")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{shown(text)} is no number; {_FORM}")
    return value
