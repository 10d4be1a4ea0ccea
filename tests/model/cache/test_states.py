"""The cached frozen part equals what the backbone gives, is computed once, and survives what happens to its files."""

import functools
import os
import shutil
import signal
import textwrap

import numpy as np
import pytest
import torch
import warm

from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.model.backbone.families import tiny_backbone
from peftrec.model.cache import disk, folder, states
from peftrec.model.cache.states import StateCache

TEXTS = [" ".join(f"w{(n * 7 + k * k) % 100}" for k in range(1 + n % 9)) + f" w{n}" for n in range(60)]
LEVELS = ["pooled", "layer"]


def table(backbone, texts=TEXTS):
    made = TextTable()
    for text in texts:
        made.add(text)
    made.tokenize(backbone.tokenizer, backbone.config.max_length, backbone.pad_id)
    return made


def made(level="layer", texts=TEXTS, family="BERT", **options):
    """A cache over a fresh backbone, which counts the texts it is run for in `backbone.ran`."""
    backbone = tiny_backbone(family, **options)
    backbone.ran = []
    backbone.model.register_forward_pre_hook(
        lambda _model, _args, given: backbone.ran.append(len(given["input_ids"])), with_kwargs=True
    )
    return StateCache(backbone, table(backbone, texts), level, 1)


PLAIN = tiny_backbone("BERT")


def expected(cache, row):
    ids, _, _ = cache.texts.pad(np.array([row]))  # of one text: nothing is padded
    return plain(tuple(ids[0].tolist()), cache.level)


@functools.cache
def plain(tokens, level):
    ids = torch.tensor([tokens])
    mask, types = torch.ones_like(ids), torch.zeros_like(ids)
    with torch.no_grad():
        if level == "pooled":
            return PLAIN.pooled_layers(ids, mask, types)[0]
        return PLAIN.run(ids, mask, types, stop=1)[0]


def assert_right(cache, rows=None, atol=1e-5):
    """The states of several rows (default: all) at once, and of single ones."""
    rows = np.arange(len(TEXTS)) if rows is None else np.array(rows)
    together, lengths = cache.states(rows), cache.texts.lengths
    for n, row in enumerate(rows):
        found = together[n] if cache.level == "pooled" else together[n, : lengths[row]]
        torch.testing.assert_close(found, expected(cache, row), atol=atol, rtol=0)
        assert torch.isfinite(together[n]).all()
        torch.testing.assert_close(cache.states(rows[n : n + 1])[0], found, atol=1e-6, rtol=0)


def key_folder(root):
    (only,) = root.iterdir()
    return only


@pytest.fixture
def no_memory(monkeypatch):
    """Memory never has room for states."""
    monkeypatch.setattr(states, "free_main_memory_mb", lambda: 0.0)


@pytest.mark.parametrize("level", LEVELS)
def test_states_are_the_backbones_states_and_computed_once(level):
    cache = made(level)
    cache.update()
    assert sum(cache.backbone.ran) == len(TEXTS)
    assert_right(cache)
    assert_right(cache, [7, 3, 59, 3])
    cache.update()
    assert sum(cache.backbone.ran) == len(TEXTS)


@pytest.mark.parametrize("level", LEVELS)
def test_only_rows_that_are_asked_for_are_computed(level):
    cache = made(level)
    cache.update(np.array([5, 2, 9, 2]))
    assert sum(cache.backbone.ran) == 3
    assert_right(cache, [2, 5, 9])
    cache.update(np.array([2, 30]))
    assert sum(cache.backbone.ran) == 4
    assert_right(cache, [30, 9, 2])
    assert sum(cache.backbone.ran) == 4
    assert_right(cache, [9, 41])  # never asked for: computed when needed, each time
    assert sum(cache.backbone.ran) == 6


@pytest.mark.parametrize("level", LEVELS)
def test_texts_added_later_are_computed_and_nothing_else(level):
    cache = made(level)
    cache.update()
    before = cache.states(np.arange(60)).clone()
    cache.texts.add("w99 w98")
    cache.texts.tokenize(cache.backbone.tokenizer, 32, 0)
    cache.update()
    cache.update()
    assert sum(cache.backbone.ran) == 61
    assert torch.equal(cache.states(np.arange(60)), before)
    assert_right(cache, [60, 1])


def test_all_rows_in_order_are_not_copied():
    cache = made("pooled")
    cache.update()
    one, two = cache.states(np.arange(60)), cache.states(np.arange(10, 20))
    assert one.untyped_storage().data_ptr() == two.untyped_storage().data_ptr()


@pytest.mark.parametrize("level", LEVELS)
def test_a_second_run_computes_nothing_and_reads_the_same(level, root):
    first, second = made(level), made(level)
    first.update(disk=True)
    second.update(disk=True)
    assert sum(second.backbone.ran) == 0
    assert torch.equal(second.states(np.arange(60)), first.states(np.arange(60)))
    assert len(second.missing(np.arange(60))) == 0


def test_without_disk_nothing_is_written(root):
    made().update()
    assert not root.exists()


@pytest.mark.parametrize("level", LEVELS)
def test_another_table_over_the_same_texts_shares_and_new_texts_are_added(level):
    made(level).update(disk=True)
    mixed = [*reversed(TEXTS), "w90 w1", "w91"]
    second = made(level, mixed)
    assert second.missing(np.arange(62)).tolist() == [60, 61]
    second.update(disk=True)
    assert sum(second.backbone.ran) == 2
    for n in (0, 13, 59, 60, 61):
        found = second.states(np.array([n]))[0]
        torch.testing.assert_close(found, expected(second, n), atol=1e-5, rtol=0)
    third = made(level, mixed)
    third.update(disk=True)
    assert sum(third.backbone.ran) == 0


def test_other_levels_and_layers_miss(root):
    made("layer").update(disk=True)
    made("pooled").update(disk=True)
    assert len(list(root.iterdir())) == 2


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("before", "after"), [(32, 8), (8, 32)])
def test_another_max_length_computes_only_the_texts_that_it_cuts_otherwise(root, level, before, after):
    first, second = made(level, max_length=before), made(level, max_length=after)
    first.update(disk=True)
    lengths = table(PLAIN).lengths  # cut nowhere
    other, same = np.flatnonzero(lengths > 8), np.flatnonzero(lengths <= 8)
    assert 0 < len(other) < 60
    assert second.missing(np.arange(60)).tolist() == other.tolist()
    second.update(disk=True)
    assert sum(second.backbone.ran) == len(other)
    for row in same:
        assert torch.equal(second.states(np.array([row])), first.states(np.array([row])))
    assert_right(second)
    assert len(list(root.iterdir())) == 1


def test_texts_of_requests_are_read_from_disk_but_not_written(root):
    made(texts=[*TEXTS, "w77 w78"]).update(disk=True)
    cache = made()
    cache.update(disk=True)
    size = sum(f.stat().st_size for f in key_folder(root).iterdir())
    for text in ("w77 w78", "w55 w56"):
        cache.texts.add(text)
    cache.texts.tokenize(cache.backbone.tokenizer, 32, 0)
    cache.update(disk=True)
    assert sum(cache.backbone.ran) == 1
    assert_right(cache, [60, 61])
    assert sum(f.stat().st_size for f in key_folder(root).iterdir()) == size


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("kind", ["states", "index", "cut states", "cut index", "nan"])
def test_damage_is_found_said_and_repaired(level, mapped, kind, root, monkeypatch, notes):
    first = made(level, TEXTS[1:] if kind == "nan" else TEXTS)
    first.update(disk=True)
    path = key_folder(root) / kind.split()[-1].replace("nan", "states")
    size = path.stat().st_size
    if kind.startswith("cut"):
        os.truncate(path, size * 2 // 3)
    elif kind == "nan":  # written by some process as if it were right
        texts, store = table(first.backbone), first._disk._store
        digests, units = texts.digests(np.array([0])), np.array([texts.lengths[0] if level == "layer" else 1])
        store.append(digests, units, np.full((units[0], store.unit_bytes), 255, np.uint8))
    else:
        with path.open("r+b") as file:
            file.seek(size // 2)
            byte = file.read(1)[0]
            file.seek(size // 2)
            file.write(bytes([byte ^ 16]))
    if mapped:
        monkeypatch.setattr(states, "free_main_memory_mb", lambda: 0.0)
    notes.readouterr()
    second = made(level)
    second.update(disk=True)
    assert_right(second)
    assert 0 < sum(second.backbone.ran) < 60
    if kind in ("states", "nan"):
        assert sum(second.backbone.ran) == 1
        assert "1 texts are damaged in the cache" in notes.readouterr().err
    third = made(level)
    third.update(disk=True)
    assert_right(third)
    assert sum(third.backbone.ran) == 0


@pytest.mark.parametrize("level", LEVELS)
def test_without_room_in_memory_the_disk_is_mapped(level, root, no_memory):
    cache = made(level)
    cache.update(disk=True)
    assert sum(cache.backbone.ran) == 60
    assert cache._memory.nbytes == 0
    assert_right(cache)
    assert_right(cache, [50, 3, 3])
    assert sum(cache.backbone.ran) == 60
    again = made(level)
    again.update(disk=True)
    assert_right(again)
    assert sum(again.backbone.ran) == 0


def test_texts_of_requests_join_a_mapped_cache_in_memory(root, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(states, "free_main_memory_mb", lambda: 0.0)
        cache = made()
        cache.update(disk=True)
    cache.texts.add("w88 w87")
    cache.texts.tokenize(cache.backbone.tokenizer, 32, 0)
    cache.update(disk=True)
    assert_right(cache, [0, 60, 5])
    assert sum(cache.backbone.ran) == 61


@pytest.mark.parametrize("level", LEVELS)
def test_without_memory_and_disk_states_are_computed_whenever_needed(level, no_memory, notes):
    cache = made(level)
    cache.update()
    cache.update()
    assert sum(cache.backbone.ran) == 0
    assert notes.readouterr().err.count("neither memory nor disk has room") == 1
    assert_right(cache, [1, 2])


def test_a_full_disk_loses_nothing(root, notes):
    import resource

    cache = made()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        cache.update(disk=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "is not written to: [Errno 27] File too large" in notes.readouterr().err
    assert_right(cache)
    assert sum(cache.backbone.ran) == 60
    after = made()
    after.update(disk=True)
    assert_right(after)


def test_a_disk_that_fills_up_while_memory_has_no_room(root, monkeypatch, no_memory, notes):
    monkeypatch.setattr(states, "TOKEN_BUDGET", 64)
    monkeypatch.setattr(disk, "APPEND_BYTES", 1)
    cache = made()
    append, calls = disk.Store.append, []

    def full(store, *given):
        calls.append(1)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        return append(store, *given)

    monkeypatch.setattr(disk.Store, "append", full)
    cache.update(disk=True)
    said = notes.readouterr().err
    assert said.count("No space left on device") == 1
    assert said.count("neither memory nor disk") == 1
    assert 0 < sum(cache.backbone.ran) < 60
    assert_right(cache)


def test_a_folder_that_cannot_be_written_is_done_without(root, notes):
    made().update(disk=True)
    key = key_folder(root)
    shutil.rmtree(key)
    key.write_text("a file where the folder should be")
    cache = made()
    cache.update(disk=True)
    assert "no cache on disk: " in notes.readouterr().err
    assert_right(cache)


def someone_elses(root, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: root.stat().st_uid + 1)


def linked(name):
    def link(root, monkeypatch):
        file = key_folder(root) / name
        file.unlink()
        file.symlink_to(root.parent / "victim")

    return link


def held(root, monkeypatch):
    import fcntl
    import gc

    gc.collect()  # the cache that wrote lets go
    monkeypatch.setattr("peftrec.model.cache.owned.LOCK_SECONDS", 0.0)
    use = (key_folder(root) / "use").open("rb")
    fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
    monkeypatch.setattr("peftrec.model.cache.owned.held", use, raising=False)  # open until the test ends


REFUSED = {
    "someone else's": (someone_elses, "belongs to user"),
    "linked states": (linked("states"), "states is a link"),
    "linked index": (linked("index"), "index is a link"),
    "linked use": (linked("use"), "use is a link"),
    "held": (held, "another process has held"),
    "unreadable": (lambda root, monkeypatch: monkeypatch.setattr("os.open", fail), "no luck"),
}


def fail(*_given, **_named):
    raise PermissionError(13, "no luck")


@pytest.mark.parametrize(("happens", "said"), REFUSED.values(), ids=REFUSED)
def test_a_cache_that_is_refused_is_said_once_and_done_without(root, monkeypatch, notes, happens, said):
    made(texts=TEXTS[:5]).update(disk=True)
    (root.parent / "victim").write_text("mine")
    happens(root, monkeypatch)
    cache = made()
    assert len(cache.missing(np.arange(60))) == 60
    cache.update(np.arange(30), disk=True)
    cache.update(disk=True)
    lines = [line for line in notes.readouterr().err.splitlines() if "cache" in line]
    assert len(lines) == 1 and "no cache on disk: " in lines[0] and said in lines[0]
    assert_right(cache)
    assert (root.parent / "victim").read_text() == "mine"


def test_an_index_that_is_cut_off_meanwhile_is_said_once_and_nothing_lost(root, notes):
    cache = made()
    cache.update(np.arange(20), disk=True)
    os.truncate(key_folder(root) / "index", 0)
    cache.update(np.arange(40), disk=True)
    cache.update(disk=True)
    cache._disk.refresh()
    assert notes.readouterr().err.count("index has been cut off") == 1
    assert_right(cache)


def test_without_room_under_the_limit_nothing_is_written(root, monkeypatch, notes):
    monkeypatch.setenv("PEFTREC_CACHE_GB", "0.000001")
    cache = made()
    cache.update(disk=True)
    assert "limit of 1e-06 GB" in notes.readouterr().err
    assert (key_folder(root) / "states").stat().st_size == 0
    assert_right(cache)


def test_older_keys_go_when_a_new_one_needs_their_room(root, monkeypatch):
    import gc

    cache = made("pooled")
    cache.update(disk=True)
    del cache
    gc.collect()
    (old,) = folder.list_keys()
    monkeypatch.setenv("PEFTREC_CACHE_GB", str(old.bytes * 1.2 / 1e9))
    made("layer", TEXTS[:20]).update(disk=True)
    assert [key.what["level"] for key in folder.list_keys()] == ["layer"]


def test_an_interruption_keeps_what_is_done(root, monkeypatch):
    monkeypatch.setattr(states, "TOKEN_BUDGET", 64)
    cache = made()

    def interrupted(groups, total, what):
        assert (total, what) == (60, "frozen part, layer states")
        yield from groups[:4]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.update(track=interrupted, disk=True)
    done = sum(cache.backbone.ran)
    assert 0 < done < 60
    cache.update()  # the same process may go on, too
    assert sum(cache.backbone.ran) == 60
    assert_right(cache)
    again = made()
    again.update(disk=True)
    assert sum(again.backbone.ran) <= 60 - done


SCRIPT = textwrap.dedent("""
    import os, signal, sys
    sys.path.insert(0, sys.argv[1])
    from test_states import disk, made, states

    def begin(*_):
        print(len(cache.backbone.ran), flush=True)
        sys.stdin.readline()
        if len(cache.backbone.ran) == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

    states.TOKEN_BUDGET, disk.APPEND_BYTES, os.fsync = 64, 1, lambda file: None
    cache = made()
    cache.backbone.model.register_forward_pre_hook(begin)
    cache.update(disk=True)
""")


def started(folder, die_at):
    """A process that builds the cache, batch by batch: it tells each, and waits for a line or the end of its stdin."""
    (folder / "build.py").write_text(SCRIPT)
    return warm.Started(folder / "build.py", os.path.dirname(__file__), die_at)


def test_what_a_killed_process_had_done_is_not_done_again(root, tmp_path):
    killed = started(tmp_path, 5).communicate()
    assert (killed.stdout, killed.stderr) == ("1\n2\n3\n4\n5\n", "")
    assert killed.returncode == -signal.SIGKILL
    cache = made()
    cache.update(disk=True)
    assert 0 < sum(cache.backbone.ran) < 55
    assert_right(cache)


def test_two_processes_build_at_once(root, monkeypatch, tmp_path):
    monkeypatch.setattr(states, "TOKEN_BUDGET", 64)
    monkeypatch.setattr(disk, "APPEND_BYTES", 1)
    cache = made()
    other = started(tmp_path, 0)
    assert other.stdout.readline() == "1\n"
    cache.backbone.model.register_forward_pre_hook(lambda *_: other.stdin.close())  # both have looked, and both go on
    cache.update(disk=True)
    assert sum(cache.backbone.ran) == 60
    ended = other.communicate()
    assert (ended.stderr, ended.returncode) == ("", 0)
    again = made()
    again.update(disk=True)
    assert sum(again.backbone.ran) == 0
    assert_right(again)
    (only,) = folder.list_keys()
    assert only.texts == 60


@pytest.mark.parametrize(("stored", "atol"), [("fp32", 1e-5), ("fp16", 2e-3), ("bf16", 2e-2)])
@pytest.mark.parametrize("level", LEVELS)
def test_storage_in_sixteen_bits_takes_half_and_is_nearly_the_same(level, stored, atol):
    for _ in range(2):
        cache = made(level, cache_dtype=stored)
        cache.update(disk=True)
        assert_right(cache, range(10), atol=atol)
        assert cache.states(np.arange(3)).dtype == torch.float32
    full = made(level)
    assert cache.bytes(np.arange(60)) * (1 if stored == "fp32" else 2) == full.bytes(np.arange(60))
    assert sum(cache.backbone.ran) == 0


def test_states_that_are_no_numbers_are_refused(root):
    cache = made()
    with torch.no_grad():
        cache.backbone.model.embeddings.word_embeddings.weight[50] = torch.inf
    with pytest.raises(UserError, match=r"backbone.dtype: float32 does not hold the states of the text 'w.*choose"):
        cache.update(disk=True)
    fine = made(cache_dtype="fp16")
    fine.backbone.model.encoder.layer[0].output.LayerNorm.weight.data.mul_(1e6)
    with pytest.raises(UserError, match=r"backbone.cache_dtype: float16 does not hold"):
        fine.update()


def test_a_line_says_what_there_is_to_do(root, notes):
    made(texts=TEXTS[:50]).update(disk=True)
    cache = made()
    cache.update(track=lambda groups, total, what: groups, disk=True)
    said = notes.readouterr().err
    assert "frozen part, layer states of 60 texts: 0.1 MB in memory; 50 from the cache" in said
    assert "10 to compute" in said


def test_the_time_to_build_is_estimated(root):
    cache = made()
    assert cache.build_seconds(np.zeros(0, np.int64)) == 0
    assert 0 < cache.build_seconds(np.arange(60)) < 10
    assert len(cache.missing(np.arange(60))) == 60
    assert not root.exists()  # asking makes nothing


def add(cache, *texts):
    rows = [cache.texts.add(text) for text in texts]
    cache.texts.tokenize(cache.backbone.tokenizer, 32, 0)
    return np.array(rows)


@pytest.mark.parametrize("level", LEVELS)
def test_guests_that_are_kept_are_not_computed_again_and_the_others_are(level):
    cache = made(level)
    guests = add(cache, "w90 w1 w2", "w91", "w92 w3 w4 w5", "w93 w6")
    cache.update(guests)
    cache.update()  # the own ones after them
    before, memory = cache.states(np.arange(60)), cache._memory
    kept = [cache.states(guests[n : n + 1]) for n in (1, 2)]
    cache.keep_guests(guests[1:3])
    cache.texts.keep_guests(guests[1:3])
    assert sum(cache.backbone.ran) == 64
    assert [torch.equal(cache.states(np.array([60 + n])), states) for n, states in enumerate(kept)] == [True, True]
    assert torch.equal(cache.states(np.arange(60)), before)
    assert cache._memory is memory
    assert_right(cache, [61, 5, 60])
    assert sum(cache.backbone.ran) == 64
    rows = add(cache, "w93 w6", "w91", "w90 w1 w2")
    assert rows.tolist() == [62, 60, 63]
    cache.update(rows)
    assert sum(cache.backbone.ran) == 66
    assert_right(cache, [60, 61, 62, 63, 59])
    assert len(cache._guests) == 4


def test_guests_that_the_disk_has_are_found_there_again_under_another_row(root, no_memory):
    made(texts=[*TEXTS, "w77 w78", "w79"]).update(disk=True)
    cache = made()
    cache.update(disk=True)
    guests = add(cache, "w77 w78", "w79")
    cache.update(guests, disk=True)
    cache.keep_guests(guests[1:])
    cache.texts.keep_guests(guests[1:])
    assert cache.texts.texts[60:] == ["w79"]
    assert_right(cache, [60, 1])
    assert sum(cache.backbone.ran) == 0


@pytest.mark.parametrize("level", LEVELS)
def test_a_table_without_rows_of_its_own_has_guests_only(level):
    cache = made(level, texts=[])
    guests = add(cache, *TEXTS)
    cache.update(guests)
    assert_right(cache)
    assert sum(cache.backbone.ran) == 60
    cache.keep_guests(guests[:0])
    cache.texts.keep_guests(guests[:0])
    assert (len(cache.texts), len(cache.texts.ids), cache._guests) == (0, 0, {})
