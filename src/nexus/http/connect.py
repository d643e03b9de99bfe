"""From an origin to a connection that is ready for a request."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, cast

from nexus.domain import Origin
from nexus.errors import ConnectRefused, ConnectTimeout, TlsFailure, UpstreamError
from nexus.http.limits import UpstreamLimits
from nexus.http.metadata import is_metadata_address
from nexus.http.proxy import Proxies, Proxy, tunnel
from nexus.http.race import Race
from nexus.http.resolve import Resolver, interleave
from nexus.http.sockets import OpenSockets
from nexus.http.tls import TlsContexts, server_name
from nexus.http.upstream_connection import UpstreamConnection
from nexus.tasks import Clock

if TYPE_CHECKING:
    from nexus.http.client import HttpClient


class Connector:
    """Resolves, connects, passes a proxy and shakes hands, all within one time budget.

    Args:
        clock: given to the connections.
        limits: given to the connections.
        resolver: finds addresses.
        proxies: says which origins need a tunnel.
        sockets: counts every socket from its making on.
    """

    __slots__ = ("_clock", "_contexts", "_limits", "_proxies", "_resolver", "_sockets")

    def __init__(
        self,
        clock: Clock,
        limits: UpstreamLimits,
        resolver: Resolver,
        proxies: Proxies,
        sockets: OpenSockets,
    ) -> None:
        self._clock = clock
        self._limits = limits
        self._resolver = resolver
        self._proxies = proxies
        self._sockets = sockets
        self._contexts = TlsContexts()

    async def connect(self, origin: Origin, owner: HttpClient, seconds: float) -> UpstreamConnection:
        """Return a new connection to ``origin``.

        Args:
            origin: where to.
            owner: of the connection from now on.
            seconds: for all of it; 0 for as long as the system takes.

        Raises:
            ConnectRefused: nobody listens, the name is unknown or leads to a cloud's metadata
                service, or the proxy declined.
            ConnectTimeout: the time was up, or this machine could open no socket.
            TlsFailure: no handshake, or a certificate that does not hold.
        """
        try:
            async with asyncio.timeout(seconds or None):
                context = await self._contexts.get(origin.tls) if origin.scheme == "https" else None
                proxy = self._proxies.for_origin(origin)
                sock = await self._reach(origin, proxy)
                return await self._attach(sock, origin, owner, context, proxy)
        except TimeoutError as error:
            raise ConnectTimeout(f"{origin} did not accept a connection within {seconds:g} s") from error

    async def _reach(self, origin: Origin, proxy: Proxy | None) -> socket.socket:
        host, port = (origin.host, origin.port) if proxy is None else (proxy.host, proxy.port)
        if is_metadata_address(origin.host):
            raise _metadata(origin.host)
        try:
            addresses = interleave(await self._resolver.resolve(host, port))
        except OSError as error:
            raise ConnectRefused(f"{host} has no address: {error}") from error
        if not addresses:
            raise ConnectRefused(f"{host} has no address")
        # Now, with the very addresses that are connected to: an earlier look-up proves nothing.
        if any(is_metadata_address(str(address.target[0])) for address in addresses):
            raise _metadata(host)
        return await Race(addresses, self._limits.happy_eyeballs_seconds, self._sockets).run()

    async def _attach(
        self,
        sock: socket.socket,
        origin: Origin,
        owner: HttpClient,
        context: ssl.SSLContext | None,
        proxy: Proxy | None,
    ) -> UpstreamConnection:
        """Put a connection onto ``sock``, which is closed in every case of failure."""
        connection = UpstreamConnection(origin, owner, self._clock, self._limits)
        try:
            if proxy is not None:
                await tunnel(sock, proxy, origin)
            name = None if context is None else server_name(origin)
            loop = asyncio.get_running_loop()
            # It has all of a protocol's methods; as its base class it would only cost.
            protocol = cast("asyncio.Protocol", connection)
            await loop.create_connection(lambda: protocol, sock=sock, ssl=context, server_hostname=name)
        except BaseException as error:
            if connection.abandon():
                sock.close()
            else:
                self._sockets.close(sock)
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise _explained(origin, error) from error
            raise
        return connection


def _metadata(host: str) -> ConnectRefused:
    return ConnectRefused(f"{host} leads to a cloud's metadata service, which is never connected to")


def _explained(origin: Origin, error: OSError) -> UpstreamError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsFailure(f"the certificate of {origin} does not hold: {error.verify_message}")
    return TlsFailure(f"no TLS handshake with {origin}: {error}")
