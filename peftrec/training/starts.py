"""Before the first step: every task's start is fitted, and heads begin at zero beside it."""

from dataclasses import replace

import numpy as np

from peftrec.data.neighbours import TEXTS, fit_texts
from peftrec.data.signals import ALIKE, with_neighbours
from peftrec.evaluation.evaluate import text_rows
from peftrec.machine.progress import note, track_rows, track_tasks
from peftrec.tasks.heads import CatalogueHead
from peftrec.tasks.starts import Started, with_start
from peftrec.training.prepare import Setup


def begin(setup: Setup) -> None:
    """Have the frozen part's states of the training and validation rows computed, unless they are there, and then give
    every task's rows what its start says of them, once; heads that no earlier run gave begin at zero then.

    A task whose head an earlier run gave (`init_from`) has that run's start, or none where it had none. Every process
    fits its own: what is fitted depends on the rows alone.
    """
    if setup.begun:
        return
    setup.begun, model, tasks = True, setup.model, dict(setup.dataset.tasks)
    needed = text_rows(setup.dataset, setup.trained, ["train", "valid"], ranking=False)
    model.encoder.update(needed, track_rows, together=True)
    new = [name for name, task in setup.tasks.items() if task.kind.start is not None and name not in setup.starts]
    found: dict[str, Started | None] = {
        name: None if start is None else Started(start) for name, start in setup.starts.items()
    }
    for name in track_tasks(new, "fitting what heads begin at") if new else []:
        starting = setup.tasks[name].kind.start
        assert starting is not None
        started = starting.fit(setup.dataset.learnt(name), name, setup.tasks[name].config, model.frozen_vectors)
        if started is not None:
            model.head(name).begin_beside(started.start)
        found[name] = started
    for name, data in tasks.items():
        head = model.head(name)
        if not isinstance(head, CatalogueHead) or head.signals is None:
            continue
        catalogue, vectors, taken = data.train.catalogue, model.frozen_vectors, name in setup.starts
        assert catalogue is not None
        # A head that an earlier run gave may not read them; of a catalogue that is too large nothing is encoded for it.
        if vectors is not None and len(catalogue) <= TEXTS and (not taken or head.signals[ALIKE]):
            tasks[name] = with_neighbours(data, fit_texts(vectors(catalogue.rows.astype(np.int64))))
        if not taken:
            setup.began[name] = head.begin(tasks[name])
            note(f"{name}: begins at {setup.began[name]}")
            if not head.signals[ALIKE]:
                tasks[name] = with_neighbours(data, None)
    for name, task in setup.trained.items():
        if task.kind.mined is not None:
            train = task.kind.mined(setup.dataset, name, model.frozen_vectors)
            tasks[name] = replace(tasks[name], train=train)
    for name, started in found.items():
        if started is not None:
            tasks[name] = with_start(tasks[name], started)
            note(f"{name}: begins at {started.start.name}")
    setup.dataset = replace(setup.dataset, tasks=tasks)
