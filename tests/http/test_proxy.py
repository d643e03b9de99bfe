"""``HTTPS_PROXY`` and ``NO_PROXY``."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
import trustme
from tests.http.peers import Caller, Peer, Script, bench, on_both_loops, peer, replies, until

from nexus.domain import Origin, TlsOptions
from nexus.errors import ConfigError, ConnectRefused, ConnectTimeout
from nexus.http.client import Timeouts
from nexus.http.proxy import Proxies
from nexus.http.resolve import Address

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
SECURE = Origin("https", "api.example.com", 443)


@pytest.mark.parametrize(
    ("no_proxy", "origin", "direct"),
    [
        ("", SECURE, False),
        ("", Origin("http", "api.example.com", 80), True),
        ("", Origin("https", "localhost", 1), True),
        ("", Origin("https", "127.0.0.5", 1), True),
        ("", Origin("https", "::1", 1), True),
        ("*", SECURE, True),
        ("example.com", SECURE, True),
        (".example.com", SECURE, True),
        ("*.example.com", SECURE, True),
        ("API.Example.Com.", Origin("https", "api.example.com", 443), False),
        ("ple.com", SECURE, False),
        ("other, api.example.com ,", SECURE, True),
        ("api.example.com:443", SECURE, True),
        ("api.example.com:444", SECURE, False),
        ("10.0.0.0/8", Origin("https", "10.1.2.3", 443), True),
        ("10.0.0.0/8", Origin("https", "11.1.2.3", 443), False),
        ("fd00::/8", Origin("https", "fd00::1", 443), True),
        ("fd00::1", Origin("https", "fd00::1", 443), True),
        ("[fd00::1]:443", Origin("https", "fd00::1", 443), True),
        ("10.0.0.0/8", SECURE, False),
    ],
)
def test_who_goes_through_the_proxy(no_proxy: str, origin: Origin, direct: bool) -> None:
    proxies = Proxies({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": no_proxy})
    assert (proxies.for_origin(origin) is None) == direct


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [("http://p:1", "p", 1), ("p:3128", "p", 3128), ("http://p/", "p", 80), ("http://[::1]:8", "::1", 8)],
)
def test_how_a_proxy_is_written(url: str, host: str, port: int) -> None:
    proxy = Proxies({"https_proxy": url, "HTTPS_PROXY": "http://other"}).for_origin(SECURE)
    assert proxy is not None
    assert (proxy.host, proxy.port, proxy.credentials) == (host, port, None)


@pytest.mark.parametrize(
    "url",
    [
        "https://u:secret@p",
        "socks5://secret@p",
        "http://secret:x/",
        "http://p/secret",
        "http://",
        "http://secret@[::1",
    ],
)
def test_what_is_no_proxy_is_refused_without_an_echo(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Proxies({"HTTPS_PROXY": url})
    assert "secret" not in str(raised.value)


def test_credentials_do_not_show() -> None:
    proxy = Proxies({"HTTPS_PROXY": "http://me:p%40ss@p:1"}).for_origin(SECURE)
    assert proxy is not None
    assert proxy.credentials is not None
    assert proxy.credentials.reveal() == "Basic bWU6cEBzcw=="
    assert "bWU6" not in repr(proxy)
    assert str(proxy) == "proxy p:1"


def through(target: int) -> Script:
    """A proxy that connects every tunnel to a local port."""

    async def script(caller: Caller) -> None:
        caller.requests.append(await caller.reader.readuntil(b"\r\n\r\n"))
        reader, writer = await asyncio.open_connection("127.0.0.1", target)
        await caller.send(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        try:
            await asyncio.gather(pump(caller.reader, writer), pump(reader, caller.writer))
        finally:
            writer.close()

    return script


class Local:
    """The proxy's name is this machine; nobody else may be looked up."""

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        assert host == "proxy.test"
        return [Address(2, ("127.0.0.1", port))]


@on_both_loops
async def test_a_tunnel_carries_tls_to_the_origin(tmp_path: Path) -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("api.example.com").configure_cert(context)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    origin = Origin("https", "api.example.com", 443, TlsOptions(ca_file=str(tmp_path / "ca.pem")))
    async with peer(replies(OK), context=context) as server, peer(through(server.port)) as proxy:
        environ = {"HTTPS_PROXY": f"http://me:pass@proxy.test:{proxy.port}"}
        async with bench(resolver=Local(), environ=environ) as b:
            for _ in range(2):
                assert (await b.post(origin)).body == b"{}"
            assert len(proxy.callers) == 1
            asked = proxy.callers[0].requests[0]
            assert asked.startswith(b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n")
            assert b"Proxy-Authorization: Basic bWU6cGFzcw==\r\n" in asked
            assert b"Proxy-Authorization" not in server.callers[0].requests[0]


def proxied(proxy: Peer) -> dict[str, str]:
    return {"HTTPS_PROXY": f"proxy.test:{proxy.port}"}


@on_both_loops
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nmore",
        b"HTTP/1.1 200 OK\r\n",
        b"",
        b"A" * 20_000,
    ],
)
async def test_a_proxy_that_declines(answer: bytes) -> None:
    async def script(caller: Caller) -> None:
        await caller.answer(answer)

    async with peer(script) as proxy, bench(resolver=Local(), environ=proxied(proxy)) as b:
        with pytest.raises(ConnectRefused):
            await b.post(SECURE)
        assert b.client.open_sockets == 0


@on_both_loops
async def test_a_silent_proxy_and_a_caller_that_leaves() -> None:
    silent = peer(lambda caller: caller.gone())
    async with silent as proxy, bench(resolver=Local(), environ=proxied(proxy)) as b:
        running = asyncio.create_task(b.post(SECURE))
        await until(lambda: len(proxy.callers) == 1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert b.client.open_sockets == 0
        with pytest.raises(ConnectTimeout):
            await b.post(SECURE, timeouts=Timeouts(connect=0.05))
        assert b.client.open_sockets == 0
