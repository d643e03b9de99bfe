"""``HTTPS_PROXY`` and ``NO_PROXY``: tunnels to https origins through an HTTP proxy."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import msgspec

from nexus.domain import Origin, Secret
from nexus.errors import ConfigError, ConnectRefused

_HEAD_BYTES = 16 * 1024


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy that answers ``CONNECT``.

    Attributes:
        host: name or address.
        port: 1 to 65535.
        credentials: the value of ``Proxy-Authorization``, or ``None``.
    """

    host: str
    port: int
    credentials: Secret | None = None

    def __str__(self) -> str:
        return f"proxy {self.host}:{self.port}"


class Proxies:
    """Which origins are reached through which proxy.

    Args:
        environ: ``HTTPS_PROXY`` and ``NO_PROXY`` in either case, the lower one first, as curl
            reads them. ``NO_PROXY`` lists names (their subdomains too), addresses, networks,
            each optionally with a port, or ``*``.

    Raises:
        ConfigError: the proxy's URL is not ``http://host:port``; the message never quotes it,
            since it may hold a password.
    """

    __slots__ = ("_except", "_proxy")

    def __init__(self, environ: Mapping[str, str]) -> None:
        url = environ.get("https_proxy") or environ.get("HTTPS_PROXY") or ""
        self._proxy = _parse(url.strip()) if url.strip() else None
        listed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
        self._except = tuple(entry.strip().lower() for entry in listed.split(",") if entry.strip())

    def for_origin(self, origin: Origin) -> Proxy | None:
        """The proxy for ``origin``; ``None`` for http, for this machine and for what is excepted."""
        if self._proxy is None or origin.scheme != "https":
            return None
        host = origin.host.lower().rstrip(".")
        if host == "localhost" or host.endswith(".localhost") or _is_loopback(host):
            return None
        if any(_matches(entry, host, origin.port) for entry in self._except):
            return None
        return self._proxy


async def tunnel(sock: socket.socket, proxy: Proxy, origin: Origin) -> None:
    """Have ``proxy``, at the other end of ``sock``, connect to ``origin`` (RFC 9110 9.3.6).

    Raises:
        ConnectRefused: it declined, closed, or is no proxy.
    """
    loop = asyncio.get_running_loop()
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    target = f"{host}:{origin.port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.credentials is not None:
        lines.append(f"Proxy-Authorization: {proxy.credentials.reveal()}")
    head = b""
    try:
        await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode("latin-1"))
        while b"\r\n\r\n" not in head:
            received = await loop.sock_recv(sock, _HEAD_BYTES)
            head += received
            if not received or len(head) > _HEAD_BYTES:
                raise ConnectRefused(f"{proxy} gave no proper answer to CONNECT {target}")
    except OSError as error:
        raise ConnectRefused(f"{proxy} closed the connection: {error}") from error
    status = head.split(b"\r\n", 1)[0].split(b" ")
    if not head.startswith(b"HTTP/1.") or len(status) < 2 or not status[1].startswith(b"2"):
        line = head[:80].split(b"\r\n", 1)[0].decode("latin-1")
        raise ConnectRefused(f"{proxy} refused CONNECT {target}: {line!r}")
    if not head.endswith(b"\r\n\r\n"):
        raise ConnectRefused(f"{proxy} sent more than its answer to CONNECT {target}")


def _parse(url: str) -> Proxy:
    wanted = "HTTPS_PROXY must be http://host:port, with user:password@ in front if need be"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        raise ConfigError(wanted) from None
    if host is None or parts.scheme != "http" or parts.path not in ("", "/"):
        raise ConfigError(wanted)
    credentials = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        credentials = Secret("Basic " + base64.b64encode(pair.encode()).decode())
    return Proxy(host, port, credentials)


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit() and (name.endswith("]") or ":" not in name):
        if int(number) != port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").lstrip(".")
    return host == entry or (entry != "" and host.endswith(f".{entry}")) or _in_network(host, entry)


def _in_network(host: str, entry: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
