"""How the backbone is adapted where a recipe leaves it open (`adapter.method: auto`).

LoRA on the two top layers where all tasks learn labels of texts and an epoch through these layers is not too much; else
`side`. Vectors that were trained for likeness hardly tell moods apart: that takes the layers below, which `layers_lr`
reads, or layers that change. docs/results/score-card.md has the figures. Of events rates and pasts say most, and `side`
is as good as LoRA there at a fraction of the time.
"""

from peftrec.data.dataset import Dataset, TaskData
from peftrec.errors import UserError
from peftrec.model.adapters.base import layers_inside
from peftrec.model.backbone import Backbone
from peftrec.model.probe import check_method
from peftrec.recipe import AUTO, AdapterConfig, Recipe

LAYERS = 2
# Parameters of these layers times tokens of an epoch, 140,000 of a width of 384: some minutes of two cores.
MOST = 5e11


def with_methods(recipe: Recipe, dataset: Dataset, backbone: Backbone, earlier: Recipe | None) -> Recipe:
    """The recipe with a method wherever it says `auto`; that of the `earlier` run where training starts from one, with
    the `sharing` that the recipe names."""

    def chosen(config: AdapterConfig, names: list[str], there: AdapterConfig | None) -> AdapterConfig:
        if config.method != AUTO:
            return config
        if there is not None:
            return there.model_copy(update=config.model_dump(include={"sharing"}, exclude_unset=True))
        return _chosen(config, [dataset.tasks[name] for name in names], dataset, backbone)

    theirs = {} if earlier is None else earlier.adapters
    tasks = {
        name: task.model_copy(update={"adapter": task.adapter and chosen(task.adapter, [name], theirs.get(name))})
        for name, task in recipe.tasks.items()
    }
    common = [name for name, task in recipe.tasks.items() if task.adapter is None]
    adapter = chosen(recipe.adapter, common, None if earlier is None else earlier.adapter)
    return recipe.model_copy(update={"adapter": adapter, "tasks": tasks})


def method_notes(given: Recipe, recipe: Recipe) -> list[str]:
    """What was chosen, as lines for the user; none where the recipe `given` left nothing open."""
    found: list[tuple[str, AdapterConfig | None, AdapterConfig | None]] = [
        (f"tasks.{name}.adapter", task.adapter, recipe.tasks[name].adapter) for name, task in given.tasks.items()
    ]
    if not all(task.adapter for task in given.tasks.values()):
        found.insert(0, ("adapter", given.adapter, recipe.adapter))
    return [
        f"{key}: chosen {after.method}" + ("" if after.layers == "all" else f", layers {after.layers}")
        for key, before, after in found
        if before is not None and after is not None and before.method == AUTO
    ]


def _chosen(config: AdapterConfig, tasks: list[TaskData], dataset: Dataset, backbone: Backbone) -> AdapterConfig:
    side = config.model_copy(update={"method": "side"})
    upper = config.model_copy(update={"method": "lora", "layers": f"top-{LAYERS}"})
    if not tasks or not all(set(of.train.slots) == {"text"} for of in tasks):
        return side
    backbone.tokenize(dataset.texts)
    tokens = sum(int(dataset.texts.lengths[of.train.slots["text"]].sum()) for of in tasks)
    if tokens * LAYERS * 12 * backbone.hidden_size**2 > MOST:
        return side
    try:
        layers_inside(upper, backbone)
        check_method(upper, backbone)
    except UserError:
        return side
    return upper
