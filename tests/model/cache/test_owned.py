"""The cache is one user's: others' folders are not used, no link is followed, nobody waits for ever."""

import fcntl
import os
import stat

import numpy as np
import pytest
from typer.testing import CliRunner

from peftrec.cli.verbs import app
from peftrec.errors import UserError
from peftrec.model.cache import owned
from peftrec.model.cache.folder import clear_cache, list_keys
from peftrec.model.cache.owned import open_own, own_folder, shared, wait_for
from peftrec.model.cache.store import ENTRY, Store

FILES = ("states", "index", "lock", "use", "key.json")
DIGESTS, UNITS = np.array([[1, 2]], np.uint64), np.array([2])
STATES = np.arange(24, dtype=np.uint8).reshape(2, 12)


def opened(root):
    return Store(root / "key", 12, {"name": "some/model", "level": "layer", "layer": 1})


def filled(root):
    opened(root).append(DIGESTS, UNITS, STATES)


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(owned, "LOCK_SECONDS", 0.05)


def test_what_is_made_is_for_this_user_alone_whatever_the_umask(root):
    old = os.umask(0)
    try:
        filled(root)
    finally:
        os.umask(old)
    assert (mode(root), mode(root / "key")) == (0o700, 0o700)
    assert {file.name: mode(file) for file in (root / "key").iterdir()} == dict.fromkeys(FILES, 0o600)


def test_a_key_that_others_could_read_is_shut_and_the_default_folder_too(root, monkeypatch, tmp_path):
    filled(root)
    for folder in (root, root / "key"):
        folder.chmod(0o755)
    opened(root)
    assert (mode(root), mode(root / "key")) == (0o755, 0o700)  # a folder that the user names may hold other things
    monkeypatch.delenv("PEFTREC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "peftrec").mkdir()
    (tmp_path / "peftrec").chmod(0o777)
    filled(tmp_path / "peftrec")
    assert mode(tmp_path / "peftrec") == 0o700


def test_a_folder_that_others_may_write_in_is_refused(root):
    root.mkdir()
    root.chmod(0o775)
    with pytest.raises(OSError, match=f"others may write in {root}: `chmod 700` it, or let PEFTREC_CACHE name another"):
        opened(root)
    assert list(root.iterdir()) == []
    root.chmod(0o755)
    filled(root)


@pytest.mark.parametrize("verb", ["ls", "clear"])
def test_another_users_cache_is_refused_and_stays(root, verb, monkeypatch):
    filled(root)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    expected = f"{root} belongs to user {mine}, you are {mine + 1}"
    with pytest.raises(OSError, match=expected):
        opened(root)
    done = CliRunner().invoke(app, ["cache", verb])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"peftrec: the cache cannot be used: {expected}")
    assert "PEFTREC_CACHE_SHARED=1" in done.stderr
    assert (root / "key" / "states").read_bytes() == STATES.tobytes()
    monkeypatch.setenv("PEFTREC_CACHE_SHARED", "1")
    store = opened(root)
    assert store.read(store.find(DIGESTS, UNITS))[0].tolist() == STATES.tolist()
    assert [key.folder.name for key in list_keys()] == ["key"]


@pytest.mark.parametrize("planted", ["key", *FILES])
def test_a_strangers_key_or_file_in_ones_own_folder_is_not_used(root, monkeypatch, planted):
    filled(root)
    theirs = (root / "key" if planted == "key" else root / "key" / planted).stat().st_ino
    fstat = os.fstat

    def found(file):
        result = fstat(file)
        if result.st_ino != theirs:
            return result
        values = list(result)
        values[stat.ST_UID] += 1
        return os.stat_result(values)

    monkeypatch.setattr(owned.os, "fstat", found)
    if planted == "key.json":  # is for people only
        opened(root)
        assert len(opened(root).entries) == 1
    else:
        with pytest.raises(OSError, match=f"{planted} belongs to user {os.geteuid() + 1}"):
            opened(root)


def test_sharing_is_said_by_0_or_1(monkeypatch):
    for given, expected in (("", False), ("0", False), ("1", True)):
        monkeypatch.setenv("PEFTREC_CACHE_SHARED", given)
        assert shared() is expected
    monkeypatch.setenv("PEFTREC_CACHE_SHARED", "yes")
    with pytest.raises(UserError, match="PEFTREC_CACHE_SHARED must be 0 or 1; found 'yes'"):
        shared()


def test_a_shared_cache_follows_the_umask(root, monkeypatch):
    monkeypatch.setenv("PEFTREC_CACHE_SHARED", "1")
    old = os.umask(0o002)
    try:
        filled(root)
    finally:
        os.umask(old)
    assert (mode(root), mode(root / "key")) == (0o775, 0o775)
    assert {file.name: mode(file) for file in (root / "key").iterdir()} == dict.fromkeys(FILES, 0o664)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["link", "dangling link", "second name", "FIFO", "folder", "device"])
def test_what_is_no_file_of_ones_own_is_neither_followed_nor_waited_for(root, tmp_path, name, kind):
    filled(root)
    victim, file = tmp_path / "victim", root / "key" / name
    victim.write_bytes(b"mine")
    file.unlink()
    if kind == "second name":
        os.link(victim, file)
    elif kind == "FIFO":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.symlink_to({"link": victim, "dangling link": tmp_path / "nothing", "device": "/dev/zero"}[kind])
    keys = list_keys()  # as every command sees them
    assert keys == [] or name not in ("key.json", "use", "index") or kind == "second name"
    if name == "key.json" and kind != "folder":
        opened(root).append(DIGESTS + np.uint64(1), UNITS, STATES)
        assert [key.what["name"] for key in list_keys()] == ["some/model"]  # written anew
    else:
        with pytest.raises(OSError, match=name):
            opened(root).append(DIGESTS, UNITS, STATES)
    assert victim.read_bytes() == b"mine"
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("what", ["the folder", "a key"])
@pytest.mark.parametrize("dangling", [False, True])
def test_a_linked_folder_is_not_followed(root, tmp_path, what, dangling):
    filled(tmp_path / "victim")
    if dangling:
        (tmp_path / "victim").rename(tmp_path / "elsewhere")
    before = sorted(tmp_path.rglob("*"))
    link = root if what == "the folder" else root / "key"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "victim" if what == "the folder" else tmp_path / "victim" / "key")
    with pytest.raises(OSError, match=f"{link} is a link"):
        opened(root)
    if what == "the folder":
        with pytest.raises(UserError, match=f"the cache cannot be used: {root} is a link"):
            clear_cache()
    else:
        assert clear_cache() == []
    assert [path for path in sorted(tmp_path.rglob("*")) if root not in (path, *path.parents)] == before


def test_an_entry_beyond_all_numbers_is_passed_over(root):
    filled(root)
    for start in (2**63 - 1, 2**63 - 2, -(2**63), -1):
        entry = np.array([(1, 2, start, 2, 0)], ENTRY)
        with (root / "key" / "index").open("ab") as file:
            file.write(entry.tobytes())
    store = opened(root)
    assert store.end == 2
    assert store.read(store.find(DIGESTS, UNITS))[1].tolist() == [True]
    store.append(DIGESTS + np.uint64(1), UNITS, STATES)
    assert store.end == 4
    assert len(opened(root).entries) == 6


def test_an_index_cut_off_while_it_is_used_is_said(root):
    store = opened(root)
    store.append(DIGESTS, UNITS, STATES)
    os.truncate(root / "key" / "index", 0)
    with pytest.raises(OSError, match="index has been cut off"):
        store.refresh()
    assert store.read(store.find(DIGESTS, UNITS))[0].tolist() == STATES.tolist()


@pytest.mark.parametrize("name", ["use", "lock"])
def test_a_file_held_by_another_process_is_waited_for_with_a_bound(root, impatient, name):
    filled(root)
    with (root / "key" / name).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match=rf"another process has held .*{name} for 0\.05 seconds"):
            opened(root).append(DIGESTS + np.uint64(1), UNITS, STATES)
    opened(root).append(DIGESTS + np.uint64(1), UNITS, STATES)


def test_a_key_that_is_removed_again_and_again_is_given_up(root, monkeypatch, impatient):
    filled(root)
    monkeypatch.setattr(owned.os, "lstat", lambda path: os.stat(root))  # never the file that was locked
    with pytest.raises(TimeoutError, match="was removed again and again"):
        opened(root)


def test_a_lock_that_is_let_go_of_is_taken(root, monkeypatch):
    filled(root)
    with own_folder(root / "key") as folder, open_own(root / "key" / "lock", folder, os.O_RDWR) as file:
        other = (root / "key" / "lock").open("rb")
        fcntl.flock(other, fcntl.LOCK_EX)
        monkeypatch.setattr(owned.time, "sleep", lambda seconds: other.close())
        wait_for(file, fcntl.LOCK_EX, root / "key" / "lock")
        assert other.closed
