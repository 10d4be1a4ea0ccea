"""Who may ask: keys, of which only SHA-256 digests are kept, each with its tasks and its rate.

A file of keys, YAML or JSON:

    keys:
      - {name: shop, sha256: <64 hexadecimal digits>, tasks: [interest, next], rate: 100/second}
      - {name: operator, sha256: <...>, admin: true}

`printf %s KEY | sha256sum` makes a digest. `tasks`: all where absent; `rate`: none where absent. The file is read again
when it changes.
"""

import hashlib
import hmac
import ipaddress
import logging
import math
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from peftrec.errors import UserError, shown
from peftrec.recipe import read_yaml
from peftrec.serving.service.errors import Refusal

FILE, ONE = "PEFTREC_KEYS_FILE", "PEFTREC_KEY"  # variables: a file of keys, one key for everything but administration
LOOK = 1.0  # seconds after which it is looked whether the file changed
_log = logging.getLogger("peftrec.serving.service")


class Key(BaseModel):
    """One who may ask."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(min_length=1, max_length=100, description="whose it is: logs have it")
    sha256: str = Field(pattern="^[0-9a-fA-F]{64}$", description="digest of the key")
    tasks: list[str] | None = Field(None, description="the tasks that it may ask; absent: all")
    rate: str | None = Field(None, description="requests at most, such as 100/second; absent: any number")
    admin: bool = Field(False, description="whether it may load and unload runs")

    @field_validator("rate")
    @classmethod
    def _rate(cls, value: str | None) -> str | None:
        if value is not None:
            parse(value)  # raises ValueError
        return value

    @property
    def limit(self) -> RateLimitItem | None:
        """The rate as `limits` takes it."""
        return None if self.rate is None else parse(self.rate)

    def may(self, task: str) -> bool:
        """Whether it may ask a task."""
        return self.tasks is None or task in self.tasks


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    keys: list[Key] = Field(min_length=1)


ANYONE = Key(name="anyone", sha256="0" * 64)  # where no keys are asked for


class Keys:
    """The keys of a file, or the one of a variable; of neither: anyone may ask, and nobody administer."""

    def __init__(self, file: Path | None = None, one: str | None = None) -> None:
        self.file = file
        self._one = [] if one is None else [Key(name=ONE, sha256=_digest(one))]
        self._keys = self._one
        self._state: tuple[int, ...] | None = None
        self._looked = 0.0
        self._alone = threading.Lock()
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        if file is not None:
            self._state = _state(file)
            self._keys = self._one + read_keys(file)

    @classmethod
    def given(cls, file: Path | None, environment: Mapping[str, str]) -> "Keys":
        """By the option `--keys`, or else by the variables. Raises UserError for a file that is wrong."""
        named = environment.get(FILE)
        return cls(file or (Path(named) if named else None), environment.get(ONE) or None)

    @property
    def required(self) -> bool:
        """Whether who asks needs a key."""
        return self.file is not None or bool(self._one)

    def admit(self, header: str | None) -> Key:
        """The key of an `Authorization` header, which is counted against its rate.

        Raises Refusal: 401 without a key that is known, 429 for one that has asked too often.
        """
        if not self.required:
            return ANYONE
        key = self._known(header)
        limit = key.limit
        if limit is not None and not self._limiter.hit(limit, key.name):
            reset = self._limiter.get_window_stats(limit, key.name).reset_time
            wait = max(1, math.ceil(reset - time.time()))
            raise Refusal(429, f"more than {key.rate} of key {key.name!r}", headers={"Retry-After": str(wait)})
        return key

    def check_host(self, host: str | None) -> None:
        """Raise Refusal, 403, where no keys are asked for and the request names a host that is not this machine's own:

        a page of a stranger's, in a browser here, may have its own name lead here, and would read the answers.
        """
        if not self.required and not is_local(host or ""):
            raise Refusal(403, "without keys only localhost is answered; start the service with --keys FILE")

    def administers(self, key: Key) -> None:
        """Raise Refusal, 403, where a key may not load and unload runs."""
        if not key.admin:
            how = "" if self.required else "; start the service with --keys FILE that has one"
            raise Refusal(403, f"only a key with admin: true loads and unloads runs{how}")

    def _known(self, header: str | None) -> Key:
        scheme, _, given = (header or "").partition(" ")
        found, digest = None, _digest(given.strip())
        for key in self._current():  # each is compared, in a time that tells nothing
            if hmac.compare_digest(digest, key.sha256.lower()):
                found = key
        if found is None or scheme.lower() != "bearer":
            said = "a key is missing: Authorization: Bearer KEY" if not header else "the key is not known"
            raise Refusal(401, said, headers={"WWW-Authenticate": "Bearer"})
        return found

    def _current(self) -> list[Key]:
        """The keys, read again where their file changed; one that is wrong leaves those that were."""
        with self._alone:
            now = time.monotonic()
            if self.file is not None and now - self._looked >= LOOK:
                self._looked = now
                if (state := _state(self.file)) != self._state:
                    self._state = state
                    try:
                        self._keys = self._one + read_keys(self.file)
                        _log.info("keys", extra={"of": {"keys": len(self._keys)}})
                    except UserError as error:
                        _log.error("keys", extra={"of": {"error": f"the keys stay as they were: {error}"}})
            return self._keys


def is_local(host: str) -> bool:
    """Whether a name or address is of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_keys(file: Path) -> list[Key]:
    """The keys of a file. Raises UserError naming key, rule and value found; no digest is repeated."""
    try:
        found = _File.model_validate(read_yaml(file)).keys
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        held = "" if "sha256" in first["loc"] else f"; found {shown(first['input'])}"
        raise UserError(f"{file}: {place}: {first['msg']}{held}; see the guide on serving") from None
    for name in ("name", "sha256"):
        values = [getattr(key, name).lower() for key in found]
        if len(set(values)) < len(values):
            raise UserError(f"{file}: keys: two have the same {name}")
    return found


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _state(file: Path) -> tuple[int, ...] | None:
    """What changes with a file; None where it is not there."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
