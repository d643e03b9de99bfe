"""What moves in a running Nexus, read as server-sent events.

The wire is the HTML standard's event stream
(https://html.spec.whatwg.org/multipage/server-sent-events.html), as Nexus itself writes it.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any, Final, NamedTuple

from nexus.cli.remote import MAX_BYTES, Server, Unanswered

CONNECT_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 40.0
"""Nexus says something every 15 s: who is silent for longer is gone."""
RETRY_SECONDS: Final = 2.0
_KIND: Final = "text/event-stream"
BEGUN: Final = ""
"""The name of what comes first: the stream is open, and what happens from now on will be in it."""


class Event(NamedTuple):
    """One event; ``data`` is empty for :data:`BEGUN`."""

    name: str
    data: dict[str, Any]


class EventStream:
    """One stream of events, which may be read anew when it broke.

    Args:
        server: who is asked.
        path: what for.
    """

    def __init__(self, server: Server, path: str) -> None:
        self._server = server._replace(timeout=CONNECT_SECONDS)
        self._path = path
        self._socket: socket.socket | None = None
        self._closed = threading.Event()

    def follow(self) -> Iterator[Event | Unanswered]:
        """Yield events until :meth:`close`; what interrupts them is yielded, and then it goes on."""
        while not self._closed.is_set():
            try:
                yield from self.events()
            except Unanswered as error:
                if not self._closed.is_set():
                    yield error
            self._closed.wait(RETRY_SECONDS)

    def events(self) -> Iterator[Event]:
        """Yield events until the stream breaks.

        Raises:
            Unanswered: it cannot be had, or it broke.
        """
        connection = self._server.connection()
        with ExitStack() as open_:
            open_.enter_context(closing(connection))
            with self._server.explained():
                connection.request("GET", self._path, headers=self._server.headers(_KIND))
                self._socket = connection.sock
                # In this order, so that who closes meanwhile finds either the socket or is found here.
                if self._closed.is_set():
                    return
                response = open_.enter_context(closing(connection.getresponse()))
                if response.status != 200:
                    self._server.read(response.status, response.read(MAX_BYTES))
                if response.getheader("Content-Type", "").partition(";")[0] != _KIND:
                    raise self._server.not_nexus()
            try:
                self._socket.settimeout(SILENT_SECONDS)
                yield from _parsed(response)
            except (OSError, http.client.HTTPException, ValueError):
                pass
        raise Unanswered(f"The connection to {self._server.name} was lost.")

    def close(self) -> None:
        """End the reading, also that of another thread."""
        self._closed.set()
        if self._socket is not None:
            # Of the socket itself: TLS would take its own part away under the reader.
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _parsed(response: http.client.HTTPResponse) -> Iterator[Event]:
    name, data = BEGUN, "{}"
    while line := response.readline(MAX_BYTES):
        field, _, value = line.decode().rstrip("\r\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data = value
        elif not field and not value:
            if isinstance(found := json.loads(data), dict):
                yield Event(name, found)
            name, data = "comment", "{}"
