"""One TCP connection out of several addresses: happy eyeballs (RFC 8305 section 5).

By hand, since uvloop has none, and on bare sockets and readiness callbacks instead of tasks:
leaving, for whatever reason, closes every losing socket before the next line runs.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Sequence

from nexus.errors import ConnectRefused, ConnectTimeout, UpstreamError
from nexus.http.resolve import Address
from nexus.http.sockets import OpenSockets

# What says "nobody listens there" rather than "something was too slow or short of resources".
_REFUSALS = frozenset(
    (
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.ENETDOWN,
        errno.EACCES,
        errno.EPERM,
        errno.EINVAL,
        errno.EAFNOSUPPORT,
        errno.EPROTONOSUPPORT,
    )
)


class Race:
    """Connects to the first of ``addresses`` that answers.

    Args:
        addresses: in the order of preference, at least one.
        step: seconds until the next one is tried beside those under way.
        sockets: counts every socket that is made here.
    """

    __slots__ = ("_errors", "_future", "_loop", "_running", "_sockets", "_step", "_timer", "_untried")

    def __init__(self, addresses: Sequence[Address], step: float, sockets: OpenSockets) -> None:
        self._untried = list(reversed(addresses))
        self._step = step
        self._sockets = sockets
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[socket.socket] = self._loop.create_future()
        self._running: dict[socket.socket, Address] = {}
        self._errors: list[tuple[Address, OSError]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> socket.socket:
        """Return the connected, non-blocking socket; it is the caller's to close.

        Raises:
            ConnectRefused: every address refused or is unreachable.
            ConnectTimeout: at least one gave up for another reason.
        """
        self._try_next()
        try:
            return await self._future
        except asyncio.CancelledError:
            if self._future.done() and not self._future.cancelled() and self._future.exception() is None:
                self._sockets.close(self._future.result())
            raise
        finally:
            self._stop()

    def _try_next(self) -> None:
        self._cancel_timer()
        while self._untried and not self._future.done():
            address = self._untried.pop()
            if self._begin(address):
                if self._untried:
                    self._timer = self._loop.call_later(self._step, self._try_next)
                return
        if not self._running and not self._future.done():
            self._future.set_exception(self._verdict())

    def _begin(self, address: Address) -> bool:
        """Start one attempt; return whether it is under way or has succeeded already."""
        try:
            sock = self._sockets.open(address.family)
        except OSError as error:
            self._errors.append((address, error))
            return False
        code = sock.connect_ex(address.target)
        if code in (0, errno.EINPROGRESS):
            self._running[sock] = address
            self._loop.add_writer(sock, self._writable, sock)
            return True
        self._errors.append((address, OSError(code, os.strerror(code))))
        self._sockets.close(sock)
        return False

    def _writable(self, sock: socket.socket) -> None:
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._loop.remove_writer(sock)
        address = self._running.pop(sock)
        if code == 0 and not self._future.done():
            self._future.set_result(sock)
            self._stop()
            return
        self._errors.append((address, OSError(code, os.strerror(code))))
        self._sockets.close(sock)
        self._try_next()

    def _stop(self) -> None:
        self._cancel_timer()
        self._untried.clear()
        for sock in self._running:
            self._loop.remove_writer(sock)
            self._sockets.close(sock)
        self._running.clear()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _verdict(self) -> UpstreamError:
        told = "; ".join(f"{address}: {error.strerror}" for address, error in self._errors)
        refused = all(_is_refusal(address, error) for address, error in self._errors)
        verdict = ConnectRefused(told) if refused else ConnectTimeout(told)
        verdict.__cause__ = self._errors[-1][1]
        return verdict


def _is_refusal(address: Address, error: OSError) -> bool:
    # For IPv6 this one means that the machine has none; for IPv4, that its ports are used up.
    no_ipv6 = error.errno == errno.EADDRNOTAVAIL and address.family == socket.AF_INET6
    return no_ipv6 or error.errno in _REFUSALS
