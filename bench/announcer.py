"""Servers that announce themselves: ``python -m bench.announcer TYPE COUNT FILE``.

Each listens on a port of its own, answers ``GET`` with a model list, and is announced by mDNS on
127.0.0.1 as a service of its own, of the type ``TYPE``, such as ``_abc._tcp.local.``. ``FILE`` is
written when all are announced.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from bench.configs import MODELS

_REPLY: Final = (
    f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(MODELS)}\r\n\r\n{MODELS}"
).encode()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(_REPLY)
    except (asyncio.IncompleteReadError, OSError):
        writer.close()


async def _announce(zeroconf: AsyncZeroconf, service_type: str, number: int) -> asyncio.Server:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    info = AsyncServiceInfo(
        service_type,
        f"Bench {number}.{service_type}",
        addresses=[socket.inet_aton("127.0.0.1")],
        port=server.sockets[0].getsockname()[1],
        properties={"type": "vllm", "path": "/v1", "id": f"bench-{number}"},
        server=f"bench-{os.getpid()}-{number}.local.",
    )
    await (await zeroconf.async_register_service(info))
    return server


def _say(ready: Path, count: int) -> None:
    ready.write_text(f"{count} announced\n")


async def main(service_type: str, count: int, ready: Path) -> None:
    """Announce ``count`` servers of one type until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
    try:
        servers = await asyncio.gather(
            *(_announce(zeroconf, service_type, number) for number in range(count))
        )
        _say(ready, len(servers))
        await ended.wait()
    finally:
        await zeroconf.async_close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
