"""Tasks without a recipe around them."""

from peftrec.recipe import AdapterConfig, TaskConfig
from peftrec.tasks.kind import Task
from peftrec.tasks.kinds import make_task


def made(name: str = "task", **keys: object) -> Task:
    """A task with these keys."""
    return make_task(name, TaskConfig(**keys), AdapterConfig())
