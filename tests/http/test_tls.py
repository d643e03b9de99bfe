"""TLS to backends: who is believed, and what the handshake's failures are called."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from tests.http.peers import Caller, Recorder, bench, on_both_loops, once, peer, replies, sockets, until

from nexus.domain import Origin, TlsOptions
from nexus.errors import ConnectTimeout, TlsFailure, UpstreamClosed
from nexus.http.client import Timeouts
from nexus.http.limits import UpstreamLimits
from nexus.http.resolve import Address

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
EARLIER = datetime.now(UTC) - timedelta(days=30)


class Authority:
    """A certificate authority and the servers it vouches for."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.file)

    def server(self, name: str, *, expired: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        end = EARLIER + timedelta(days=1) if expired else None
        self.ca.issue_cert(name, not_before=EARLIER, not_after=end).configure_cert(context)
        return context

    def origin(self, port: int, host: str = "backend.test") -> Origin:
        return Origin("https", host, port, TlsOptions(ca_file=str(self.file)))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


class Local:
    """Every name is this machine."""

    async def resolve(self, _host: str, port: int) -> Sequence[Address]:
        return [Address(2, ("127.0.0.1", port))]


@on_both_loops
async def test_a_good_certificate_and_a_pooled_connection(authority: Authority) -> None:
    async with peer(replies(OK), context=authority.server("backend.test")) as server:
        async with bench(resolver=Local()) as b:
            origin = authority.origin(server.port)
            for _ in range(3):
                assert (await b.post(origin)).body == b"{}"
            assert (len(server.callers), b.client.idle(origin)) == (1, 1)
            assert b.client.open_sockets == 1
        tls = server.callers[0].writer.get_extra_info("ssl_object")
        assert tls is not None


@on_both_loops
async def test_the_name_is_sent(authority: Authority) -> None:
    asked: list[str | None] = []
    context = authority.server("backend.test")
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    async with peer(replies(OK), context=context) as server, bench(resolver=Local()) as b:
        await b.post(authority.origin(server.port))
    assert asked == ["backend.test"]


@on_both_loops
async def test_an_address_is_verified_too(authority: Authority) -> None:
    async with peer(replies(OK), context=authority.server("127.0.0.1")) as server, bench() as b:
        assert (await b.post(authority.origin(server.port, "127.0.0.1"))).body == b"{}"


@on_both_loops
@pytest.mark.parametrize("flaw", ["expired", "another name", "unknown authority"])
async def test_a_flawed_certificate_is_refused_before_a_byte_leaves(authority: Authority, flaw: str) -> None:
    name = "elsewhere.test" if flaw == "another name" else "backend.test"
    context = authority.server(name, expired=flaw == "expired")
    async with peer(replies(OK), context=context) as server, bench(resolver=Local()) as b:
        origin = authority.origin(server.port)
        if flaw == "unknown authority":
            origin = Origin("https", origin.host, origin.port)
        seen = Recorder()
        with pytest.raises(TlsFailure):
            await b.post(origin, seen)
        assert seen.connections == 0
        assert b.client.open_sockets == 0
        assert not any(caller.requests for caller in server.callers)


@on_both_loops
async def test_verification_can_be_turned_off_for_one_origin_only(authority: Authority) -> None:
    context = authority.server("elsewhere.test", expired=True)
    async with peer(replies(OK), context=context) as server, bench(resolver=Local()) as b:
        careless = Origin("https", "backend.test", server.port, TlsOptions(verify=False))
        assert (await b.post(careless)).body == b"{}"
        assert b.client.idle(careless) == 1
        with pytest.raises(TlsFailure):
            await b.post(Origin("https", "backend.test", server.port))


@on_both_loops
async def test_a_missing_ca_file_is_named(authority: Authority) -> None:
    missing = str(authority.file.with_name("none.pem"))
    async with bench() as b:
        with pytest.raises(TlsFailure, match=r"none\.pem"):
            await b.post(Origin("https", "127.0.0.1", 1, TlsOptions(ca_file=missing)))


@on_both_loops
@pytest.mark.parametrize("word", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_a_peer_without_tls(authority: Authority, word: bytes) -> None:
    async def script(caller: Caller) -> None:
        await caller.reader.readexactly(1)
        await caller.send(word)

    async with peer(script) as server, bench() as b:
        with pytest.raises(TlsFailure):
            await b.post(authority.origin(server.port, "127.0.0.1"))
        assert b.client.open_sockets == 0


@on_both_loops
async def test_a_silent_handshake_is_a_connect_timeout_and_cancels_clean(authority: Authority) -> None:
    async with peer(lambda caller: caller.gone()) as server, bench() as b:
        before = sockets()
        origin = authority.origin(server.port, "127.0.0.1")
        running = asyncio.create_task(b.post(origin))
        await until(lambda: len(server.callers) == 1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert b.client.open_sockets == 0
        with pytest.raises(ConnectTimeout):
            await b.post(origin, timeouts=Timeouts(connect=0.1))
        assert b.client.open_sockets == 0
        await until(lambda: sockets() <= before)


@on_both_loops
async def test_a_body_without_length_over_tls(authority: Authority) -> None:
    context = authority.server("127.0.0.1")
    async with peer(once(b"HTTP/1.0 200 OK\r\n\r\nhello"), context=context) as server, bench() as b:
        assert (await b.post(authority.origin(server.port, "127.0.0.1"))).body == b"hello"


@on_both_loops
async def test_a_slow_reader_slows_a_tls_writer(authority: Authority) -> None:
    total = 16 * 1024 * 1024

    class Slow(Recorder):
        surplus = 0
        waiting = False

        def data(self, chunk: bytes) -> None:
            super().data(chunk)
            if self.waiting:
                self.surplus += len(chunk)
            elif self.flow is not None and len(self.chunks) == 1:
                self.waiting = True
                self.flow.pause()

    async def script(caller: Caller) -> None:
        await caller.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for _ in range(total // 65536):
            await caller.send(bytes(65536))
        await caller.gone()

    async with peer(script, context=authority.server("127.0.0.1")) as server, bench() as b:
        seen = Slow()
        running = asyncio.create_task(b.post(authority.origin(server.port, "127.0.0.1"), seen))
        await seen.heard.wait()
        for _ in range(50):
            await asyncio.sleep(0.002)
        assert seen.surplus <= UpstreamLimits().stream_buffer
        assert not running.done()
        seen.waiting = False
        assert seen.flow is not None
        seen.flow.resume()
        await running
        assert sum(map(len, seen.chunks)) == total


@on_both_loops
@pytest.mark.parametrize("cut", [1, 20, 38, 39])
async def test_a_tls_peer_that_breaks_off(authority: Authority, cut: int) -> None:
    async def script(caller: Caller) -> None:
        await caller.answer(OK[:cut])
        caller.reset()

    async with peer(script, context=authority.server("127.0.0.1")) as server, bench() as b:
        with pytest.raises(UpstreamClosed):
            await b.post(authority.origin(server.port, "127.0.0.1"))
        await until(lambda: b.client.open_sockets == 0)
