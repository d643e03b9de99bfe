"""mDNS on loopback without meeting anybody: its packets reach every process of this computer."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

HERE = ["127.0.0.1"]
HANGING_SECONDS = 60.0
"""Longer than any wait for an event takes, however busy the machine."""


def own_service_type() -> str:
    """Return a service type that nobody else uses; 15 characters at most (RFC 6763 section 7.2)."""
    return f"_nx{os.urandom(6).hex()}._tcp.local."


def own_host() -> str:
    """Return the name of a computer that nobody else has, without a domain."""
    return f"nx{os.urandom(8).hex()}"


class Lan:
    """Service types and computers of one test alone.

    Attributes:
        llm, ollama: two service types.
    """

    def __init__(self) -> None:
        self.llm, self.ollama = own_service_type(), own_service_type()
        self._host = own_host()

    def service(
        self, name: str, port: int = 8000, *, service_type: str = "", host: str = "", **txt: str
    ) -> AsyncServiceInfo:
        """Return a service, ``llm`` by default, on the computer ``host`` of this network."""
        service_type = service_type or self.llm
        return AsyncServiceInfo(
            service_type,
            f"{name}.{service_type}",
            addresses=[socket.inet_aton("127.0.0.1"), socket.inet_pton(socket.AF_INET6, "::1")],
            port=port,
            properties=txt,
            server=f"{host}{self._host}.local.",
        )


@pytest.fixture
def lan() -> Lan:
    return Lan()


@asynccontextmanager
async def announcing() -> AsyncIterator[AsyncZeroconf]:
    announcer = AsyncZeroconf(interfaces=HERE, ip_version=IPVersion.All)
    try:
        yield announcer
    finally:
        await announcer.async_unregister_all_services()
        await announcer.async_close()


async def announce(announcer: AsyncZeroconf, *services: AsyncServiceInfo) -> None:
    for made in services:
        await (await announcer.async_register_service(made, allow_name_change=True))


async def hear(listener: AsyncZeroconf, service_type: str, wanted: str) -> None:
    """Wait until ``listener`` knows of a service, asking until it does: then it avoids that name."""
    heard = asyncio.Event()

    def change(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        del zeroconf, service_type
        if name == wanted and state_change is ServiceStateChange.Added:
            heard.set()

    browser = AsyncServiceBrowser(listener.zeroconf, [service_type], handlers=[change])
    try:
        async with asyncio.timeout(HANGING_SECONDS):
            await heard.wait()
    finally:
        await browser.async_cancel()
