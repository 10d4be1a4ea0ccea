"""All keys on disk: where, how large, which go first, and the verbs that list and clear them."""

import gc
import json
import os

import numpy as np
import pytest
from typer.testing import CliRunner

from peftrec.cli.verbs import app
from peftrec.errors import UserError
from peftrec.model.cache.folder import clear_cache, limit_bytes, list_keys, make_room
from peftrec.model.cache.store import Store


def make_key(root, name, used, texts=10):
    """A key of `texts` times 1,000 bytes of states, last used `used` seconds after 1970; not in use now."""
    described = {"name": "some/model", "level": "layer", "layer": 4}
    store = Store(root / name, 1000, described)
    digests = np.arange(2 * texts, dtype=np.uint64).reshape(-1, 2)
    store.append(digests, np.ones(texts, np.int64), np.zeros((texts, 1000), np.uint8))
    del store
    gc.collect()
    os.utime(root / name / "use", (used, used))


def names():
    return [key.folder.name for key in list_keys()]


@pytest.mark.parametrize("verb", ["ls", "clear"])
def test_a_folder_that_can_be_none_is_one_message_naming_the_variable(monkeypatch, tmp_path, verb):
    file = tmp_path / "file"
    file.write_text("mine")
    for given, found in (
        (file, f"but {file} is a file"),
        (file / "below", f"but {file} is a file"),
        ("~nobody-here/cache", "the home of an unknown user"),
    ):
        monkeypatch.setenv("PEFTREC_CACHE", str(given))
        done = CliRunner().invoke(app, ["cache", verb])
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == f"peftrec: PEFTREC_CACHE must name a folder; found {str(given)!r}, {found}\n"
    assert file.read_text() == "mine"


@pytest.mark.parametrize("given", ["/tmp/" + "x" * 5000, "/tmp/" + "x/" * 2500])
def test_a_path_longer_than_paths_may_be_is_one_message(monkeypatch, given):
    monkeypatch.setenv("PEFTREC_CACHE", given)
    for verb in ("ls", "clear"):
        done = CliRunner().invoke(app, ["cache", verb])
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == (
            f"peftrec: PEFTREC_CACHE must name a folder; found {given[:200]!r}... (5,005 letters): File name too long\n"
        )


def test_the_limit_is_a_number_of_gigabytes(monkeypatch):
    assert limit_bytes() == 20e9
    monkeypatch.setenv("PEFTREC_CACHE_GB", "0.5")
    assert limit_bytes() == 5e8
    for wrong in ("much", "-1", "nan"):
        monkeypatch.setenv("PEFTREC_CACHE_GB", wrong)
        with pytest.raises(UserError, match=f"PEFTREC_CACHE_GB must be a number of GB, 0 or more; found '{wrong}'"):
            limit_bytes()


def test_the_least_recently_used_keys_go_first_and_only_as_many_as_must(root, monkeypatch):
    for name, used in (("b", 200), ("a", 100), ("d", 400), ("c", 300)):
        make_key(root, name, used)
    assert names() == ["d", "c", "b", "a"]
    held = sum(key.bytes for key in list_keys())
    monkeypatch.setenv("PEFTREC_CACHE_GB", str(held / 1e9))
    assert make_room(0, root / "d") is None
    assert names() == ["d", "c", "b", "a"]
    assert make_room(11_000, root / "d") is None  # a key takes little more than 10,000 bytes
    assert names() == ["d", "c"]


def test_what_is_in_use_or_asks_stays(root, monkeypatch):
    for name, used in (("a", 100), ("b", 200), ("c", 300)):
        make_key(root, name, used)
    monkeypatch.setenv("PEFTREC_CACHE_GB", "0.00002")
    store = Store(root / "a", 1000, {})
    os.utime(root / "a" / "use", (100, 100))
    problem = make_room(5000, root / "b")
    assert names() == ["b", "a"]
    assert "would exceed the cache's limit of 2e-05 GB" in problem
    assert "PEFTREC_CACHE_GB" in problem
    with pytest.raises(UserError, match="in use by a running process, so not removed: a"):
        clear_cache("a")
    with pytest.raises(UserError, match="not removed: a"):
        clear_cache()
    assert names() == ["a"]
    assert len(store.entries) == 10


def test_using_a_key_makes_it_the_last_to_go(root):
    make_key(root, "a", 100)
    make_key(root, "b", 200)
    Store(root / "a", 1000, {})
    assert names() == ["a", "b"]


def test_more_than_the_disk_has_free_is_refused(root, monkeypatch):
    make_key(root, "a", 100)
    monkeypatch.setenv("PEFTREC_CACHE_GB", "1e8")
    assert "are free" in make_room(10**16, root / "a")


def test_what_a_killed_removal_left_is_swept_away(root):
    make_key(root, "a", 100)
    (root / "a").rename(root / ".removed-a-1")
    make_key(root, "b", 100)
    assert names() == ["b"]
    make_room(0, root / "b")
    assert [path.name for path in root.iterdir()] == ["b"]


def test_cache_ls_and_clear(root):
    run = CliRunner().invoke
    assert json.loads(run(app, ["cache", "ls", "--json"]).stdout) == []
    make_key(root, "abc1", 86400)
    make_key(root, "abd2", 2 * 86400)
    listed = json.loads(run(app, ["cache", "ls", "--json"]).stdout)
    assert [row.pop("megabytes") for row in listed] == pytest.approx([0.0104, 0.0104], abs=2e-4)
    assert listed[1] == {
        "key": "abc1",
        "backbone": "some/model",
        "level": "layer 4",
        "texts": 10,
        "last_used": "1970-01-02T00:00:00+00:00",
    }
    shown = run(app, ["cache", "ls"])
    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["key", "abd2", "abc1"]
    assert str(root) in shown.stderr
    for wrong, message in (("ab", "several keys begin with 'ab'"), ("x", "no key begins with 'x'")):
        done = run(app, ["cache", "clear", wrong])
        assert done.exit_code == 2
        assert message in done.stderr
    assert "keys removed: 1 (" in run(app, ["cache", "clear", "abc"]).stdout
    assert names() == ["abd2"]
    assert run(app, ["cache", "clear"]).exit_code == 0
    assert list(root.iterdir()) == []
