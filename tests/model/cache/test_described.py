"""key.json: what is not a small object of the right types is as good as none, for every command."""

import json

import numpy as np
import pytest

from peftrec.model.cache.described import MOST_BYTES, read_description
from peftrec.model.cache.folder import clear_cache, describe_keys, make_room
from peftrec.model.cache.owned import own_folder
from peftrec.model.cache.store import Store

GOOD = {"name": "some/model", "level": "layer", "layer": 4}
DAMAGED = {
    "empty": b"",
    "not JSON": b"{",
    "not UTF-8": b'{"name": "\xff"}',
    "nested": b"[" * 20_000,
    "nested whole": b'{"name": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "huge": json.dumps(GOOD | {"more": "x" * MOST_BYTES}).encode(),
    "another type": b"[]",
    "number": b"3",
    "huge number": b"9" * 5000,
    "lacking": b'{"name": "some/model"}',
    "wrong name": json.dumps(GOOD | {"name": 3}).encode(),
    "wrong level": json.dumps(GOOD | {"level": None}).encode(),
    "wrong layer": json.dumps(GOOD | {"layer": True}).encode(),
}


def opened(root):
    return Store(root / "key", 12, GOOD)


def read(root):
    with own_folder(root / "key") as folder:
        return read_description(root / "key", folder)


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_one_is_passed_over_and_written_anew_when_the_key_is_used(root, content):
    opened(root).append(np.array([[1, 2]], np.uint64), np.array([1]), np.zeros((1, 12), np.uint8))
    (root / "key" / "key.json").write_bytes(content)
    assert read(root) is None
    assert describe_keys() == [] and clear_cache() == []
    assert make_room(0, root / "key") is None
    assert len(opened(root).entries) == 1
    assert read(root) == GOOD
    assert [key["level"] for key in describe_keys()] == ["layer 4"]
    assert len(clear_cache()) == 1


def test_a_draft_that_a_killed_process_left_does_not_matter(root, monkeypatch):
    victim = root.parent / "victim"
    victim.write_text("mine")
    monkeypatch.setattr("os.getpid", lambda: 7)
    (root / "key").mkdir(parents=True)
    (root / "key" / "key.7").symlink_to(victim)
    opened(root)
    assert read(root) == GOOD
    assert victim.read_text() == "mine"
    assert not (root / "key" / "key.7").is_symlink()
