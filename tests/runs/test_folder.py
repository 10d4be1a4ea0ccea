import errno
import os
import re
import textwrap
from pathlib import Path

import pytest
import torch
import warm
from safetensors.torch import save_file

from peftrec.errors import UserError
from peftrec.machine.files import read_json, write_json, write_output, write_text
from peftrec.runs.folder import choose_run, export_adapter, read_report, verify_run, write_run


def make_run(folder: Path) -> Path:
    with write_run(folder) as temporary:
        (temporary / "run.yaml").write_text("backbone: {name: tiny}\n")
        write_json(temporary / "report.json", {"tasks": {}, "cost": {"train_seconds": 1.5}})
        (temporary / "adapters" / "query").mkdir(parents=True)
        (temporary / "adapters" / "query" / "adapter_config.json").write_text('{"peft_type": "LORA"}')
        save_file({"weight": torch.arange(6.0)}, temporary / "adapters" / "query" / "adapter_model.safetensors")
    return folder


FILES = ["adapters/query/adapter_config.json", "adapters/query/adapter_model.safetensors", "report.json", "run.yaml"]


def test_a_run_holds_what_was_written_and_verifies(tmp_path):
    run = make_run(tmp_path / "runs" / "one")
    verify_run(run)
    assert sorted(p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()) == sorted(
        [*FILES, "manifest.json"]
    )
    assert sorted(read_json(run / "manifest.json")["files"]) == FILES
    assert os.listdir(run.parent) == ["one"]  # no temporary folder stays
    assert read_report(run)["cost"] == {"train_seconds": 1.5}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["truncated", "bit-flipped", "missing"])
def test_every_damage_to_every_file_is_found(tmp_path, name, damage):
    run = make_run(tmp_path / "one")
    file = run / name
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
        found = "missing"
    elif damage == "truncated":
        file.write_bytes(content[:-1])
        found = f"expected {len(content)} bytes, found {len(content) - 1}"
    else:
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        found = f"expected SHA-256 {read_json(run / 'manifest.json')['files'][name]['sha256']}, found "
    with pytest.raises(UserError) as error:
        verify_run(run)
    assert str(file) in str(error.value)
    assert found in str(error.value)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": 3}', '{"files": {"run.yaml": {"bytes": 1}}}'])
def test_a_damaged_manifest_is_named(tmp_path, content):
    run = make_run(tmp_path / "one")
    (run / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json: (damaged|not valid JSON)"):
        verify_run(run)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such run folder"):
        verify_run(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"not a finished run: manifest\.json is missing"):
        verify_run(tmp_path)


def test_default_names_count_up_past_what_is_taken(tmp_path):
    runs = tmp_path / "runs"
    assert choose_run("demo", runs=runs) == runs / "demo-1"
    assert not runs.exists()
    for taken in ("demo-1", "demo-10", ".demo-11.partial", "demo-x", "demo-99b", "other-50"):
        (runs / taken).mkdir(parents=True)
    assert choose_run("demo", runs=runs) == runs / "demo-12"


def test_an_existing_folder_is_never_written_over(tmp_path):
    run = make_run(tmp_path / "one")
    with pytest.raises(UserError, match="exists already"), write_run(run):
        pytest.fail("the block must not run")
    verify_run(run)


def test_a_name_being_written_is_taken(tmp_path):
    with write_run(tmp_path / "one") as temporary:
        (temporary / "a").write_text("a")
        for resume in (False, True):
            with (
                pytest.raises(UserError, match=r"\.one\.partial: exists, and another process"),
                write_run(tmp_path / "one", resume),
            ):
                pytest.fail("the block must not run")
    verify_run(tmp_path / "one")


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"one: cannot be written"), write_run(tmp_path / "file" / "one"):
        pytest.fail("the block must not run")


def test_a_folder_that_appears_meanwhile_does_not_cost_the_work(tmp_path):
    def write_while_another_appears():
        with write_run(tmp_path / "one") as temporary:
            (temporary / "a").write_text("a")
            (tmp_path / "one").mkdir()
            (tmp_path / "one" / "theirs").write_text("b")

    with pytest.raises(UserError, match=r"the finished work is in .*\.one\.partial"):
        write_while_another_appears()
    assert (tmp_path / "one" / "theirs").read_text() == "b"
    verify_run(tmp_path / ".one.partial" / "run")
    (tmp_path / "one").rename(tmp_path / "two")
    with pytest.raises(UserError, match="a finished run that was not put in its place"), write_run(tmp_path / "one"):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("error", [RuntimeError("diverged"), KeyboardInterrupt(), SystemExit(143)])
def test_failure_and_interruption_leave_nothing(tmp_path, error):
    def fail_half_way():
        with write_run(tmp_path / "one") as temporary:
            (temporary / "half").write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail_half_way()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "told"), [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "the quota is used up")]
)
def test_a_disk_that_fills_as_data_reaches_it_counts_too(tmp_path, monkeypatch, number, told):
    def full(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    told = f"{tmp_path / 'one'}: {told} after 0.0 MB; free some space, or name a folder on another disk"
    with pytest.raises(UserError, match=f"^{re.escape(told)}$"), write_run(tmp_path / "one") as temporary:
        (temporary / "a").write_text("a")
    with pytest.raises(UserError, match=os.strerror(number)):
        write_text(tmp_path / "out.jsonl", "text")
    assert os.listdir(tmp_path) == []


def test_a_read_only_disk_is_one_message(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    for name in ("write_text", "write_bytes", "unlink", "mkdir"):
        monkeypatch.setattr(Path, name, refuse)
    with pytest.raises(UserError, match=r"out\.jsonl: cannot be written: Read-only file system$"):
        write_output(tmp_path / "out.jsonl", "text")
    monkeypatch.undo()
    run = make_run(tmp_path / "one")
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match="cannot be made: Read-only file system; name another folder"):
        export_adapter(run, "query", tmp_path / "out")


def test_export_copies_a_complete_adapter_once(tmp_path):
    run = make_run(tmp_path / "one")
    output = export_adapter(run, "query", tmp_path / "out")
    assert sorted(os.listdir(output)) == ["adapter_config.json", "adapter_model.safetensors"]
    for name in os.listdir(output):
        assert (output / name).read_bytes() == (run / "adapters" / "query" / name).read_bytes()
    with pytest.raises(UserError, match="exists already"):
        export_adapter(run, "query", output)
    for unknown in ("interest", "../adapters/query", ""):
        with pytest.raises(UserError, match="tasks with one: query"):
            export_adapter(run, unknown, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_an_export_that_the_disk_has_no_room_for_leaves_nothing(tmp_path, monkeypatch):
    run = make_run(tmp_path / "one")

    def full(source, target, **_):
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(UserError, match="or name a folder on another disk"):
        export_adapter(run, "query", tmp_path / "out")
    assert os.listdir(tmp_path) == ["one"]


@pytest.mark.parametrize("config", ['{"peft_type": "PEFTREC_SIDE"}', '{"method": "side"}'])
def test_export_refuses_a_method_that_peft_lacks(tmp_path, config):
    with write_run(tmp_path / "one") as temporary:
        (temporary / "adapters" / "query").mkdir(parents=True)
        (temporary / "adapters" / "query" / "adapter_config.json").write_text(config)
    with pytest.raises(UserError, match="none of PEFT's"):
        export_adapter(tmp_path / "one", "query", tmp_path / "out")


@pytest.mark.parametrize("writer", ["text", "safetensors"])
def test_a_file_too_large_is_one_message_and_leaves_nothing(tmp_path, writer):
    script = textwrap.dedent("""
        import resource, sys
        from pathlib import Path
        import torch
        from safetensors.torch import save_file
        from peftrec.runs.folder import write_run
        from peftrec.errors import UserError
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            with write_run(Path(sys.argv[1])) as temporary:
                if sys.argv[2] == "text":
                    (temporary / "big").write_text("x" * 200_000)
                else:
                    save_file({"weight": torch.zeros(200_000)}, temporary / "big.safetensors")
        except UserError as error:
            print(error)
    """)
    (tmp_path / "large.py").write_text(script)
    done = warm.run(tmp_path / "large.py", tmp_path / "runs" / "one", writer)
    assert done.stderr == ""
    told = (
        r": the limit of a file's size is reached after 0\.[01] MB; raise it \(ulimit -f\), or name a folder on another"
    )
    assert re.fullmatch(f"{re.escape(str(tmp_path / 'runs' / 'one'))}{told} disk\n", done.stdout)
    assert os.listdir(tmp_path / "runs") == []


def test_a_full_disk_elsewhere_is_not_blamed_on_the_run(tmp_path):
    with pytest.raises(OSError, match="elsewhere"), write_run(tmp_path / "one"):
        raise OSError(28, "No space left on device", str(tmp_path / "elsewhere"))
