"""Alarms to an address: one POST each, over http or https, following nowhere."""

import json
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from peftrec.errors import UserError
from peftrec.machine.progress import note

TIMEOUT = 5.0  # seconds


class _Nowhere(HTTPRedirectHandler):
    """An answer that names another address, which might be a file or inside the network, is a failure."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Webhook:
    """An address that is told of alarms. What goes wrong is noted and ends nothing; the lines on stdout have it all."""

    def __init__(self, url: str) -> None:
        """Raises UserError where the address is none of http or https."""
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:  # a port that is no number
            valid = False
        if not valid:
            raise UserError(f"--webhook must be an address that begins with https:// or http://; found {url!r}")
        self._url, self._shown = url, f"{parts.scheme}://{parts.hostname}"  # what follows may be a secret
        self._opener = build_opener(_Nowhere)

    def post(self, alarm: dict[str, Any]) -> bool:
        """Send one alarm as JSON; whether it was taken (a status of 200 to 299)."""
        headers = {"Content-Type": "application/json"}
        try:
            request = Request(self._url, json.dumps(alarm).encode(), headers, method="POST")
            with self._opener.open(request, timeout=TIMEOUT):
                return True
        except HTTPError as error:
            said = f"it answered status {error.code}"
        except (OSError, HTTPException, ValueError) as error:
            said = str(error)
        note(f"webhook {self._shown}: the alarm of {alarm['window']}, {alarm['topic']!r}, was not taken: {said}")
        return False
