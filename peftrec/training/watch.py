"""What is watched while a model trains: the lines of metrics.jsonl."""

import time
from dataclasses import replace
from typing import Any

from peftrec.machine.memory import memory_mb
from peftrec.training.optim import lr_factor, own_settings
from peftrec.training.snapshot import Progress
from peftrec.training.step import Step, Steps

LINES = 100  # about so many in a training, unless the recipe says otherwise


class Watch:
    """Gathers what the steps since the last line gave, and makes the next line of it.

    step, epoch, examples  where training stands after the step
    train_loss             task -> mean over the steps that had rows of it
    weight                 task -> mean weight in the joint loss
    gradient_norm          adapter's owner (the shared part, or a task) -> mean norm before clipping
    vector_gradient_norm   task -> mean norm of what its weighted loss alone sends back to the text vectors
    vector_cosine          two tasks -> mean cosine of these, where they read texts in common: below 0 they conflict
    learning_rate          of adapters and heads, in the line's last step; "head/TASK" where a task has its own
    padding                share of the encoded tokens that is padding; null where the backbone was not run
    examples_per_second    over the steps alone
    memory_mb              in use at the line: the process, and on a GPU PyTorch's allocator
    refit                  true in a second training, on the rows of train and valid
    skipped_steps          left out since training began, where there are any

    What has no value in these steps is left out or null. Only speed and memory differ when a training is repeated.
    """

    def __init__(self, steps: Steps, at: Progress) -> None:
        self.steps, self.at = steps, at
        self.model, self.config = steps.setup.model, steps.setup.config
        self.every = self.config.log_every or max(1, steps.total // LINES)
        self._seconds, self._examples = 0.0, 0
        self._rates = {"adapter": self.config.lr, "head": self.config.head_lr}
        for name, task in steps.setup.recipe.trained.items():
            if task.train is not None:
                settings = own_settings(self.config, task.train)
                self._rates |= {f"adapter/{name}": settings.lr, f"head/{name}": settings.head_lr}
        self.begin()

    def begin(self) -> None:
        """A step begins."""
        self._began, self._work = time.monotonic(), replace(self.model.work)

    def end(self, step: Step) -> str:
        """A step ends. Returns the mean losses since the last line."""
        if step.made:
            self._take(step)
        work, before = self.model.work, self._work
        padded = work.padded_tokens - before.padded_tokens
        self.at.add("padding", padded - (work.tokens - before.tokens), padded)
        self._seconds += time.monotonic() - self._began
        self._examples += step.count
        means = {task: self.at.mean(f"train_loss/{task}") for task in self.model.tasks}
        return " ".join(f"{task} {loss:.4f}" for task, loss in means.items() if loss is not None)

    def _take(self, step: Step) -> None:
        for (task, own), loss, weight in zip(
            step.rows.items(), step.losses.tolist(), step.weights.tolist(), strict=True
        ):
            if len(own):
                self.at.add(f"train_loss/{task}", loss)
                self.at.add(f"weight/{task}", weight)
        for name, norm in step.norms.items():
            self.at.add(name, norm)

    @property
    def epoch_ends(self) -> bool:
        """Whether this step is the last of an epoch, of the cool-down, of what comes before it, or of all."""
        ends = (self.steps.main, self.steps.total, self.at.cooldown.end if self.at.cooldown else None)
        return self.at.own % self.steps.per_epoch == 0 or self.at.own in ends

    @property
    def due(self) -> bool:
        """Whether a line is due after this step."""
        return self.epoch_ends or self.at.step % self.every == 0

    def line(self) -> dict[str, Any]:
        """The line, added to the history; what is gathered begins anew."""
        at = self.at
        line: dict[str, Any] = {"step": at.step, "epoch": at.own / self.steps.per_epoch, "examples": at.examples}
        line["train_loss"] = {}
        for quantity in at.means:
            group, _, name = quantity.partition("/")
            if name:
                line.setdefault(group, {})[name] = at.mean(quantity)
        factor = lr_factor(self.config, at.own - 1, self.steps.total, at.cooldown)
        line["learning_rate"] = {name: rate * factor for name, rate in self._rates.items()}
        line["padding"] = at.mean("padding")
        line["examples_per_second"] = self._examples / self._seconds
        line["memory_mb"] = memory_mb()
        if at.refit is not None:
            line["refit"] = True
        if at.skipped:
            line["skipped_steps"] = at.skipped
        at.history.append(line)
        at.means, self._seconds, self._examples = {}, 0.0, 0
        return line
