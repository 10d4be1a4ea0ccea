"""What the cases are made from: the tiny shop, a trained run, a filled cache; copied for each case."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from command import peftrec
from tiny import make_tiny_shop, tiny_recipe

from peftrec.recipe import dump_recipe, parse_yaml

SECRET = "the-secret-of-somebody-else-4711"
TASKS = {
    "query": {"kind": "match-query"},
    "interest": {"kind": "interest", "column": "stars", "threshold": 4},
    "time": {"kind": "next-gap"},
    "next": {"kind": "next-item"},
}
ADAPTER = {"method": "lora", "layers": "top-1", "options": {"r": 2}}  # layers below it: there is something to cache


@dataclass(frozen=True)
class World:
    """`root` holds shop/ (model, tables, recipe.yaml, run/), cache/, and case/, the working directory of a case."""

    root: Path
    recipe: dict[str, Any]

    @property
    def case(self) -> Path:
        """The working directory of a case, remade by `renew`."""
        return self.root / "case"

    @property
    def cache(self) -> Path:
        """The case's own cache, with `renew`: PEFTREC_CACHE."""
        return self.case / "cache"

    @property
    def outside(self) -> Path:
        """A folder of somebody else's files, with the secret."""
        return self.root / "outside"

    def renew(self) -> None:
        """A fresh copy of everything that a case may change; the working directory is in it."""
        os.chdir(self.root)
        for name, kept in (("case", "shop"), ("outside", "others")):
            _remove(self.root / name)
            shutil.copytree(self.root / kept, self.root / name)
        (self.case / "tmp").mkdir()
        os.chdir(self.case)


def make_world(root: Path) -> World:
    """Train the run and fill the cache: some seconds."""
    torch.set_num_threads(1)
    shop = make_tiny_shop(root / "shop")
    (root / "others").mkdir()
    (root / "others/secret.txt").write_text(SECRET)
    os.chdir(shop)  # so that no path in the run, and hence no byte, depends on where the world is
    recipe = parse_yaml(dump_recipe(tiny_recipe(Path(), adapter=ADAPTER, tasks=TASKS)), "recipe")
    recipe["train"] |= {"max_steps": 3}
    world = World(root, recipe)
    (shop / "recipe.yaml").write_text(_yaml(recipe))
    os.environ["PEFTREC_CACHE"] = str(shop / "cache")
    done = peftrec("train", "recipe.yaml", "--run", "run")
    assert done.exit_code == 0, done.stderr
    assert list((shop / "cache").glob("*/states")), "the run shall use the cache"
    return world


def _yaml(recipe: Any) -> str:
    import yaml

    return yaml.safe_dump(recipe, sort_keys=False)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
