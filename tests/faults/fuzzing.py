"""A gateway that lives as long as a fuzz test, on the loop that it runs on in earnest."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import httptools
import pytest
import uvloop
from tests.faults.chaos_client import Bodies
from tests.support.gateway import RunningGateway, serve

from nexus.http.ending import Phase
from nexus.testing import FakeFleet

CORPUS: Final = Path(__file__).parent / "corpus"
LIVE: Final = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
LIVING: Final = b'{"status":"live"}'
QUIET: Final = 0.05
Result = TypeVar("Result")


class Harness:
    """A gateway, its fleet and their loop."""

    def __init__(self, runner: asyncio.Runner, fleet: FakeFleet, gateway: RunningGateway) -> None:
        self._runner = runner
        self.fleet = fleet
        self.gateway = gateway
        self.failures: list[dict[str, Any]] = []
        runner.get_loop().set_exception_handler(lambda _, context: self.failures.append(context))

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run one example."""
        return self._runner.run(work)

    def is_clean(self, caplog: pytest.LogCaptureFixture) -> None:
        """Assert that nothing failed and nothing is left."""
        assert not self.failures
        bad = [record for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info]
        assert not bad, [record.getMessage() for record in bad]
        assert "Traceback" not in self.gateway.log.read_text()
        assert "internal_error" not in {outcome.error for outcome in self.gateway.outcomes}
        self.run(self.gateway.until(self.gateway.at_rest))


@contextmanager
def harness(
    folder: Path, make: Callable[[FakeFleet], Coroutine[Any, Any, str]], settings: str = ""
) -> Iterator[Harness]:
    """Start a fleet by ``make``, which returns its tables, and a gateway over it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        stack = AsyncExitStack()

        async def begin() -> Harness:
            fleet = await stack.enter_async_context(FakeFleet())
            toml = settings + await make(fleet)
            return Harness(runner, fleet, await stack.enter_async_context(serve(toml, folder)))

        try:
            yield runner.run(begin())
        finally:
            runner.run(stack.aclose())


class Answers(Bodies):
    """The replies that a connection brought."""

    def __init__(self) -> None:
        super().__init__()
        self.parser = httptools.HttpResponseParser(self)
        self.statuses: list[int] = []

    def on_headers_complete(self) -> None:
        self.statuses.append(self.parser.get_status_code())

    @property
    def last(self) -> bytes:
        return b"".join(self.pieces[-1]) if self.pieces else b""


async def converse(gateway: RunningGateway, sent: bytes) -> tuple[Answers, bool]:
    """Send bytes and then a valid request; return the replies, and whether the connection was closed.

    A server that waits for more of the first request swallows the second: then the client leaves,
    and the server must close.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.nexus.port)
    port = writer.get_extra_info("sockname")[1]
    answers = Answers()
    writer.write(sent + LIVE)
    try:
        async with asyncio.timeout(20):
            while answers.last != LIVING or not answers.complete:
                data = await _more(reader)
                if data is None:
                    if _waits_for_more(gateway, port) and writer.can_write_eof():
                        writer.write_eof()
                elif data:
                    answers.parser.feed_data(data)
                else:
                    return answers, True
    finally:
        writer.transport.abort()
    return answers, False


async def _more(reader: asyncio.StreamReader) -> bytes | None:
    """The next bytes, nothing at the end, ``None`` when it is quiet."""
    try:
        async with asyncio.timeout(QUIET):
            return await reader.read(65536)
    except TimeoutError:
        return None
    except ConnectionError:
        return b""


def _waits_for_more(gateway: RunningGateway, port: int) -> bool:
    for connection in gateway.nexus._server._context.connections:
        peer = connection._transport.get_extra_info("peername")
        if peer is not None and peer[1] == port:
            return connection._phase in (Phase.HEAD, Phase.BODY, Phase.LINGER)
    return False


def mutated(rng: random.Random, data: bytes, tokens: Sequence[bytes], changes: Sequence[int]) -> bytes:
    """Change some bytes: tokens put in, bytes dropped, exchanged or repeated."""
    out = bytearray(data)
    for _ in range(rng.choice(changes)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(5):
            case 0 | 1:
                out[at:at] = rng.choice(tokens)
            case 2:
                del out[at : at + rng.randint(1, 12)]
            case 3:
                out[at : at + 1] = bytes((rng.randrange(256),))
            case _:
                out[at:at] = out[at : at + rng.randint(1, 40)] * rng.choice((1, 2, 50))
    return bytes(out)


def kept(kind: str) -> list[Path]:
    """The corpus of one kind: known tricks, and whatever showed a defect."""
    return sorted((CORPUS / kind).iterdir())
