"""The demo's gateway: ``nexus serve`` in a process of its own, over the given servers."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import msgspec

from nexus.demo.child import Child
from nexus.errors import StartError
from nexus.tasks import Clock, SystemClock

PORT: Final = 6398
READY_SECONDS: Final = 30.0


class DemoGateway:
    """A real gateway on loopback that routes to the given servers, the first of them preferred.

    Args:
        backends: name to URL.
        port: where it listens; None for the usual port, or a free one where that is taken.

    Raises:
        StartError: the port is taken.
    """

    def __init__(self, backends: Mapping[str, str], port: int | None = None) -> None:
        self._backends = backends
        self.port = _free_port((PORT, 0) if port is None else (port,))
        self._clock: Clock = SystemClock()
        self._child: Child | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self.port

    @property
    def pid(self) -> int:
        """The process id of the running gateway."""
        if self._child is None:
            raise RuntimeError("the gateway is not running")
        return self._child.pid

    def start(self) -> None:
        """Start it and wait until its first round of health checks has ended.

        Raises:
            StartError: it ended, or was not ready in time; says why.
        """
        self._child = child = self._launched()
        deadline = self._clock.now() + READY_SECONDS
        while not self._ready():
            if child.exit_code is not None or self._clock.now() > deadline:
                reason = child.log_tail() or f"it was not ready within {READY_SECONDS:.0f} s"
                self.stop()
                raise StartError(f"The gateway did not start: {reason}")
            child.wait(0.05)

    def wait(self) -> str:
        """Wait until it ends by itself, and return what it said last."""
        if self._child is None:
            raise RuntimeError("the gateway is not running")
        self._child.wait()
        return self._child.log_tail()

    def stop(self) -> None:
        """End it and let go of everything that belongs to it."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def _launched(self) -> Child:
        # Settings of this computer's own gateway must not change what the demo shows.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
        # The configuration goes through a pipe: nothing is left behind, however the demo ends.
        reader, writer = os.pipe()
        try:
            os.write(writer, self._configuration().encode())
            os.close(writer)
            arguments = ["serve", "--config", f"/dev/fd/{reader}"]
            return Child("nexus.demo.leashed", arguments, environ=environ, inherited=(reader,))
        finally:
            os.close(reader)

    def _configuration(self) -> str:
        # The order of preference makes the show the same each time: the backend that is killed is the
        # one that the next question would go to.
        tables = [
            f'[[backends]]\nname = "{name}"\nurl = "{url}"\npriority = {10 * number}\n'
            for number, (name, url) in enumerate(self._backends.items(), 1)
        ]
        own = f'[server]\nport = {self.port}\n[discovery]\nenabled = false\n[logging]\nlevel = "warning"\n'
        # Backends that this computer's own gateway keeps belong to its administration.
        own += "[admin]\nenabled = false\n"
        return own + "".join(tables)

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection(*self.address, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            if connection.getresponse().status != 200:
                return False
            connection.close()
            connection.request("GET", "/health")
            health = msgspec.json.decode(connection.getresponse().read())
            return bool(health["backends"]["healthy"] == len(self._backends))
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _free_port(candidates: tuple[int, ...]) -> int:
    # Asked beforehand, or another server on that port could be taken for this gateway.
    for port in candidates:
        try:
            with socket.create_server(("127.0.0.1", port)) as probe:
                return int(probe.getsockname()[1])
        except OSError:
            continue
    raise StartError(f"Port {candidates[0]} on 127.0.0.1 is in use: choose another with --port")
