"""A run measured again: `peftrec evaluate`."""

from pathlib import Path

from peftrec.evaluation.evaluate import Report, evaluate, text_rows
from peftrec.machine.progress import track_rows
from peftrec.runs.saved import load_run, read_recipe
from peftrec.tasks.kinds import load_data


def evaluate_run(run: Path, split: str, cache: bool = True) -> Report:
    """Measure a trained run on a split of its recipe's data, which is read again. Raises UserError.

    `cache`: whether the frozen part's states are looked for, and kept, on disk.
    """
    recipe = read_recipe(run)
    dataset = load_data(recipe)
    model = load_run(run, texts=dataset.texts).model
    model.encoder.disk = cache
    ranking = split == "test"
    model.encoder.update(text_rows(dataset, recipe.tasks, [split], ranking), track_rows)
    return evaluate(model, dataset, recipe.tasks, split, ranking=ranking)
