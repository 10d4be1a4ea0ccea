"""Alarms posted to an address of this machine; failures are noted and end nothing."""

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from peftrec.errors import UserError
from peftrec.serving.monitor import webhook
from peftrec.serving.monitor.webhook import Webhook

ALARM = {"window": "2026-05-01T10:00:00Z", "topic": "oil", "alarm": True}


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.got.append((self.path, self.headers["Content-Type"], json.loads(body)))
            self.send_response(self.server.status)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()

        def do_GET(self):
            self.server.got.append("followed")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.got, server.status = [], 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_an_alarm_is_posted_as_json(server):
    assert Webhook(f"http://127.0.0.1:{server.server_port}/hook?key=secret").post(ALARM)
    assert server.got == [("/hook?key=secret", "application/json", ALARM)]


@pytest.mark.parametrize("status", [301, 302, 307, 404, 500])
def test_an_answer_that_is_no_success_is_noted_and_not_followed(server, status, caplog):
    server.status = status
    with caplog.at_level(logging.INFO, "peftrec"):
        assert not Webhook(f"http://127.0.0.1:{server.server_port}/secret").post(ALARM)
    assert len(server.got) == 1
    (line,) = caplog.messages
    assert line.startswith("webhook http://127.0.0.1: the alarm of 2026-05-01T10:00:00Z, 'oil', was not taken: ")
    assert line.endswith(f"it answered status {status}") and "secret" not in line


def test_nobody_there_is_noted(server, caplog):
    server.shutdown()
    server.server_close()
    with caplog.at_level(logging.INFO, "peftrec"):
        assert not Webhook(f"http://127.0.0.1:{server.server_port}/").post(ALARM)
    assert "was not taken" in caplog.text


def test_silence_ends(monkeypatch, caplog):
    monkeypatch.setattr(webhook, "TIMEOUT", 0.05)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as silent:  # listens, and never answers
        assert not Webhook(f"http://127.0.0.1:{silent.server_port}/").post(ALARM)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "https://", "a.example/x", "http://a:x/", ""])
def test_other_addresses_are_refused(url):
    with pytest.raises(UserError, match="--webhook must be an address that begins with https:// or http://; found"):
        Webhook(url)
