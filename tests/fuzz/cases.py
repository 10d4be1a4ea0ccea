"""Every case has a name, kind:number, and is the same whenever and wherever it is made."""

from collections.abc import Callable
from random import Random

from fuzz.caches import cache_case
from fuzz.judge import Case, judge
from fuzz.recipes import recipe_case
from fuzz.rows import row_case
from fuzz.runs import run_case
from fuzz.tables import table_case
from fuzz.world import World

KINDS: dict[str, Callable[[Random, World], Case]] = {
    "recipe": recipe_case,
    "table": table_case,
    "row": row_case,
    "run": run_case,
    "cache": cache_case,
}


def try_case(name: str, world: World) -> tuple[Case, list[str]]:
    """Make the case `kind:number` in a fresh copy of the world, and judge it: the case, and what it found."""
    kind, number = name.split(":")
    world.renew()
    case = KINDS[kind](Random(f"{kind}:{int(number)}"), world)
    return case, judge(case, world)
