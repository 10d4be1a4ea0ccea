"""How a recipe says how the backbone is adapted; test_models.py has what is refused."""

from minimal import MINIMAL

from peftrec.recipe import make_recipe
from peftrec.recipe.adapter import AdapterConfig


def test_where_nothing_is_said_a_side_network_reads_all_layers_and_a_task_may_have_its_own():
    recipe = make_recipe(MINIMAL)
    assert recipe.adapters == {"interest": AdapterConfig(method="side", sharing="shared+private", layers="all")}
    own = {"interest": {"kind": "interest", "adapter": {"layers": "top-2"}}}
    recipe = make_recipe(MINIMAL | {"tasks": own, "adapter": {"method": "lora"}})
    assert recipe.adapters == {"interest": AdapterConfig(method="side", layers="top-2")}
