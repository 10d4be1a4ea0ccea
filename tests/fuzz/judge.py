"""Runs one command of a case inside this process, and says what no input may make of it."""

import contextlib
import faulthandler
import functools
import hashlib
import os
import re
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from command import peftrec
from fuzz.world import SECRET, World

HANG = 20  # seconds after which a command hangs
DEAD = 240  # seconds after which not even a signal ended it: the process goes, with the stacks of its threads
MEMORY = 2e9  # bytes that the process may have at any moment
ROOM = 4 * 10**9  # bytes of addresses that a case may ask for: what would fill the machine ends as a MemoryError
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]")
_DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()


class Hangs(BaseException):
    """No `except Exception` may swallow it."""


@dataclass(frozen=True)
class Case:
    """What a case does, once its files are changed.

    change    what was changed, for people
    commands  the arguments of each command, run one after another
    targets   files and folders under the working directory that they may make, when they succeed
    """

    change: str
    commands: list[list[str]]
    targets: list[str] = field(default_factory=list)


def judge(case: Case, world: World) -> list[str]:
    """Run the commands of a case; every way in which they broke a promise, as one line each."""
    return [line for arguments in case.commands for line in _judge(arguments, case.targets, world)]


def _judge(arguments: list[str], targets: list[str], world: World) -> list[str]:
    os.environ["PEFTREC_CACHE"] = str(world.cache)
    before = _files(world)
    found: ClassVar[list[str]] = []
    with _watched(world, targets, found):
        try:
            done = peftrec(*arguments)
        except Hangs:
            return [f"{arguments[0]}: hangs"]
    found += _ending(done)
    made = _files(world)
    allowed = [*targets, "cache"] if done.exit_code == 0 else ["cache"]
    for path in sorted(made.keys() | before.keys()):
        if made.get(path) != before.get(path) and not _under(path, allowed):
            found.append(f"{'left' if path in made else 'removed or changed'}: {path}")
    told = done.stdout + done.stderr + "".join(_read(world.case / name) for name in made if _under(name, targets))
    if SECRET in told or _DIGEST in told:
        found.append("tells a file of somebody else")
    if mark := _CONTROL.search(done.stdout.replace("\r", "") + done.stderr.replace("\r", "")):
        found.append(f"prints the control character {mark[0]!r}")
    return [f"{arguments[0]}: {line}" for line in dict.fromkeys(found)]


def _ending(done: Any) -> list[str]:
    error = done.exception
    if error is not None and not isinstance(error, SystemExit):
        own = [f for f in traceback.extract_tb(error.__traceback__) if "/peftrec/" in f.filename]
        where = f" at {own[-1].filename.rpartition('/peftrec/')[2]}:{own[-1].name}" if own else ""
        return [f"traceback {type(error).__name__}: {str(error)[:120]!r}{where}"]
    if done.exit_code not in (0, 1, 2):
        return [f"exit status {done.exit_code}"]
    return ["prints a traceback"] if "Traceback (most recent" in done.stderr else []


@contextlib.contextmanager
def _watched(world: World, targets: list[str], found: list[str]) -> Iterator[None]:
    """Into `found`: what the block opens for writing elsewhere, what it starts, how much memory it takes."""

    def stop(*_: object) -> None:
        raise Hangs

    kept = signal.signal(signal.SIGALRM, stop)
    faulthandler.dump_traceback_later(DEAD, exit=True, file=sys.__stderr__)
    signal.alarm(HANG)
    with contextlib.suppress(OSError):  # where that is not allowed, it is the most of all cases so far
        Path("/proc/self/clear_refs").write_text("5")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + ROOM, limits[1]))
    temporary, tempfile.tempdir = tempfile.tempdir, str(world.case / "tmp")
    _guarded()
    _Guard.world, _Guard.found = world, found
    try:
        yield
    finally:
        _Guard.world, tempfile.tempdir = None, temporary
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGALRM, kept)
        faulthandler.cancel_dump_traceback_later()
        if _status("VmHWM") > MEMORY:
            found.append("takes more than 2 GB")


def _status(name: str) -> int:
    """A line of the kernel's status of this process, in bytes: VmHWM, the most it had in memory since `clear_refs`."""
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(name))
    return int(line.split()[1]) * 1024


class _Guard:
    """What the interpreter reports of files opened for writing and of programs started, while a case runs."""

    world: World | None = None
    found: ClassVar[list[str]] = []

    @classmethod
    def hook(cls, event: str, arguments: tuple) -> None:
        if cls.world is None:
            return
        # Python itself may be started, for what must be able to be stopped.
        if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn") and arguments[0] != sys.executable:
            cls.found.append(f"starts a program: {str(arguments[0])[-60:]}")
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            place = os.path.realpath(os.fsdecode(arguments[0])) if isinstance(arguments[0], str | bytes) else ""
            if place and not place.startswith((str(cls.world.case.resolve()), "/dev/null", "/dev/shm/", "/proc/self/")):
                cls.found.append(f"opens for writing, outside: {place.replace(str(cls.world.root), '')}")


@functools.cache
def _guarded() -> None:
    """Once a process, and not before: the interpreter, which never forgets a hook, calls it many times a test."""
    sys.dont_write_bytecode = True  # of modules that a case is the first to import
    sys.addaudithook(_Guard.hook)


def _files(world: World) -> dict[str, tuple]:
    """Everything under the working directory and in `outside`: what sort, how long, when changed."""
    found = {}
    for root in (world.case, world.outside):
        for folder, folders, files in os.walk(root):
            for name in (*folders, *files):
                path = Path(folder) / name
                of = path.lstat()
                stamp = (of.st_mode,) if path.is_dir() else (of.st_mode, of.st_size, of.st_mtime_ns)
                found[os.path.relpath(path, world.case)] = stamp
    return {name: stamp for name, stamp in found.items() if "__pycache__" not in name}


def _under(name: str, places: list[str]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in places)


def _read(file: Path) -> str:
    return file.read_bytes().decode("utf-8", "replace") if file.is_file() and file.stat().st_size < 1e7 else ""
