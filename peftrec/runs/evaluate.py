"""A run measured again: `peftrec evaluate`."""

from dataclasses import replace
from pathlib import Path

from peftrec.data.features import same_columns
from peftrec.errors import UserError
from peftrec.evaluation.evaluate import Report, evaluate, text_rows
from peftrec.machine.progress import track_rows
from peftrec.runs.saved import load_run, read_recipe
from peftrec.tasks.dataset import load_data
from peftrec.tasks.starts import Started, with_start


def evaluate_run(run: Path, split: str, cache: bool = True, trust_code: bool = False) -> Report:
    """Measure a trained run on a split of its recipe's data, which is read again. Raises UserError.

    `cache`: whether the frozen part's states are looked for, and kept, on disk. `trust_code`: see `read_recipe`.
    """
    dataset = load_data(read_recipe(run, trust_code))
    loaded = load_run(run, texts=dataset.texts, trust_code=trust_code)
    model, tasks = loaded.model, loaded.tasks
    for name, data in dataset.tasks.items():
        if not same_columns(data.encodings, loaded.encodings[name]):
            raise UserError(
                f"{run}: task {name} was trained on other features, or levels of them, than the data have now"
            )
    begun = {name: with_start(dataset.tasks[name], Started(start)) for name, start in loaded.starts.items()}
    dataset = replace(dataset, tasks={**dataset.tasks, **begun})
    model.encoder.disk = cache
    ranking = split == "test"
    model.encoder.update(text_rows(dataset, tasks, [split], ranking), track_rows)
    return evaluate(model, dataset, tasks, split, ranking=ranking)
