"""Both ends of a measurement in a process of its own, so that its peak memory is its own.

A module of this package that is such a child is started as `python -m benchmarks.MODULE`: by `measured` with a JSON
argument, which it answers by `answer`, or by `run_child` with SPEC.json and OUT, where it delivers by `deliver`.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.places import ROOT
from peftrec.machine.environment import environment
from peftrec.machine.files import new_folder, partial, read_json, write_json


@dataclass(frozen=True)
class Job:
    """One measurement of several.

    name    by which it is told where it failed; said: what is told as it begins
    folder  that it delivers
    spec    what makes it this one, beside what is asked of all
    """

    name: str
    said: str
    folder: Path
    spec: dict[str, Any]


def measured(module: str, spec: dict[str, Any]) -> dict[str, Any]:
    """What the child `module` answers to `spec`. Raises SystemExit with its last words."""
    done = _start(module, json.dumps(spec))
    if done.returncode:
        raise SystemExit(f"{module} {spec}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def answer(work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Print what `work` returns for the specification given as the process's one argument, as the last line."""
    print(json.dumps(work(json.loads(sys.argv[1]))))


def run_child(module: str, spec: Path, out: Path, threads: int) -> str:
    """Let the child `module` deliver `out` from the file `spec`; its last words where it fails, else nothing."""
    done = _start(module, str(spec), str(out), threads=threads)
    if not done.returncode:
        return ""
    return f"failed; to repeat it: {' '.join(done.args)}\n{done.stderr[-3000:]}"


def run_anew(module: str, folder: Path, spec: dict[str, Any]) -> str:
    """Let the child `module`, on one thread, deliver `folder` in place of what is left of an earlier try; its last
    words where it fails, else nothing."""
    for old in (folder, partial(folder)):
        shutil.rmtree(old, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    request = folder.parent / f"{folder.name}.json"
    write_json(request, spec)
    said = run_child(module, request, folder, threads=1)
    if not said:
        request.unlink()
    return said


def chosen(only: Sequence[str] | None, known: Collection[str], what: str) -> list[str]:
    """The known names that are asked for, in their order; all of them where none are. Raises SystemExit for others."""
    if unknown := set(only or ()) - set(known):
        raise SystemExit(f"no {what} {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [name for name in known if not only or name in only]


def run_missing(module: str, jobs: Sequence[Job], asked: dict[str, Any]) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Each job with its result.json, as it is there; what is not there yet is run first.

    asked  `rows` and `keys`, the same of all
    Raises SystemExit for results of other rows or keys, and, at the end, for what failed.
    """
    failed = []
    for place, job in enumerate(jobs, 1):
        began = time.monotonic()
        if not (job.folder / "result.json").is_file():
            print(f"{place}/{len(jobs)} {job.said}", file=sys.stderr, flush=True)
            if said := run_anew(module, job.folder, {**job.spec, **asked}):
                failed.append(f"{job.name}: {said}")
                continue
            print(f"{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        result = read_json(job.folder / "result.json")
        if {key: result[key] for key in asked} != asked:
            said = f"{result['rows']} rows and keys {result['keys']}"
            raise SystemExit(f"{job.folder}: is of {said}: give another --out")
        yield job, result
    if failed:
        raise SystemExit("\n".join(failed))


def deliver(work: Callable[[dict[str, Any], Path], dict[str, Any]]) -> None:
    """What `work`, given the specification and a temporary folder, returns becomes result.json in that folder, which
    becomes OUT; with the code that ran and the machine."""
    spec, out, ran = read_json(Path(sys.argv[1])), Path(sys.argv[2]), commit()
    with new_folder(out, partial(out)) as folder:
        write_json(folder / "result.json", {"commit": ran, "environment": environment()} | work(spec, folder))


def commit() -> str:
    """The commit of the code that runs, with `+` where the library or the benchmarks differ from it."""

    def ask(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    differs = ask("status", "--porcelain", "--", "peftrec", "*.py")
    return ask("rev-parse", "--short", "HEAD") + ("+" if differs else "")


def _start(module: str, *arguments: str, threads: int | None = None) -> subprocess.CompletedProcess[str]:
    """The finished process of a child, its output kept; torch uses as many `threads` as it likes unless told."""
    threaded = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | threaded)
