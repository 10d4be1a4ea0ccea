"""Files and folders that are written whole or not at all."""

import json
import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from safetensors.numpy import save_file

from peftrec.errors import UserError
from peftrec.machine.files import read_json, reading, to_json, write_manifest, write_output, write_text


def test_json_is_strict_and_takes_numpy():
    value = {"a": float("nan"), "b": [np.float32(0.5), np.int64(3), -np.inf], "c": np.arange(2), 4: (True, None, "é")}
    assert json.loads(to_json(value)) == {"a": None, "b": [0.5, 3, None], "c": [0, 1], "4": [True, None, "é"]}
    assert to_json({"a": 1}, indent=None) == '{"a": 1}'


def test_text_replaces_an_existing_file_whole(tmp_path):
    file = tmp_path / "out.jsonl"
    write_text(file, "old")
    write_text(file, "new")
    assert file.read_text() == "new"
    assert os.listdir(tmp_path) == ["out.jsonl"]
    with pytest.raises(UserError, match="cannot be written: No such file or directory"):
        write_text(tmp_path / "nowhere" / "out.jsonl", "new")


def test_a_named_output_is_new_or_a_pipe_and_links_stay(tmp_path):
    file, link, pipe = tmp_path / "out.jsonl", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to("out.jsonl")
    write_output(link, "new")
    assert link.is_symlink() and file.read_text() == "new"
    for taken, message in ((file, "exists already"), (link, "exists already"), (tmp_path, "a folder")):
        with pytest.raises(UserError, match=message):
            write_output(taken, "newer")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_output(pipe, "through")
    assert os.read(reader, 99) == b"through" and pipe.is_fifo()
    os.close(reader)
    assert sorted(os.listdir(tmp_path)) == ["link", "out.jsonl", "pipe"]


def test_processes_that_write_one_text_at_once_do_not_meet(tmp_path):
    code = """
        import sys
        from pathlib import Path
        from peftrec.machine.files import write_text
        for _ in range(300):
            write_text(Path("text"), sys.argv[1] * 1000)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    both = [subprocess.Popen([*command, letter], cwd=tmp_path) for letter in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    assert (tmp_path / "text").read_text() in ("a" * 1000, "b" * 1000)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "not JSON: Expecting property name"),
        (b"\xff", "not JSON: 'utf-8' codec"),
        (b"[NaN]", "not JSON: NaN is no number of JSON's"),
        (b"[" * 65 + b"]" * 65, "not JSON: nested more than 64 deep"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "not JSON: nested more than 64 deep"),
        (b"[" * 100_000, "not JSON: nested more than 64 deep"),
        (b"1" * 5000, "not JSON: Exceeds the limit"),
    ],
)
def test_json_that_is_none_or_too_deep_is_refused(tmp_path, content, told):
    file = tmp_path / "x.json"
    file.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_json(file)
    assert str(error.value).startswith(f"{file}: {told}")


def test_json_is_read_from_files_that_fit(tmp_path, monkeypatch):
    file = tmp_path / "x.json"
    file.write_bytes(b"[" * 64 + b"]" * 64)
    assert read_json(file) == json.loads(file.read_text())
    monkeypatch.setattr("peftrec.machine.files.MOST_JSON", 100)
    with pytest.raises(UserError, match="128 bytes are too many for JSON; at most 100"):
        read_json(file)
    os.mkfifo(tmp_path / "pipe.json")
    for name, told in (("pipe.json", "no file"), ("nowhere.json", "no such file")):
        with pytest.raises(UserError, match=f"{name}: {told}$"):
            read_json(tmp_path / name)


def test_whatever_goes_wrong_in_reading_is_one_message_that_names_the_place(tmp_path):
    for error, told in (
        (KeyError("a"), f"{tmp_path}: cannot be read: KeyError: 'a'"),
        (RecursionError("deep\nand more"), f"{tmp_path}: cannot be read: RecursionError: deep"),
        (UserError("lower r"), f"{tmp_path}: lower r"),
        (UserError(f"{tmp_path / 'a'}: lower r"), f"{tmp_path / 'a'}: lower r"),
    ):
        with pytest.raises(UserError, match=f"^{re.escape(told)}$"), reading(tmp_path):
            raise error
    with pytest.raises(KeyboardInterrupt), reading(tmp_path):
        raise KeyboardInterrupt


def test_whoever_may_read_one_file_of_a_run_may_read_all(tmp_path):
    """safetensors gives its files to their owner alone."""
    run = tmp_path / "run"
    (run / "heads").mkdir(parents=True)
    save_file({"weight": np.zeros(3, np.float32)}, run / "heads" / "task.safetensors")
    (run / "heads" / "task.safetensors").chmod(0o600)
    (run / "model.json").write_text("{}")
    before = os.umask(0o027)
    try:
        write_manifest(run)
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in run.rglob("*") if file.is_file()}
    assert modes == {"task.safetensors": 0o640, "model.json": 0o640, "manifest.json": 0o640}
