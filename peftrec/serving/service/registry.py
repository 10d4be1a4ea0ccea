"""The runs that are served, by name: over one backbone in memory, each loaded as data, checked, and swapped whole."""

import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from peftrec.errors import UserError, nearest, shown
from peftrec.runs.folder import NEEDED, digest_run, verify_run
from peftrec.runs.saved import UnlikeBackbone
from peftrec.serving.predictor import Predictor
from peftrec.serving.service.seen import Seen
from peftrec.tasks.rows import Row

_NAME = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]{0,199}")


class NoSuchRun(UserError):
    """No run of that name is served, or may be loaded."""


class NoSuchTask(UserError):
    """No run that is served has the task."""


@dataclass(frozen=True)
class Served:
    """A run that is served: its name, the SHA-256 of its manifest, its folder, and when it was loaded, in seconds since
    1970."""

    name: str
    digest: str
    predictor: Predictor
    folder: Path
    loaded: float = field(default_factory=time.time)


class Registry:
    """Runs by name. `folder`: where further ones may be loaded from; None: from nowhere."""

    def __init__(self, folder: Path | None, seen: Seen, load: Callable[[Path, Predictor | None], Predictor]) -> None:
        self.folder, self._seen, self._load = folder, seen, load
        self._runs: dict[str, Served] = {}  # in the order in which they were loaded; never changed, but replaced
        self._alone = threading.Lock()  # with what changes the runs

    @property
    def runs(self) -> dict[str, Served]:
        """What is served now, by name, in the order in which it was loaded."""
        return self._runs

    def find(self, task: str, run: str | None = None) -> Served:
        """The run named; else, of those that have the task, the one loaded last. Raises NoSuchRun and NoSuchTask."""
        runs = self._runs
        if run is not None:
            if run not in runs:
                raise NoSuchRun(f"run: no run {shown(run)} is served; {nearest(run, list(runs))}")
            runs = {run: runs[run]}
        for served in reversed(runs.values()):
            if task in served.predictor.tasks:
                return served
        tasks = dict.fromkeys(task for served in runs.values() for task in served.predictor.tasks)
        raise NoSuchTask(f"no task {shown(task)}; {nearest(task, list(tasks))}")

    def load(self, name: str) -> Served:
        """Serve the run of that name in the folder, in place of one of the same name. Raises UserError, and then what
        was served is served on."""
        return self.add(self._place(name))

    def add(self, path: Path) -> Served:
        """Serve the run in a folder, by the folder's name. Raises UserError."""
        with self._alone:
            name = _name(path)
            beside = next(iter(self._runs.values()), None)
            try:
                predictor = self._load(path, None if beside is None else beside.predictor)
            except UnlikeBackbone as error:
                raise UnlikeBackbone(f"{error}: serve it in a process of its own") from None
            served = Served(name, digest_run(path), predictor, path)
            _warm_up(served)
            self._runs = {key: of for key, of in self._runs.items() if key != name} | {name: served}
        self._seen.swapped(name, served.digest, path, predictor, loaded=True)
        return served

    def unload(self, name: str) -> None:
        """Serve a run no more; requests that have begun end with it. Raises NoSuchRun."""
        with self._alone:
            if name not in self._runs:
                raise NoSuchRun(f"no run {shown(name)} is served; {nearest(name, list(self._runs))}")
            gone = self._runs[name]
            self._runs = {key: of for key, of in self._runs.items() if key != name}
        self._seen.swapped(name, gone.digest, gone.folder, gone.predictor, loaded=False)

    def names(self) -> list[str]:
        """The runs that may be loaded, and those that are served."""
        found = run_folders(self.folder) if self.folder is not None else []
        return sorted({*self._runs, *(path.name for path in found)})

    def _place(self, name: str) -> Path:
        """The folder of a run that is to be loaded: directly in ours, and no link. Raises NoSuchRun."""
        if self.folder is None:
            raise NoSuchRun("the service was started without --runs DIR, so no further runs are loaded")
        if not _NAME.fullmatch(name) or not _is_run(self.folder / name):
            raise NoSuchRun(f"no run {shown(name)} in the folder of runs; its names are those of folders in it")
        return self.folder / name


def run_folders(folder: Path) -> list[Path]:
    """The runs directly in a folder, by name. Raises UserError where it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name) and _is_run(path))
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}") from None


def _name(path: Path) -> str:
    """A run's name: its folder's, also of a link that an operator names, and of `.`."""
    return Path(os.path.abspath(path)).name


def _is_run(path: Path) -> bool:
    return not path.is_symlink() and path.is_dir() and (path / "manifest.json").is_file()


def _warm_up(served: Served) -> None:
    """Let every task answer once: what a first request computes is computed, and a run that cannot answer is refused.

    Raises UserError.
    """
    predictor = served.predictor
    for task in predictor.tasks:
        row = predictor.example(task)
        predictor.predict(task, [row])
        if predictor.ranks(task):
            predictor.recommender.scoring.prepare(task)
            asks: Row = {key: row[key] for key in ("history", "query") if key in row}
            predictor.recommend_all(task, [asks], k=1)


def check_runs(paths: list[Path]) -> None:
    """Whether runs to be served are whole, and of different names. Raises UserError."""
    names = [_name(path) for path in paths]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{name}: runs are served by the names of their folders; two are called so")
    for path in paths:
        verify_run(path, NEEDED)
