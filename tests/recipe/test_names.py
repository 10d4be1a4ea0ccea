"""Every table also takes something of the user's own, by `package.module:name`."""

import pytest
import torch
from shop import shop_recipe

from peftrec.errors import UserError
from peftrec.model.adapters import find_method
from peftrec.model.adapters.side import SideAdapter
from peftrec.recipe.names import find
from peftrec.tasks.kind import Kind
from peftrec.tasks.kinds import KINDS
from peftrec.training.weighting import make_weighting

HALVES = """
from peftrec.training.weighting import Weighting

class Halves(Weighting):
    needs = "nothing"

    def forward(self, losses):
        return self.lambdas / 2
"""


def test_own_things_are_found_by_name(shop):
    assert find_method("peftrec.model.adapters.side:SideAdapter") is SideAdapter
    assert find(KINDS, "peftrec.tasks.interest:INTEREST", "kind", Kind) is KINDS["interest"]
    recipe = shop_recipe(shop, weighting={"method": "shop_weighting:halves"})
    with pytest.raises(UserError, match=r"weighting.method: cannot import 'shop_weighting:halves'"):
        make_weighting(recipe.weighting, recipe)


def test_an_own_weighting_weighs(shop, monkeypatch, tmp_path):
    (tmp_path / "own_weighting.py").write_text(HALVES)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = shop_recipe(shop, weighting={"method": "own_weighting:Halves"})
    weights = make_weighting(recipe.weighting, recipe)(torch.ones(3))
    assert weights.tolist() == pytest.approx([0.5, 0.25, 0.15])


@pytest.mark.parametrize("name", ["no_such_module:x", "peftrec.tasks.kinds:NO_SUCH_NAME", ":", "a:"])
def test_what_cannot_be_imported_is_one_message(name):
    with pytest.raises(UserError, match="cannot import"):
        find(KINDS, name, "kind", Kind)
