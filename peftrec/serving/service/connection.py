"""A connection that does not wait for ever: uvicorn's own, but ended where the head of a request does not come."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS = 10.0  # in which a request's line and headers must have come


class Connection(H11Protocol):
    """uvicorn lets a client that sends its headers letter by letter hold a connection for as long as it likes."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head that has begun, and no longer where a request is being answered."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing."""
        super().connection_lost(exc)
        self._cease()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._cease()
        elif self._late is None:
            self._late = self.loop.call_later(SECONDS, self.transport.close)

    def _cease(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
