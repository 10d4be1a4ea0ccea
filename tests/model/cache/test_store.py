"""The store: what is appended is found and intact, whatever happens to its files, and however many processes write."""

import errno
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftrec.model.cache import owned
from peftrec.model.cache import store as module
from peftrec.model.cache.store import ENTRY, Store, ragged

UNIT = 12  # bytes


def opened(root):
    return Store(root / "key", UNIT, {"level": "layer"})


def texts(numbers, units=None):
    """Digests (N, 2), units (N,) and data of made-up texts; the same for the same number."""
    numbers = np.asarray(numbers)
    digests = np.stack([numbers * 7919 + 1, numbers + 2**40], 1).astype(np.uint64)
    units = 1 + numbers % 4 if units is None else np.asarray(units)
    data = [np.random.default_rng(n).integers(0, 256, (u, UNIT), np.uint8) for n, u in zip(numbers, units, strict=True)]
    return digests, units, np.concatenate([np.zeros((0, UNIT), np.uint8), *data])


def assert_holds(store, numbers):
    digests, units, data = texts(numbers)
    entries = store.find(digests, units)
    assert (entries >= 0).all()
    read, intact = store.read(entries)
    assert intact.all()
    np.testing.assert_array_equal(read, data)


def damage(path, offset, by=1):
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ by]))


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 30), unique=True), max_size=5))
def test_what_is_appended_is_found_and_nothing_else(tmp_path_factory, parts):
    root = tmp_path_factory.mktemp("store")
    store, known = opened(root), set()
    for numbers in parts:
        entries = store.append(*texts(numbers))
        assert (entries >= 0).all()
        known |= set(numbers)
    for each in (store, opened(root)):
        assert len(each.entries) == len(known)  # what is there is not added again
        assert_holds(each, sorted(known))
        digests, units, _ = texts(sorted(set(range(31)) - known))
        assert (each.find(digests, units) == -1).all()


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5))))
def test_ragged_ranges(pairs):
    starts, counts = (np.array([p[n] for p in pairs], np.int64) for n in (0, 1))
    assert ragged(starts, counts).tolist() == [s + k for s, c in pairs for k in range(c)]


def test_a_text_of_another_length_or_digest_is_not_found(root):
    store = opened(root)
    digests, units, data = texts([1, 2, 3])
    store.append(digests, units, data)
    assert (store.find(digests, units + 1) == -1).all()
    assert (store.find(digests + np.array([0, 1], np.uint64), units) == -1).all()  # one half of the digest is equal
    assert (store.find(digests + np.array([1, 0], np.uint64), units) == -1).all()


@pytest.mark.parametrize("field", ENTRY.names)
def test_a_flipped_bit_in_the_index_loses_one_text_at_most(root, field):
    opened(root).append(*texts(range(6)))
    damage(root / "key" / "index", 2 * ENTRY.itemsize + ENTRY.fields[field][1])
    store = opened(root)
    digests, units, data = texts(range(6))
    entries = store.find(digests, units)
    rest = [0, 1, 3, 4, 5]
    assert (entries[rest] >= 0).all()
    if entries[2] >= 0:
        assert store.read(entries)[1].tolist() == [True, True, False, True, True, True]
        assert store.find(digests, units)[2] == -1  # once found damaged, never found again
    store.append(digests, units, data)
    assert_holds(store, range(6))
    assert_holds(opened(root), range(6))


def test_a_flipped_bit_in_the_states_loses_that_text(root):
    opened(root).append(*texts(range(6)))
    damage(root / "key" / "states", UNIT * 3 + 5, by=64)
    store = opened(root)
    digests, units, data = texts(range(6))
    intact = store.read(store.find(digests, units))[1]
    assert (~intact).sum() == 1
    store.append(digests, units, data)
    assert len(store.entries) == 7
    assert_holds(opened(root), range(6))


@pytest.mark.parametrize("keep", [0, 5, UNIT, UNIT * 4 + 1])
def test_cut_off_states_lose_the_texts_behind_the_cut(root, keep):
    opened(root).append(*texts(range(6)))
    os.truncate(root / "key" / "states", keep)
    store = opened(root)
    digests, units, data = texts(range(6))
    found = store.find(digests, units) >= 0
    assert found.tolist() == (np.cumsum(units) * UNIT <= keep).tolist()
    store.append(digests, units, data)
    assert_holds(store, range(6))
    store.append(*texts(range(6, 9)))
    assert_holds(opened(root), range(9))


def test_an_entry_cut_off_in_the_middle_is_overwritten(root):
    opened(root).append(*texts(range(6)))
    os.truncate(root / "key" / "index", 5 * ENTRY.itemsize + 9)
    store = opened(root)
    assert_holds(store, range(5))
    store.append(*texts(range(4, 8)))
    assert_holds(opened(root), range(8))


def test_states_that_no_entry_names_are_overwritten(root):
    # Killed between writing states and naming them.
    opened(root).append(*texts(range(3)))
    size = (root / "key" / "states").stat().st_size
    with (root / "key" / "states").open("ab") as file:
        file.write(b"x" * 1000)
    store = opened(root)
    store.append(*texts(range(3, 5)))
    assert (root / "key" / "states").stat().st_size == size + texts(range(3, 5))[2].nbytes
    assert_holds(store, range(5))


@pytest.mark.parametrize("fails_at", [0, 1])
def test_a_full_disk_adds_nothing_and_breaks_nothing(root, monkeypatch, fails_at):
    store = opened(root)
    store.append(*texts(range(3)))
    calls, pwrite = [], os.pwrite

    def full(file, data, offset):
        calls.append(1)
        if len(calls) - 1 == fails_at:  # 0: the states, 1: the index
            pwrite(file, data[: len(data) // 2], offset)
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(file, data, offset)

    monkeypatch.setattr(module.os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        store.append(*texts(range(9)))
    monkeypatch.undo()
    for each in (store, opened(root)):
        assert_holds(each, range(3))
        digests, units, _ = texts(range(3, 9))
        assert (each.find(digests, units) == -1).all()
    store.append(*texts(range(9)))
    assert_holds(opened(root), range(9))


def test_states_are_synced_before_an_entry_names_them(root, monkeypatch):
    store, order = opened(root), []
    pwrite = os.pwrite
    names = {file.fileno(): name for name, file in (("states", store._states), ("index", store._index))}
    monkeypatch.setattr(module.os, "pwrite", lambda file, *a: order.append(f"write {names[file]}") or pwrite(file, *a))
    monkeypatch.setattr(module.os, "fsync", lambda file: order.append(f"sync {names[file]}"))
    store.append(*texts(range(3)))
    assert order == ["write states", "sync states", "write index", "sync index"]


def test_a_process_that_hangs_while_appending_does_not_hang_others(root, monkeypatch):
    import fcntl

    store = opened(root)
    monkeypatch.setattr(owned, "LOCK_SECONDS", 0.1)
    with (root / "key" / "lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="held"):
            store.append(*texts([1]))
    store.append(*texts([1]))
    assert_holds(store, [1])


def test_a_store_sees_what_another_has_appended(root):
    one, two = opened(root), opened(root)
    one.append(*texts(range(3)))
    two.append(*texts(range(2, 5)))
    one.refresh()
    assert_holds(one, range(5))
    assert_holds(two, range(5))
    assert len(one.entries) == 5


def test_a_key_removed_while_open_can_be_made_anew(root):
    import shutil

    old = opened(root)
    old.append(*texts([1]))
    shutil.rmtree(root / "key")
    new = opened(root)
    new.append(*texts([2]))
    old.append(*texts([3]))
    assert_holds(old, [1, 3])  # what is open stays readable
    assert_holds(opened(root), [2])


def test_processes_append_at_the_same_time(root):
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        from test_store import opened, texts
        store = opened(Path(sys.argv[2]))
        first = int(sys.argv[3])
        for start in range(first, first + 60, 6):
            store.append(*texts(range(start, start + 6)))
    """)
    here = os.path.dirname(__file__)
    running = [
        subprocess.Popen([sys.executable, "-c", script, here, str(root), str(first)], stderr=subprocess.PIPE)
        for first in (0, 20, 40)
    ]
    for process in running:
        assert process.communicate()[1] == b""
    store = opened(root)
    assert_holds(store, range(100))
    assert len(store.entries) == 100
    assert (root / "key" / "states").stat().st_size == texts(range(100))[2].nbytes
