"""Folders and files that are this user's own: no link is followed, nothing but folders and regular files is opened.

Whoever may write states decides what a model computes, so another user's are not used.

PEFTREC_CACHE_SHARED   1: users who trust each other share the cache; neither owner nor permissions matter then
"""

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from peftrec.errors import UserError

LOCK_SECONDS = 60.0  # how long another process may hold what is waited for


def shared() -> bool:
    """Whether others' folders are used, too. Raises UserError for a PEFTREC_CACHE_SHARED that is neither 0 nor 1."""
    given = os.environ.get("PEFTREC_CACHE_SHARED") or "0"
    if given not in ("0", "1"):
        raise UserError(f"PEFTREC_CACHE_SHARED must be 0 or 1; found {given!r}")
    return given == "1"


def make_folder(path: Path) -> None:
    """Make a folder for this user alone, if there is nothing; its parents as usual. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o777 if shared() else 0o700)


@contextmanager
def own_folder(path: Path) -> Iterator[int]:
    """A descriptor of a folder that is this user's own, to open files in it. Raises OSError."""
    with _named(path):
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _check_owner(os.fstat(folder), path)
        yield folder
    finally:
        os.close(folder)


def shut(folder: int) -> None:
    """Let nobody else into a folder given by its descriptor. Raises OSError."""
    if os.fstat(folder).st_mode & 0o077 and not shared():
        os.fchmod(folder, 0o700)


@contextmanager
def own_root(path: Path) -> Iterator[int]:
    """A descriptor of the folder of all keys, in which nobody else may write. Raises OSError.

    One that PEFTREC_CACHE names may hold other things, too: its permissions are for its owner to change.
    """
    with own_folder(path) as root:
        if not os.environ.get("PEFTREC_CACHE"):
            shut(root)
        if os.fstat(root).st_mode & 0o022 and not shared():
            raise OSError(f"others may write in {path}: `chmod 700` it, or let PEFTREC_CACHE name another folder")
        yield root


def open_own(path: Path, folder: int, flags: int) -> IO[bytes]:
    """Open a regular file of this user's own in a folder given by its descriptor, unbuffered. Raises OSError.

    `flags` are those of os.open. A file that is made is this user's alone.
    """
    with _named(path):
        # Not blocking: a FIFO would wait for its other end.
        number = os.open(path.name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666 if shared() else 0o600, dir_fd=folder)
    try:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is no regular file; remove it")
        if found.st_nlink > 1:
            raise OSError(f"{path} has a second name elsewhere; remove it")
        _check_owner(found, path)
        return os.fdopen(number, "r+b" if flags & os.O_RDWR else "rb", buffering=0)
    except OSError:
        os.close(number)
        raise


def wait_for(file: IO[bytes], operation: int, path: Path) -> None:
    """Lock an open file, `operation` being fcntl.LOCK_SH or LOCK_EX. Raises TimeoutError after LOCK_SECONDS."""
    import fcntl

    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(file, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise TimeoutError(f"another process has held {path} for {LOCK_SECONDS:g} seconds") from None
            time.sleep(0.02)


def _check_owner(found: os.stat_result, path: Path) -> None:
    if found.st_uid != os.geteuid() and not shared():
        raise OSError(
            f"{path} belongs to user {found.st_uid}, you are {os.geteuid()}: who writes there decides what is computed "
            "here; let PEFTREC_CACHE name a folder of your own, or set PEFTREC_CACHE_SHARED=1 if you trust them"
        )


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Have the system's errors name the whole path, and a link as such."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and path.is_symlink():
            raise OSError(f"{path} is a link, which is not followed; name or make the thing itself") from None
        raise OSError(error.errno, error.strerror, str(path)) from None
