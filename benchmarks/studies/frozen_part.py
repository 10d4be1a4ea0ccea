"""How fast the frozen part is computed beside plain matrix products, by tokens a batch: MovieLens's texts, one thread.

The floor is what the layers' linear maps take by themselves, as products of the same shapes and dtype. CPU seconds,
the least of three times, so that other busy processes count little.
"""

import time
from collections.abc import Callable, Iterator

import torch

from peftrec.data.batches import buckets
from peftrec.model.backbone import Backbone, load_backbone
from peftrec.model.cache.states import TOKEN_BUDGET, StateCache
from peftrec.recipe.shipped import load_recipe
from peftrec.tasks.dataset import load_data

BUDGETS = (256, 1024, 2048, TOKEN_BUDGET, 2 * TOKEN_BUDGET)


def measure(thinned: int = 4) -> Iterator[str]:
    """Lines of a table: of every `thinned` text the tokens a second, and the share of the floor's."""
    torch.set_num_threads(1)
    recipe = load_recipe("movielens-100k", ["backbone.quantize=null"])
    backbone, texts = load_backbone(recipe.backbone, torch.device("cpu")), load_data(recipe).texts
    backbone.tokenize(texts)
    lengths = texts.lengths[::thinned]
    cache = StateCache(backbone, texts, "pooled", backbone.num_layers)
    with torch.inference_mode():
        floor = floor_seconds(backbone)
        yield f"{len(lengths):,} texts, {lengths.sum():,} tokens, {backbone.dtype}; floor {1 / floor:,.0f} tokens/s"
        yield (
            "| tokens a batch | with padding | tokens/s | of the floor | padded tokens, of the floor |\n|"
            + " --- |" * 5
        )
        for budget in BUDGETS:
            groups = [group * thinned for group in buckets(lengths, budget)]
            padded = sum(len(group) * int(texts.tokens(group).max()) for group in groups) / lengths.sum()
            seconds = least(lambda groups=groups: [cache.compute(group) for group in groups])  # type: ignore[misc]
            rate = lengths.sum() / seconds
            yield f"| {budget:,} | {padded:.2f} | {rate:,.0f} | {rate * floor:.2f} | {padded * rate * floor:.2f} |"


def floor_seconds(backbone: Backbone, tokens: int = TOKEN_BUDGET) -> float:
    """What the products of the layers' weights with so many tokens take, in seconds a token."""
    assert backbone.layers is not None
    total, taken = 0.0, dict[tuple[int, ...], float]()
    for weight in (of.weight for of in backbone.layers.modules() if isinstance(of, torch.nn.Linear)):
        if weight.shape not in taken:
            given = torch.randn(tokens, weight.shape[1], dtype=weight.dtype)
            taken[weight.shape] = least(lambda g=given, w=weight: torch.nn.functional.linear(g, w))  # type: ignore[misc]
        total += taken[weight.shape]
    return total / tokens


def least(work: Callable[[], object], times: int = 3) -> float:
    """CPU seconds of what takes the least of some times."""
    found = []
    for _ in range(times):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)
