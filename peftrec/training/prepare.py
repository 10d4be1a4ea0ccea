"""All that training needs, made and checked before the first step: data, backbone, methods, heads."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from peftrec.data.dataset import Dataset
from peftrec.data.joined import train_on_all
from peftrec.data.load import Ahead
from peftrec.data.vocabulary import vocabulary_notes
from peftrec.errors import Problems, UserError
from peftrec.evaluation.chosen import check_measures, check_shown
from peftrec.evaluation.slices import check_slices
from peftrec.machine import processes
from peftrec.machine.draws import seed_all
from peftrec.model.adapters import attach, find_method
from peftrec.model.backbone import load_backbone
from peftrec.model.co_learner import CoLearner, build_model
from peftrec.model.probe import check_method
from peftrec.recipe import AUTO, EarlyStopping, Recipe
from peftrec.tasks.dataset import load_data
from peftrec.tasks.kind import Task, trained
from peftrec.tasks.kinds import resolve
from peftrec.tasks.starts import Start, start_of
from peftrec.training.defaults import Settled, chosen_notes, settled
from peftrec.training.init_from import read_start
from peftrec.training.methods import method_notes, with_methods
from peftrec.training.optim import check_own
from peftrec.training.order import make_streams
from peftrec.training.sharding import check_sharding
from peftrec.training.stopping import Scores, check_metric, check_watched, unwatched_notes
from peftrec.training.trackers import check_trackers
from peftrec.training.weighting import make_weighting


@dataclass
class Setup:
    """All that training needs, made and checked.

    recipe  as the user wrote it, with a method wherever that says `auto`
    config  its `train` with nothing left open
    notes   what the user should know of it
    judge   is given every epoch's validation metrics, and may end the training by raising
    starts  the starts of tasks whose heads an earlier run gave, None where it had none
    began   what the heads that weigh signals of a catalogue began at, in words
    begun   whether the rows know what their task's start says of them: see `training.starts.begin`
    """

    recipe: Recipe
    config: Settled
    tasks: dict[str, Task]
    accelerator: Accelerator
    dataset: Dataset
    model: CoLearner
    notes: list[str]
    judge: Callable[[Scores], None] | None = None
    starts: dict[str, Start | None] = field(default_factory=dict)
    began: dict[str, str] = field(default_factory=dict)
    begun: bool = False

    @property
    def trained(self) -> dict[str, Task]:
        """The tasks that are not frozen."""
        return trained(self.tasks)

    def began_at(self, task: str) -> str | None:
        """What the task began at, in words, once `begun`; None where it has no start."""
        start = start_of(self.dataset.tasks[task])
        return self.began.get(task) if start is None else start.name

    @property
    def complete(self) -> Recipe:
        """The recipe with nothing left open under `train`."""
        return self.recipe.model_copy(update={"train": self.config})


def prepare(
    recipe: Recipe, described: bool = False, settled_as: Settled | None = None, ahead: Ahead | None = None
) -> Setup:
    """Load data and backbone, attach adapters and heads; `described`: with summaries of the tables.

    `settled_as`: for the second training of `train.refit`, on the rows of train and valid, what the first went by.
    `ahead` has the tables where they were read already. Raises UserErrors for all that cannot work, together; but for
    what is wrong with the tasks' rows, which is told before the backbone is loaded.
    """
    processes.start()
    problems, dataset, backbone, start, tasks = Problems(), None, None, None, None
    with problems.collect():
        _check_precision(recipe)
    AcceleratorState._reset_state()  # else a process could not train a second recipe with another precision
    with processes.sharding_is_ours():
        accelerator = Accelerator(mixed_precision="no" if problems.found else recipe.train.mixed_precision)
    if accelerator.num_processes != processes.count():
        raise UserError(f"{accelerator.num_processes} processes were started by a launcher unknown here: use torchrun")
    with problems.collect():
        check_sharding(recipe)
    with problems.collect():
        make_weighting(recipe.weighting, recipe)
    with problems.collect():
        tasks = resolve(recipe)
        check_measures(tasks)
        if recipe.train.early_stopping is not None:
            check_metric(recipe.train.early_stopping.metric, tasks, "train.early_stopping.metric")
    with problems.collect():
        start = read_start(recipe)
    with problems.collect():
        check_trackers(recipe.train.track)
    with problems.collect():
        dataset = load_data(recipe, described, ahead)
        _check_parts(recipe, dataset)
    if dataset is None and tasks is not None:
        problems.stop()
    if tasks is not None and dataset is not None and recipe.train.early_stopping not in (None, EarlyStopping()):
        with problems.collect():
            check_watched(recipe.train.early_stopping.metric, tasks, dataset, "train.early_stopping")
    for check in (check_shown, check_slices):
        if tasks is not None and dataset is not None:
            with problems.collect():
                check(tasks, dataset)
    if dataset is not None and recipe.train.refit and not any(len(of.valid) for of in dataset.tasks.values()):
        with problems.collect():
            raise UserError("train.refit: there are no validation rows to train on as well; leave it out")
    with problems.collect(), processes.sharding_is_ours():
        backbone = load_backbone(recipe.backbone, accelerator.device)
    given = recipe
    if dataset is not None and backbone is not None:
        recipe = with_methods(recipe, dataset, backbone, None if start is None else start.recipe)
    methods = {name: method for name, method in recipe.adapters.items() if method.method != AUTO}
    for method in methods.values():
        with problems.collect():
            find_method(method.method)
            if backbone is not None:
                check_method(method, backbone)  # once each: what has passed is remembered
    if problems.found and backbone is not None:
        with problems.collect():
            attach(backbone, methods)  # for what it finds wrong
    problems.stop()
    assert tasks is not None and dataset is not None and backbone is not None
    of = dataset.tasks
    tasks = {name: task.on_scale(of[name].log_scale, of[name].levels) for name, task in resolve(recipe).items()}
    config = settled(recipe, dataset)
    if settled_as is not None:
        config, dataset = settled_as.model_copy(update={"early_stopping": None}), train_on_all(dataset)
    seed_all(config.seed)
    model = build_model(recipe, tasks, backbone, dataset, config.dropout)
    notes, starts = ([], {}) if start is None else start.take_over(recipe, tasks, dataset, model)
    check_own(recipe, model.trainable())
    unknown = vocabulary_notes(dataset.texts, backbone.tokenizer)
    notes = [*dataset.notes, *unknown, *notes, *unwatched_notes(config, tasks, dataset)]
    notes += [*method_notes(given, recipe), *chosen_notes(recipe.train, config)]
    return Setup(recipe, config, tasks, accelerator, dataset, model, notes, starts=starts)


def _check_precision(recipe: Recipe) -> None:
    if recipe.train.mixed_precision == "fp16" and not torch.cuda.is_available():  # Accelerate would ignore it
        raise UserError("train.mixed_precision: fp16 needs a GPU, and there is none; use bf16 or no")


def _check_parts(recipe: Recipe, dataset: Dataset) -> None:
    """Raise UserError where a step would be cut into more parts than it has rows."""
    streams, _, _ = make_streams(recipe, settled(recipe, dataset), dataset)
    rows = sum(stream.rows_until(1) for stream in streams.values())
    if recipe.train.accumulate > max(1, rows):
        raise UserError(
            f"train.accumulate: cuts each step into parts, and the first step of these data has {rows:,} rows; found "
            f"{recipe.train.accumulate:,}"
        )
