"""The file of feedback: a line an event, appended whole, whoever else appends."""

import hashlib
import json
import threading

import pytest

from peftrec.errors import UserError
from peftrec.machine.jsonl import read_objects
from peftrec.serving.live import LiveEvent
from peftrec.serving.service.feedback_file import FeedbackFile, line_of
from peftrec.serving.service.masking import mask


def test_lines_are_rows_of_an_events_table():
    event = LiveEvent("7", "i1", 10.5, "plays", {"rating": 4.0})
    assert line_of(event, mask) == {"user": "7", "item": "i1", "time": 10.5, "table": "plays", "rating": 4.0}


def test_appending_goes_on_after_what_is_there_and_lines_stay_whole(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"user": "0", "item": "i0", "time": 1}\n')
    files = [FeedbackFile(path), FeedbackFile(path)]

    def append(file, name):
        for n in range(50):
            file.append([LiveEvent(name, f"i{n}", n), LiveEvent(name, "x" * 500, n)])

    threads = [threading.Thread(target=append, args=(files[n % 2], f"u{n}")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = list(read_objects(path).values())
    assert len(rows) == 401
    assert rows[0] == {"user": "0", "item": "i0", "time": 1}
    assert [row["item"] for row in rows if row["user"] == "u3" and row["item"] != "x" * 500] == [
        f"i{n}" for n in range(50)
    ]
    assert path.stat().st_mode & 0o777 == 0o644 or json.loads(path.read_text().splitlines()[-1])


def test_a_new_file_is_its_owner_s_alone(tmp_path):
    path = tmp_path / "events.jsonl"
    FeedbackFile(path)
    assert path.read_bytes() == b"" and path.stat().st_mode & 0o777 == 0o600


def test_where_it_cannot_be_written_is_told_at_once(tmp_path):
    with pytest.raises(UserError, match=r"no/events.jsonl: cannot be written: No such file or directory"):
        FeedbackFile(tmp_path / "no" / "events.jsonl")


def test_ids_that_are_personal_are_masked_and_stay_apart(tmp_path):
    path = tmp_path / "events.jsonl"
    FeedbackFile(path).append([LiveEvent(user, "i1", 1.0) for user in ("a@x.org", "b@x.org", "a@x.org", "u1")])
    FeedbackFile(path, lambda text: text.upper()).append([LiveEvent("ann", "i1", 1.0)])
    users = [row["user"] for row in read_objects(path).values()]
    assert users[0] == users[2] == f"[email]#{hashlib.sha256(b'a@x.org').hexdigest()[:12]}"
    assert users[1] != users[0] and users[1].startswith("[email]#")
    assert users[3:] == ["u1", f"ANN#{hashlib.sha256(b'ann').hexdigest()[:12]}"]
