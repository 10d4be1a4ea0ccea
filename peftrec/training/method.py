"""The method of a recipe that names none, chosen by what an epoch would cost; docs/results/defaults.md has the figures.

lora  where an epoch's forward and backward passes are few operations: it teaches the encoder itself
side  otherwise: the encoder runs once for each text, and epochs take seconds
"""

import numpy as np

from peftrec.data.examples import Dataset
from peftrec.model.backbone import Backbone
from peftrec.model.backbone.quantize import logical_numel
from peftrec.recipe import AUTO, AdapterConfig, Recipe
from peftrec.training.defaults import settled
from peftrec.training.init_from import EarlierRun
from peftrec.training.order import make_streams

SHORT = {"cpu": 2e12}  # operations of an epoch that are few: some half a minute of one core
ELSEWHERE = 1e15  # on a GPU; not measured
A_WEIGHT = 6  # operations a token and weight: two forward, two for the states' gradients, two more where recomputed


def with_method(
    recipe: Recipe, dataset: Dataset, backbone: Backbone, start: EarlierRun | None
) -> tuple[Recipe, list[str]]:
    """The recipe with every method named, and what was chosen, as a line for the user.

    One that begins from another run's parts goes on with the method of these. What is named stays.
    """
    if all(of.method != AUTO for of in recipe.adapters.values()):
        return recipe, []
    if start is not None:
        chosen, why = dict(start.recipe.adapter), f"that of {recipe.init_from}"
    else:
        work, short = an_epoch(recipe, dataset, backbone), SHORT.get(backbone.device.type, ELSEWHERE)
        few = work <= short
        chosen = {"method": "lora" if few else "side"}
        why = f"an epoch of lora is {work:.1e} operations, {'at most' if few else 'more than'} {short:.0e}"

    def named(given: AdapterConfig) -> AdapterConfig:
        return given.model_copy(update=chosen) if given.method == AUTO else given

    tasks = {
        name: of.model_copy(update={"adapter": of.adapter and named(of.adapter)}) for name, of in recipe.tasks.items()
    }
    line = f"adapter: chosen method {chosen['method']}: {why}"
    return recipe.model_copy(update={"adapter": named(recipe.adapter), "tasks": tasks}), [line]


def an_epoch(recipe: Recipe, dataset: Dataset, backbone: Backbone) -> float:
    """The operations of an epoch of which every step runs the whole encoder, at most.

    A step encodes each text of its rows once: no more texts than its rows name, and than there are.
    """
    texts, tokens = dataset.texts, 0.0
    backbone.tokenize(texts)
    streams, steps, _ = make_streams(recipe, settled(recipe, dataset), dataset)
    for name, stream in streams.items():
        rows = dataset.tasks[name].train
        there, named = (
            texts.tokens(rows.text_rows()),
            sum(int((np.asarray(of) >= 0).sum()) for of in rows.slots.values()),
        )
        if rows.start is not None and rows.stop is not None:
            named += int((rows.stop - rows.start).sum())
        if len(there):
            tokens += min(named * stream.per_epoch / len(rows), steps * len(there)) * float(there.mean())
    return A_WEIGHT * tokens * _weights(backbone)


def _weights(backbone: Backbone) -> int:
    """The weights that a token passes: those of all layers, one that is used many times as often."""
    if backbone.layers is None:
        return backbone.parameter_count() * backbone.num_layers
    return sum(logical_numel(of) for of in backbone.layers.parameters())
