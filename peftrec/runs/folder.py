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
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from peftrec.errors import UserError, looked_in
from peftrec.machine.files import (
    MANIFEST,
    check_manifest,
    new_folder,
    partial,
    read_json,
    refuse_existing,
    sha256,
    write_manifest,
)
from peftrec.runs.checkpoints import checkpoint_folders, step_of
from peftrec.runs.schemas import Report, checked

NEEDED = ("run.yaml", "model.json", "report.json", "metrics.jsonl", "catalogue.parquet")  # files of every run


def choose_run(name: str, resume: bool = False, runs: Path = Path("runs")) -> Path:
    """Where a training of `name` goes that was given no folder: the next free `runs/<name>-<number>`, numbers from 1.

    With `resume` it is the unfinished one of the highest number, or UserError without one. Nothing is created.
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
            with suppress(OSError), _lock(partial(run)):
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
        refuse_existing(run)
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


@contextmanager
def _reserve(run: Path, workshop: Path, resume: bool) -> Iterator[None]:
    """Make the workshop, or with `resume` take it over; inside the block it is locked."""
    try:
        run.parent.mkdir(parents=True, exist_ok=True)
        exists = os.path.lexists(workshop)
        if not exists:
            workshop.mkdir()
        held = _lock(workshop)
    except Timeout:
        raise UserError(f"{workshop}: exists, and another process is training {run} now; name another folder") from None
    except OSError as error:
        raise UserError(f"{run}: cannot be written: {error.strerror}; name another folder") from None
    with held:
        if exists and not resume:
            if (workshop / "run" / MANIFEST).exists():
                raise UserError(f"{workshop / 'run'}: a finished run that was not put in its place: rename that folder")
            left = "continue it with --resume" if checkpoint_folders(run) else "it has no checkpoint, so delete it"
            raise UserError(
                f"{workshop}: exists, because a training of {run} was killed: {left}, or name another folder"
            )
        yield


def _lock(workshop: Path) -> AbstractContextManager[object]:
    """Hold a workshop for a block, or until this process is killed. Raises Timeout where another process holds it."""
    return FileLock(workshop / "lock").acquire(blocking=False)


def _refuse_nothing_to_continue(run: Path, workshop: Path) -> None:
    if os.path.lexists(run):
        raise UserError(f"{run}: finished already; there is nothing to continue")
    if not workshop.is_dir():
        raise UserError(f"{run}: no interrupted training of this run; leave --resume out to start it")


def verify_run(folder: Path, needed: Collection[str] = ()) -> dict[str, tuple[int, str]]:
    """Check every file of a run against its manifest; returns what it lists: file -> size and SHA-256.

    Raises UserError naming the file, expected and found; also where it lists nothing, or not what is `needed`.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such run folder{looked_in(folder)}; `peftrec train` makes one, and says its name"
        )
    if not os.path.lexists(folder / MANIFEST):
        raise UserError(f"{folder}: not a finished run: {MANIFEST} is missing")
    try:
        listed = check_manifest(folder)
    except UserError as error:
        raise UserError(f"{error}; the run is damaged; restore the file from a copy, or train again") from None
    lacking = [name for name in needed if name not in listed]
    if lacking or not listed:
        raise UserError(f"{folder / MANIFEST}: lists no {', '.join(lacking) or 'file'}: it is no run's")
    return listed


def describe_run(run: Path, expected: str | None = None) -> dict[str, Any]:
    """{"run", "digest", "files", "bytes"} of a whole run. Raises UserError, also for another digest."""
    listed, digest = verify_run(run, NEEDED), digest_run(run)
    if expected is not None and expected.lower() != digest:
        raise UserError(f"{run}: its digest is {digest}; expected {expected}: it is another run")
    return {"run": str(run), "digest": digest, "files": len(listed), "bytes": sum(size for size, _ in listed.values())}


def digest_run(run: Path) -> str:
    """SHA-256 of a run's manifest, which lists that of every file: two runs of one digest are the same to the byte."""
    return sha256(run / MANIFEST)


def read_report(run: Path) -> dict[str, Any]:
    """The `report.json` of a verified run: tasks, cost, environment."""
    verify_run(run)
    file = run / "report.json"
    report: dict[str, Any] = checked(Report, read_json(file), file)
    for name, task in report["tasks"].items():
        _check_values(task, f"{file}: damaged: tasks.{name}")
        for by, parts in task.get("slices", {}).items():
            for part, of in parts.items():
                _check_values(of, f"{file}: damaged: tasks.{name}.slices.{by}.{part}")
    return report


def _check_values(of: dict[str, Any], place: str) -> None:
    """Raise UserError where gains or intervals are of what is not there."""
    for metric, gain in of["gains"].items():
        if metric not in of["metrics"] or metric not in of["priors"].get(gain["prior"], {}):
            raise UserError(f"{place}.gains.{metric}: a gain is over a prior that is there")
    for part in ("metrics", "gains"):
        if of["intervals"] and not of[part].keys() <= of["intervals"].keys():
            raise UserError(f"{place}.intervals: not those of its {part}")


def is_plain_peft(adapter: Path) -> bool:
    """Whether plain PEFT can load an adapter's folder; those of our own methods say PEFTREC_..., which it refuses."""
    file = adapter / "adapter_config.json"
    config = read_json(file)
    kind = config.get("peft_type", "PEFTREC") if isinstance(config, dict) else None
    if not isinstance(kind, str):
        raise UserError(f"{file}: damaged: expected an object whose peft_type is a text")
    return not kind.startswith("PEFTREC")


def export_adapter(run: Path, task: str, output: Path) -> Path:
    """Copy a task's adapter, complete as it is in the run, to the new folder `output`, for plain PEFT to load.

    Raises UserError when the run has no such task, its method is none of PEFT's, or `output` exists.
    """
    listed = verify_run(run)
    source = f"adapters/{task}/"
    if f"{source}adapter_config.json" not in listed:
        known = [name.split("/")[1] for name in listed if re.fullmatch("adapters/[^/]+/adapter_config.json", name)]
        raise UserError(f"{run}: no adapter of a task {task!r}; tasks with one: {', '.join(known) or 'none'}")
    if not is_plain_peft(run / source):
        raise UserError(f"{run / source}: its method is none of PEFT's, so PEFT cannot load it; use peftrec.Predictor")
    refuse_existing(output)
    with new_folder(output, partial(output)) as temporary:
        for name in listed:
            if name.startswith(source):
                target = temporary / name.removeprefix(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(run / name, target, follow_symlinks=False)
    return output
