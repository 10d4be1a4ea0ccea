"""How a recipe says how the backbone is adapted; test_models.py has what is refused."""

from minimal import MINIMAL

from peftrec.recipe import make_recipe
from peftrec.recipe.adapter import AUTO, AdapterConfig


def test_where_nothing_is_said_the_method_is_open_and_a_task_may_have_its_own():
    recipe = make_recipe(MINIMAL)
    assert recipe.adapters == {"interest": AdapterConfig(method=AUTO, sharing="shared+private", layers="all")}
    own = {"interest": {"kind": "interest", "adapter": {"method": "side", "layers": "top-2"}}}
    recipe = make_recipe(MINIMAL | {"tasks": own, "adapter": {"method": "lora"}})
    assert recipe.adapters == {"interest": AdapterConfig(method="side", layers="top-2")}
