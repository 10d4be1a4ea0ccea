"""The run folder: written whole or not at all, and checked before it is read.

Until a run is finished there is only its workshop, the hidden sibling `.NAME.partial`, which also reserves the name:

    lock          held by the process that is training
    checkpoints/  see `peftrec.runs.checkpoints`
    run/          the finished run's files while they are written

Only when every file is on the disk and `manifest.json` lists its size and SHA-256 does one rename make `run/` the run;
then the workshop goes. A training that fails before its first checkpoint leaves nothing.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from peftrec.machine.files import MANIFEST, find_damage, new_folder, partial, read_json, sha256, write_manifest
from peftrec.runs.checkpoints import checkpoint_folders, step_of
from peftrec.errors import UserError, looked_in


def choose_run(name: str, resume: bool = False, runs: Path = Path("runs")) -> Path:
    """Where a training of `name` goes that was given no folder: the next free `runs/<name>-<number>`, numbers from 1.

    With `resume` it is the unfinished one of the highest number; raises UserError when there is none. Creates nothing.
    """
    if not resume:
        return runs / f"{name}-{1 + max(_numbers(name, runs), default=0)}"
    for run in _unfinished(name, runs):
        return run
    raise UserError(f"{runs}: no interrupted training of {name}; name another with --run, or leave --resume out")


def left_behind(name: str, runs: Path = Path("runs")) -> Path | None:
    """The newest `runs/<name>-<number>` whose training stopped at a checkpoint and was not continued; None without.

    One that a process is training now is none.
    """
    for run in _unfinished(name, runs):
        if checkpoint_folders(run):
            with suppress(OSError), (partial(run) / "lock").open("ab") as lock:
                if _take(lock):
                    return run
    return None


def _unfinished(name: str, runs: Path) -> Iterator[Path]:
    """The runs `runs/<name>-<number>` that were begun and not finished, the highest number first."""
    for number in sorted(_numbers(name, runs), reverse=True):
        run = runs / f"{name}-{number}"
        if partial(run).is_dir() and not run.exists():
            yield run


def _numbers(name: str, runs: Path) -> set[int]:
    pattern = re.compile(rf"\.?{re.escape(name)}-(\d+)(\.partial)?")
    taken = [pattern.fullmatch(entry.name) for entry in runs.iterdir()] if runs.is_dir() else []
    return {int(match[1]) for match in taken if match}


@contextmanager
def write_run(run: Path, resume: bool = False) -> Iterator[Path]:
    """A temporary folder to write a run's files into; leaving the block makes it the folder `run`.

    Open it before the training: it reserves the name, and a place that is not writable shows at once. Whatever goes
    wrong inside (an error, an interruption, a full disk) removes the temporary folder, so nothing is left that looks
    like a run; checkpoints stay, and `resume` lets a later call take them over. Raises UserError when the name is
    taken, another process is training the run, the place is not writable, or the disk is full.
    """
    workshop = partial(run)
    if resume:
        _refuse_nothing_to_continue(run, workshop)
    else:
        _refuse_existing(run)
    unfinished = workshop / "run"
    with _reserve(run, workshop, resume):
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            with new_folder(run, unfinished) as temporary:
                yield temporary
                write_manifest(temporary)
        except BaseException as error:
            if kept := checkpoint_folders(run):
                error.add_note(f"the training is kept up to step {step_of(kept[-1])}")
            raise
        finally:
            if not unfinished.exists() and (run.exists() or not checkpoint_folders(run)):
                shutil.rmtree(workshop, ignore_errors=True)


def _reserve(run: Path, workshop: Path, resume: bool) -> IO[bytes]:
    """Make the workshop, or with `resume` take it over; the open file returned is its lock."""
    try:
        run.parent.mkdir(parents=True, exist_ok=True)
        exists = os.path.lexists(workshop)
        if not exists:
            workshop.mkdir()
        lock = (workshop / "lock").open("ab")
    except OSError as error:
        raise UserError(f"{run}: cannot be written: {error.strerror}; name another folder") from None
    if not _take(lock):
        raise UserError(f"{workshop}: exists, and another process is training {run} now; name another folder")
    if exists and not resume:
        if (workshop / "run" / MANIFEST).exists():
            raise UserError(f"{workshop / 'run'}: a finished run that was not put in its place: rename that folder")
        left = "continue it with --resume" if checkpoint_folders(run) else "it has no checkpoint, so delete it"
        raise UserError(f"{workshop}: exists, because a training of {run} was killed: {left}, or name another folder")
    return lock


def _take(lock: IO[bytes]) -> bool:
    """Lock the file for as long as it is open, which a killed process's files are not; false when it is locked."""
    try:
        import fcntl
    except ImportError:  # Windows: a folder that exists is taken, except for --resume
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _refuse_existing(folder: Path) -> None:
    if os.path.lexists(folder):
        raise UserError(f"{folder}: exists already and is never written over; name another folder")


def _refuse_nothing_to_continue(run: Path, workshop: Path) -> None:
    if os.path.lexists(run):
        raise UserError(f"{run}: finished already; there is nothing to continue")
    if not workshop.is_dir():
        raise UserError(f"{run}: no interrupted training of this run; leave --resume out to start it")


def verify_run(folder: Path) -> None:
    """Check every file of a run against its manifest. Raises UserError naming the file, expected and found."""
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such run folder{looked_in(folder)}; `peftrec train` makes one, and says its name"
        )
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder}: not a finished run: {MANIFEST} is missing")
    if damage := find_damage(folder):
        raise UserError(f"{damage}; the run is damaged; restore the file from a copy, or train again")


def digest_run(run: Path) -> str:
    """SHA-256 of a run's manifest, which lists that of every file."""
    return sha256(run / MANIFEST)


def read_report(run: Path) -> dict[str, Any]:
    """The `report.json` of a verified run: tasks, cost, environment."""
    verify_run(run)
    return dict(read_json(run / "report.json"))


def is_plain_peft(adapter: Path) -> bool:
    """Whether plain PEFT can load an adapter's folder; those of our own methods say PEFTREC_..., which it refuses."""
    return not read_json(adapter / "adapter_config.json").get("peft_type", "PEFTREC").startswith("PEFTREC")


def export_adapter(run: Path, task: str, output: Path) -> Path:
    """Copy a task's adapter, complete as it is in the run, to the new folder `output`, for plain PEFT to load.

    Raises UserError when the run has no such task, its method is none of PEFT's, or `output` exists.
    """
    verify_run(run)
    adapters = run / "adapters"
    source = adapters / task
    if "/" in task or not (source / "adapter_config.json").is_file():
        known = sorted(path.parent.name for path in adapters.glob("*/adapter_config.json"))
        raise UserError(f"{run}: no adapter of a task {task!r}; tasks with one: {', '.join(known) or 'none'}")
    if not is_plain_peft(source):
        raise UserError(f"{source}: its method is none of PEFT's, so PEFT cannot load it; use peftrec.Predictor")
    _refuse_existing(output)
    with new_folder(output, partial(output)) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)
    return output
